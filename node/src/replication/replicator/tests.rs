//! Whole members in one process: real repos, real sessions, the memory transport.

use std::cell::RefCell;
use std::time::Duration;

use libp2p::Multiaddr;
use store::blockstore::Blockstore;
use store::chunk::Chunker;
use store::pin::Wanted;
use store::repo::RepoOptions;
use store::unixfs::Entry;
use store::unixfs::import::{ImportOptions, import};
use store::wire::replica::{ReplicaRequest, Told};
use tempfile::TempDir;

use super::*;
use crate::exchange::whole::Noise;
use crate::exchange::{ExchangeConfig, Serving};
use crate::members::Offer;
use crate::network::{Arrivals, NetworkConfig, inlets};
use crate::replication::Wish;
use crate::replication::pins::Admission;
use crate::replication::placement;
use crate::replication::policy::{Copies, Tags};
use crate::replication::report::{Placed, RootStatus};
use crate::swarm_key::SwarmKey;
use crate::transport::TransportKind;

/// What a fact may take on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(120);
/// By what the waits of repairs are divided: two minutes are two seconds.
const SCALE: f64 = 60.0;

struct Member {
    network: Network,
    repo: Arc<Repo>,
    replication: Replication,
    home: Home,
}

/// What stays of a member that has ended.
struct Home {
    directory: TempDir,
    key: Keypair,
}

/// What a swarm has in common.
struct Swarm {
    key: Option<SwarmKey>,
    meeting: Vec<Multiaddr>,
    scale: f64,
}

impl Swarm {
    fn private() -> Self {
        Self {
            key: Some(SwarmKey::generate()),
            meeting: Vec::new(),
            scale: SCALE,
        }
    }

    async fn member(&mut self) -> Member {
        let home = Home {
            directory: tempfile::tempdir().unwrap(),
            key: Keypair::generate_ed25519(),
        };
        self.start(home).await
    }

    async fn members(&mut self, count: usize) -> Vec<Member> {
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(self.member().await);
        }
        for member in &members {
            member.sees(count).await;
        }
        members
    }

    /// A repo with a quota of its own: how full this machine's disk is does not matter.
    async fn repo(home: &Home) -> Arc<Repo> {
        let options = RepoOptions {
            quota: Some(1 << 30),
            ..RepoOptions::default()
        };
        let repo = RefCell::new(None);
        // Tasks of the one before may still be letting it go.
        until(|| async {
            repo.replace(Repo::open(home.directory.path(), &options).ok());
            repo.borrow().is_some()
        })
        .await;
        Arc::new(repo.into_inner().unwrap())
    }

    /// The network of a member, and what the others ask it.
    async fn network(&mut self, home: &Home, repo: &Arc<Repo>) -> (Network, Arrivals, String) {
        let config = NetworkConfig {
            listen: vec!["/memory/0".parse().unwrap()],
            transport: TransportKind::Memory,
            mdns: false,
            bootstrap: self.meeting.clone(),
            swarm_key: self.key.clone(),
            members: members::Settings::scaled(10.0),
            ..NetworkConfig::default()
        };
        let swarm = config.swarm().as_str().to_owned();
        let (inlets, arrivals) = inlets(256, 16, 64);
        let network = Network::start(config, Arc::clone(repo), home.key.clone(), inlets)
            .await
            .unwrap();
        if self.meeting.is_empty() {
            self.meeting = network.addresses().await;
        }
        let offer = Offer {
            capacity: 1 << 40,
            free: 1 << 40,
            served: 0,
        };
        network.offer(offer).await;
        (network, arrivals, swarm)
    }

    async fn start(&mut self, home: Home) -> Member {
        let repo = Self::repo(&home).await;
        let (network, arrivals, swarm) = self.network(&home, &repo).await;
        let Arrivals { wanted, replica } = arrivals;
        let blocks: Arc<dyn Blockstore> = repo.blocks().clone();
        let limits = crate::exchange::scheduler::Limits::low_memory();
        let exchange = ExchangeConfig { limits };
        let exchange = Exchange::start(
            network.clone(),
            blocks,
            wanted,
            exchange,
            Serving::default(),
        );
        let me = member_of(&network.peer_id()).unwrap();
        let pins = Pins::open(
            repo.records(store::records::Family::PinRecords),
            &swarm,
            me,
            Admission::of(&repo, self.key.clone()),
            store::pin::now(),
        );
        let replication = start(Parts {
            network: network.clone(),
            exchange,
            repo: Arc::downgrade(&repo),
            pins: Arc::new(pins.unwrap()),
            key: home.key.clone(),
            swarm,
            is_private: self.key.is_some(),
            time_scale: self.scale,
            rate: 1 << 30,
            room: Arc::default(),
            is_member: true,
            arrivals: replica,
        });
        Member {
            network,
            repo,
            replication,
            home,
        }
    }
}

