//! The asking side: a scheduler's actions become messages, and readers go on.

use std::time::Duration;

use store::Cid;

use super::super::*;
use super::dag::Dag;
use super::network::lasts;
use super::node::Fault;
use super::world::{Due, Message, SEARCH, World};

/// Blocks that a reader comes to before it may expect to find what it needs.
const WARM_UP: usize = 4;

impl World<'_> {
    /// A reader goes on to its next block, or waits for it. Returns whether it has come to the end.
    pub(super) fn read(&mut self, i: u32) -> bool {
        let (dag, now) = (self.dag, self.now);
        let node = &mut self.nodes[i as usize];
        let Some(mut reader) = node.reader.take() else {
            return false;
        };
        let Some(&cid) = reader.path.get(reader.next) else {
            node.waited = reader.waited;
            return node.end.replace((now, Action::Finished)).is_none();
        };
        let event = if node.has_cid(&cid) {
            let size = u64::from(dag.size(Dag::number(&cid)));
            if reader.waits && reader.next > WARM_UP {
                reader.waited += now.saturating_sub(reader.since);
            }
            let took = Event::Taken { bytes: size };
            let event = (!std::mem::take(&mut reader.waits)).then_some(took);
            reader.next += 1;
            self.at(now + lasts(size, reader.rate), Due::Read(i));
            event
        } else if reader.waits {
            None
        } else {
            (reader.waits, reader.since) = (true, now);
            Some(Event::Wants(vec![cid]))
        };
        self.nodes[i as usize].reader = Some(reader);
        event.is_some_and(|event| self.step(i, event))
    }

    pub(super) fn act(&mut self, i: u32, action: Action<u32>) {
        let now = self.now;
        match action {
            Action::FindPeers => {
                for peer in 0..self.nodes.len() as u32 {
                    let other = &self.nodes[peer as usize];
                    if other.begins.is_none() && peer != i {
                        self.at((now + SEARCH / 2).max(other.appears), Due::Appear(i, peer));
                    }
                }
                self.at(now + SEARCH, Due::Tell(i, Event::SearchEnded));
            }
            Action::LookUp(cid) => {
                let here = self.nodes[i as usize].has_cid(&cid);
                let event = if here {
                    let node = &self.nodes[i as usize];
                    Event::Found(self.dag.stored(&cid, |c| node.has_cid(c), |_| false))
                } else {
                    Event::Absent(cid)
                };
                self.at(now + Duration::from_micros(50), Due::Tell(i, event));
            }
            Action::Manifest {
                request,
                peer,
                nodes,
                max_bytes,
            } => self.ask(
                i,
                peer,
                request,
                Message::Manifest(request, nodes, max_bytes),
            ),
            Action::Get {
                request,
                peer,
                extents,
                leaves,
                max_bytes,
                ..
            } => {
                self.check_get(i, peer, &extents, &leaves);
                let leaves = leaves.iter().map(Dag::number).collect();
                self.ask(i, peer, request, Message::Get(request, leaves, max_bytes));
            }
            Action::Have {
                request,
                peer,
                nodes,
            } => self.ask(i, peer, request, Message::Have(request, nodes)),
            Action::AskPeers { peer } => self.post(i, peer, Message::Peers),
            Action::Cancel { request, from } => {
                if let Some(&(peer, _)) = self.nodes[i as usize].open.get(&request) {
                    self.post(i, peer, Message::Cancel(request, from));
                }
            }
            Action::Drop { peer, reason } => {
                let node = &mut self.nodes[i as usize];
                node.open.retain(|_, of| of.0 != peer);
                node.dropped.push((peer, reason));
                self.post(i, peer, Message::Reset);
            }
            Action::WaitUntil(at) => {
                let node = &mut self.nodes[i as usize];
                node.wake = at;
                if at < Time::MAX {
                    self.at(at, Due::Wake(i));
                }
            }
            Action::Finished | Action::Fail(_) => {}
        }
    }

    fn ask(&mut self, i: u32, peer: u32, request: RequestId, message: Message) {
        let epoch = self.nodes[peer as usize].epoch;
        let node = &mut self.nodes[i as usize];
        let out = |(p, reason): &(u32, Reason)| *p == peer && reason.is_hostile();
        assert!(!node.dropped.iter().any(out), "asked a peer that is out");
        node.open.insert(request, (peer, epoch));
        if self.nodes[peer as usize].gone {
            let failure = Failure::Unreachable("nobody there".into());
            return self.fail(i, peer, request, failure);
        }
        self.post(i, peer, message);
    }

    /// The scheduler's promises about a Get.
    fn check_get(&self, i: u32, peer: u32, extents: &[store::wire::Extent], leaves: &[Cid]) {
        let node = &self.nodes[i as usize];
        let child = |e: &store::wire::Extent, i: u32| self.dag.links(&e.node)[i as usize];
        let named: Vec<Cid> = extents
            .iter()
            .flat_map(|e| (e.first..e.first + e.count).map(|i| child(e, i)))
            .collect();
        assert_eq!(named, leaves, "the extents name the leaves");
        for leaf in leaves {
            assert!(!node.has_cid(leaf), "asked for what is here");
            let lacks = node.refused.contains(&(peer, *leaf));
            let other = &self.nodes[peer as usize];
            let learns = other.begins.is_some() || other.fault == Some(Fault::Boasts);
            assert!(!lacks || learns, "asked again of who lacks it");
        }
    }
}
