//! The fast lane: the roots of all, by name, in one session.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use store::block::Block;
use store::dag::{self, BlockSource, SourceError};
use store::wire::Urgency;
use store::{Cid, blockstore::Blockstore as _};

use super::{Many, Wanted, locked};
use crate::api::message::Failure;
use crate::exchange::landing::here;
use crate::exchange::scheduler::MAX_WANTS;
use crate::exchange::{Mode, Session, SessionOptions, SessionProgress, SessionSource};

/// The session looks for what nobody gives it for so long; what is left then takes the slow lane,
/// which waits as long as it was told to.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits for blocks before it looks whether more is asked for.
const LOOK: Duration = Duration::from_millis(20);
/// Addresses that the session begins with.
const ADDRESSES: usize = 64;

/// The session of the lane.
pub(super) struct Open {
    session: Session,
    blocks: SessionSource,
}

impl Open {
    pub(super) fn progress(&self) -> SessionProgress {
        self.session.progress().borrow().clone()
    }
}

/// A block that is a whole content.
struct Alone(Block);

impl BlockSource for Alone {
    fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        let own = |cid: &Cid| {
            let other = || SourceError::NotFound {
                cid: *cid,
                tried: String::new(),
            };
            let own = (self.0.cid() == cid).then(|| self.0.clone());
            own.ok_or_else(other)
        };
        cids.iter().map(own).collect()
    }
}

/// Those who wait for each root.
type Waiting = HashMap<Cid, Vec<Wanted>>;

impl Many<'_> {
    /// Runs until nothing more is asked for and nothing waited for.
    pub(super) fn fast_lane(&self, named: &Receiver<Wanted>, later: &SyncSender<Wanted>) {
        if let Err(failure) = self.run(named, later) {
            self.fail(failure);
        }
        locked(&self.open).take();
    }

    fn run(&self, named: &Receiver<Wanted>, later: &SyncSender<Wanted>) -> Result<(), Failure> {
        let mut waiting = Waiting::new();
        let mut more = true;
        // Whether something was sent since the last pause.
        let mut sent = false;
        while (more || !waiting.is_empty()) && !self.is_stopped() {
            let mut fresh = Vec::new();
            while more && waiting.len() + fresh.len() < MAX_WANTS {
                let next = match named.try_recv() {
                    Err(TryRecvError::Empty) if waiting.is_empty() && fresh.is_empty() => {
                        if std::mem::take(&mut sent) {
                            self.pause();
                        }
                        named.recv().map_err(|_| TryRecvError::Disconnected)
                    }
                    next => next,
                };
                match next {
                    Ok(wanted) if wanted.named.target.path.is_empty() => fresh.push(wanted),
                    Ok(wanted) => put_off(wanted, later),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => more = false,
                }
            }
            sent |= self.begin(fresh, &mut waiting, later)?;
            if waiting.is_empty() {
                continue;
            }
            let (blocks, over) = self.arrivals(&waiting);
            if blocks.is_empty() && std::mem::take(&mut sent) {
                self.pause();
            }
            for block in blocks {
                for wanted in waiting.remove(block.cid()).into_iter().flatten() {
                    sent |= self.arrived(&block, wanted, later)?;
                }
            }
            if over {
                locked(&self.open).take();
                for wanted in waiting.drain().flat_map(|(_, wanted)| wanted) {
                    put_off(wanted, later);
                }
            }
        }
        Ok(())
    }

    /// Answers what is here, and asks for the rest. Whether anything was sent.
    fn begin(
        &self,
        fresh: Vec<Wanted>,
        waiting: &mut Waiting,
        later: &SyncSender<Wanted>,
    ) -> Result<bool, Failure> {
        let store = self.service.repo.blocks().as_ref();
        let cids: Vec<Cid> = fresh.iter().map(|wanted| wanted.named.target.cid).collect();
        let sizes = store.sizes(&cids)?;
        let mut sent = false;
        let (mut ask, mut addresses) = (Vec::new(), HashSet::new());
        for ((wanted, cid), size) in fresh.into_iter().zip(cids).zip(sizes) {
            let block = match size {
                Some(_) => here(store, &cid)?,
                None => None,
            };
            if let Some(block) = block {
                sent |= self.arrived(&block, wanted, later)?;
                continue;
            }
            if addresses.len() < ADDRESSES {
                addresses.extend(wanted.named.addresses.iter().cloned());
            }
            let others = waiting.entry(cid).or_default();
            if others.is_empty() {
                ask.push(cid);
            }
            others.push(wanted);
        }
        if !ask.is_empty() {
            let source = self.source(ask[0], addresses)?;
            source.expect(&ask);
        }
        Ok(sent)
    }

    /// The session's blocks; opens it where need be.
    fn source(
        &self,
        first: Cid,
        addresses: HashSet<libp2p::Multiaddr>,
    ) -> Result<SessionSource, Failure> {
        if let Some(open) = locked(&self.open).as_ref() {
            return Ok(open.blocks.clone());
        }
        // Not under the lock: joining takes a while.
        let joined = self.service.join()?;
        let options = SessionOptions {
            addresses: addresses.into_iter().collect(),
            mode: Mode::OnDemand,
            urgency: Urgency::Download,
            stall: PATIENCE.min(self.request.timeout),
            landing: None,
        };
        let session = joined.open(first, options);
        let blocks = session.source();
        let source = blocks.clone();
        *locked(&self.open) = Some(Open { session, blocks });
        Ok(source)
    }

    /// What has come of that which is waited for, and whether the session is over.
    fn arrivals(&self, waiting: &Waiting) -> (Vec<Block>, bool) {
        let source = locked(&self.open).as_ref().map(|open| open.blocks.clone());
        let Some(source) = source else {
            return (Vec::new(), true);
        };
        let cids: Vec<Cid> = waiting.keys().copied().collect();
        source.arrivals(&cids, LOOK)
    }

    /// A root is here. Whether it was sent, as it is if it is all of its content.
    fn arrived(
        &self,
        block: &Block,
        wanted: Wanted,
        later: &SyncSender<Wanted>,
    ) -> Result<bool, Failure> {
        match dag::links(block) {
            Ok(links) if links.is_empty() => {}
            Ok(_) => {
                put_off(wanted, later);
                return Ok(false);
            }
            Err(error) => {
                self.missing(wanted.text, error.into())?;
                return Ok(false);
            }
        }
        let root = *block.cid();
        match self.send(&wanted, &root, &Alone(block.clone())) {
            Ok(()) => {}
            // Of a kind that is no file: that is this content's fault alone.
            Err(failure) if !self.is_stopped() => {
                self.missing(wanted.text, failure)?;
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        }
        self.service.note_whole(&root)?;
        Ok(true)
    }
}

fn put_off(wanted: Wanted, later: &SyncSender<Wanted>) {
    // The other lane takes them to the end.
    let _ = later.send(wanted);
}