impl Member {
    /// Waits until it knows so many members, itself among them.
    async fn sees(&self, count: usize) {
        until(|| async {
            let (members, _) = self.network.members().await;
            let alive = |it: &&members::Member| it.health == members::Health::Alive;
            let offers = |it: &&members::Member| it.record.free.0 > 0;
            members.iter().filter(alive).filter(offers).count() == count
        })
        .await;
    }

    /// Adds a file of noise, pins it, and wants so many copies.
    async fn add(&self, seed: u64, target: u8) -> Cid {
        let noise = Noise::new(3 << 20, seed << 32);
        let mut options = ImportOptions::default();
        options.profile.chunker = Chunker::Fixed((64 << 10).try_into().unwrap());
        let steps = std::iter::once(Ok(Entry::file("file", noise)));
        let added = import(Some(&**self.repo.blocks()), &options, steps, &|_| ()).unwrap();
        let root = added[0].cid;
        self.repo
            .pins()
            .add(&Wanted::new(root, store::pin::now()))
            .unwrap();
        let policy = Policy {
            copies: Copies::new(2, target, target + 1).unwrap(),
            ..Policy::default()
        };
        let wish = Wish {
            policy,
            expires: None,
        };
        self.replication.want(root, wish).await.unwrap();
        root
    }

    /// Waits until nothing more is tried for it.
    async fn placed(&self, root: Cid) -> Placed {
        let mut placed = self.replication.place(root).await;
        let over = placed.wait_for(|it| it.over);
        let over = tokio::time::timeout(PATIENCE, over).await;
        over.expect("it ends").unwrap().clone()
    }

    async fn status(&self, root: Cid) -> RootStatus {
        self.replication.status(root).await.unwrap()
    }

    /// Waits until it sees so many copies of each segment, live and shown.
    async fn sees_copies(&self, root: Cid, count: usize) {
        until(|| async {
            let status = self.status(root).await;
            let enough = |copies: usize| copies == count;
            !status.segments.is_empty()
                && status.segments.iter().all(|segment| {
                    let copies = segment.copies.iter();
                    enough(copies.filter(|it| it.live && it.verified).count())
                })
        })
        .await;
    }

    /// Whether it holds all of this, for others, and has it whole.
    fn holds(&self, root: Cid) -> bool {
        let holds = self.repo.keep().holds().unwrap();
        let is_held = holds.iter().any(|hold| hold.root() == Some(&root));
        let missing = store::dag::walk::missing(&**self.repo.blocks(), &root, 1).unwrap();
        assert!(!is_held || missing.is_empty(), "what is held is here");
        is_held
    }

    async fn stop(self) -> Home {
        self.network.shutdown().await;
        self.home
    }
}

/// Waits for a fact.
async fn until<F: Future<Output = bool>>(fact: impl Fn() -> F) {
    let wait = async {
        while !fact().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it comes true");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_made_at_once_held_and_told() {
    let members = Swarm::private().members(4).await;
    let root = members[0].add(1, 3).await;
    let placed = members[0].placed(root).await;
    let counts = (placed.segments, placed.at_quorum, placed.at_target);
    assert_eq!(counts, (1, 1, 1), "{placed:?}");
    assert_eq!(placed.reasons, [""; 0]);
    let holders = members.iter().filter(|member| member.holds(root)).count();
    assert_eq!(holders, 2, "and the one that is pinned");
    members[0].sees_copies(root, 3).await;
    let status = members[0].status(root).await;
    assert_eq!(status.owners, [members[0].network.peer_id()]);
    assert_eq!(status.policy.unwrap().copies.target, 3);
    let segment = &status.segments[0];
    let is_missing = segment
        .need
        .is_some_and(|(level, _)| level != planner::Level::Place);
    assert!(segment.here && !is_missing, "{segment:?}");
    // Everybody hears that it is wanted, whoever has it.
    for member in &members {
        until(|| async { member.status(root).await.policy.is_some() }).await;
        let assigned = member.replication.assigned(root).await.unwrap();
        let has = member.holds(root) || member.network.peer_id() == members[0].network.peer_id();
        assert_eq!((assigned.missing, assigned.whole), (0, has));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_with_a_member_is_made_anew_without_its_owner() {
    let mut members = Swarm::private().members(5).await;
    let root = members[0].add(2, 3).await;
    members[0].placed(root).await;
    // The owner goes for ever, and with it one of the copies.
    members.remove(0).stop().await;
    until(|| async { members.iter().filter(|member| member.holds(root)).count() == 3 }).await;
    let holder = members.iter().find(|member| member.holds(root)).unwrap();
    holder.sees_copies(root, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_any_more_is_let_go() {
    let members = Swarm::private().members(3).await;
    let root = members[0].add(3, 3).await;
    members[0].placed(root).await;
    assert_eq!(
        members.iter().filter(|member| member.holds(root)).count(),
        2
    );
    assert!(members[0].replication.withdraw(root).await.unwrap());
    until(|| async { members.iter().all(|member| !member.holds(root)) }).await;
    assert!(!members[0].replication.withdraw(root).await.unwrap());
    assert_eq!(members[0].status(root).await.policy, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_has_what_it_held_and_knows_who_else_has_it() {
    let mut swarm = Swarm::private();
    let mut members = swarm.members(3).await;
    let root = members[0].add(4, 3).await;
    members[0].placed(root).await;
    let home = members.remove(2).stop().await;
    let back = swarm.start(home).await;
    back.sees(3).await;
    back.sees_copies(root, 3).await;
    assert!(back.holds(root));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_open_swarm_only_accepted_owners_are_stored_for() {
    let mut swarm = Swarm {
        key: None,
        ..Swarm::private()
    };
    let members = swarm.members(2).await;
    let root = members[0].add(5, 2).await;
    let placed = members[0].placed(root).await;
    assert_eq!((placed.at_quorum, placed.at_target), (0, 0));
    let refused = |reason: &String| reason.contains("does not store for this owner");
    assert!(placed.reasons.iter().any(refused), "{placed:?}");
    assert!(!members[1].holds(root));
    let owners = crate::owners::Owners::of(Arc::clone(&members[1].repo));
    owners
        .accept(members[0].network.peer_id(), 64 << 20)
        .unwrap();
    // Repairs try again; within the waits of this scale.
    until(|| async { members[1].holds(root) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_has_rotten_is_found_and_fetched_again() {
    let mut swarm = Swarm {
        // A day is nine seconds.
        scale: 10_000.0,
        ..Swarm::private()
    };
    let members = swarm.members(3).await;
    let root = members[0].add(6, 3).await;
    members[0].placed(root).await;
    until(|| async { members[1].holds(root) }).await;
    let leaves = members[1].repo.blocks().links(&root).unwrap().unwrap();
    let leaves: Vec<Cid> = leaves.iter().map(|link| link.cid).collect();
    // As a disk does: the holds stay, and nobody is told.
    members[1].repo.blocks().delete_many(&leaves[..16]).unwrap();
    assert!(!members[1].repo.blocks().has(&leaves[0]).unwrap());
    let blocks = members[1].repo.blocks();
    until(|| async { blocks.sizes(&leaves).unwrap().iter().all(Option::is_some) }).await;
    members[0].sees_copies(root, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_scrub_finds_is_fetched_again_and_the_rest_is_looked_through() {
    // No audit comes within the test: a day is 24 minutes.
    let members = Swarm::private().members(3).await;
    let holder = &members[1];
    let mut lost = Vec::new();
    for seed in 20..24 {
        let root = members[0].add(seed, 3).await;
        members[0].placed(root).await;
        until(|| async { holder.holds(root) }).await;
        let links = holder.repo.blocks().links(&root).unwrap().unwrap();
        lost.push((root, links[usize::try_from(seed).unwrap()].cid));
    }
    let blocks = holder.repo.blocks();
    let cids: Vec<Cid> = lost.iter().map(|(_, leaf)| *leaf).collect();
    // As a disk does: the holds stay, and nobody is told; the scrub has come to one of them.
    blocks.delete_many(&cids).unwrap();
    let key = store::cid::Key::of(&cids[0]);
    holder.replication.rotten(vec![key]).await;
    until(|| async { blocks.sizes(&cids).unwrap().iter().all(Option::is_some) }).await;
    until(|| async {
        let told = holder.replication.summary().await.unwrap();
        (told.mending, told.rotten, told.held.0) == (0, 4, 4)
    })
    .await;
    for (root, _) in lost {
        members[0].sees_copies(root, 3).await;
        holder.sees_copies(root, 3).await;
        // It goes as it would have gone before.
        assert!(members[0].replication.withdraw(root).await.unwrap());
        until(|| async { !holder.holds(root) }).await;
    }
    // What was not asked about weighs against nobody.
    let told = members[0].replication.summary().await.unwrap();
    assert_eq!(told.doubted, []);
}

/// The places of a segment by their numbers, as all members compute them.
fn places(members: &[Member], segment: &SegmentId) -> Vec<usize> {
    let candidates = members.iter().zip(0..).map(|(member, number)| Candidate {
        member: placement::Member(number),
        peer: member.network.peer_id(),
        // They offer the same.
        weight: 160,
        tags: Tags::new(),
        takes: true,
        stays: true,
    });
    let roster = Roster::new(candidates);
    let field = roster.under(&Policy::default());
    let places = field.place(segment, &[], &[]);
    places.into_iter().map(|it| it.0 as usize).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_adder_has_pinned_needs_no_fourth_copy() {
    // Nothing is repaired meanwhile, however late somebody hears of a copy: that would be a fourth one, too.
    let mut swarm = Swarm {
        scale: 10.0,
        ..Swarm::private()
    };
    let members = swarm.members(6).await;
    let mut roots = Vec::new();
    // Some that belong elsewhere.
    for seed in 10.. {
        let root = members[0].add(seed, 3).await;
        members[0].placed(root).await;
        let segment = members[0].status(root).await.segments[0].segment;
        if !places(&members, &segment).contains(&0) {
            roots.push(root);
        }
        if roots.len() == 3 {
            break;
        }
    }
    let need = async |member: &Member, root: Cid| {
        let need = member.status(root).await.segments[0].need;
        need.map(|(level, _)| level)
    };
    let holders = |root: Cid| {
        let others = members[1..].iter().filter(|it| it.holds(root));
        others.collect::<Vec<_>>()
    };
    // Nothing is left to do, for any holder: better places would be due in a minute.
    for &root in &roots {
        for holder in holders(root).into_iter().chain([&members[0]]) {
            holder.sees_copies(root, 3).await;
            until(async || need(holder, root).await.is_none()).await;
        }
    }
    for &root in &roots {
        assert_eq!(holders(root).len(), 2, "and the one that is pinned");
    }
    // Another wants one of them, too, and who added it does so no more.
    let root = roots[0];
    let policy = Policy::default();
    let wish = Wish {
        policy,
        expires: None,
    };
    members[1].replication.want(root, wish).await.unwrap();
    until(|| async { members[0].status(root).await.owners.len() == 2 }).await;
    assert!(members[0].replication.withdraw(root).await.unwrap());
    assert!(members[0].holds(root), "before the pin goes");
    members[0].repo.pins().unpin(&root).unwrap();
    for holder in holders(root) {
        until(async || need(holder, root).await == Some(planner::Level::Place)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_and_lost_is_found_by_comparing() {
    let members = Swarm::private().members(4).await;
    let root = members[0].add(7, 3).await;
    members[0].placed(root).await;
    for member in members.iter().filter(|it| it.holds(root)) {
        member.sees_copies(root, 3).await;
    }
    let segment = members[0].status(root).await.segments[0].segment;
    let holder = members.iter().position(|it| it.holds(root)).unwrap();
    let other = |it: &usize| *it != 0 && !members[*it].holds(root);
    let other = (0..4).find(other).unwrap();
    let told = async |from: usize, to: usize, request| {
        let to = members[to].network.peer_id();
        members[from]
            .network
            .ask_replica(to, request)
            .await
            .unwrap();
    };
    let says = |is_pinned| {
        let told = Told {
            segment,
            is_pinned,
            holders: Vec::new(),
        };
        ReplicaRequest::Check(vec![told])
    };
    // As if a word had been lost since: that it has it no more,
    told(other, 0, says(false)).await;
    members[0].sees_copies(root, 4).await;
    members[0].sees_copies(root, 3).await;
    // that it has it,
    let not = ReplicaRequest::Retract(vec![segment]);
    told(holder, 0, not).await;
    members[0].sees_copies(root, 2).await;
    members[0].sees_copies(root, 3).await;
    // and that it is pinned.
    told(0, holder, says(false)).await;
    let need = async || {
        let need = members[holder].status(root).await.segments[0].need;
        need.map(|(level, _)| level)
    };
    let roots = places(&members, &segment);
    if !roots.contains(&0) {
        assert_eq!(need().await, Some(planner::Level::Place));
    }
    until(async || need().await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_to_a_member_that_is_gone_is_made_to_another() {
    // Neither the end of an offer nor a repair comes within the test.
    let mut swarm = Swarm {
        scale: 1.0,
        ..Swarm::private()
    };
    let adder = swarm.member().await;
    let home = Home {
        directory: tempfile::tempdir().unwrap(),
        key: Keypair::generate_ed25519(),
    };
    let repo = Swarm::repo(&home).await;
    let (mute, mut arrivals, _) = swarm.network(&home, &repo).await;
    adder.sees(2).await;
    let root = adder.add(8, 2).await;
    // It accepts, and says nothing more.
    let offered = async {
        loop {
            let asked = arrivals.replica.recv().await.unwrap();
            let is_offer = matches!(asked.request, ReplicaRequest::Offer(_));
            let answer = if is_offer {
                ReplicaResponse::Accepted
            } else {
                ReplicaResponse::Noted
            };
            mute.respond_replica(asked.reply, answer).await;
            if is_offer {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, offered).await.unwrap();
    let other = swarm.member().await;
    adder.sees(3).await;
    assert!(
        !other.holds(root),
        "the one that was offered it is waited for"
    );
    mute.shutdown().await;
    until(|| async { other.holds(root) }).await;
    let placed = adder.placed(root).await;
    assert_eq!((placed.at_quorum, placed.at_target), (1, 1), "{placed:?}");
}
