//! `doctor`: what an operator should look at, the worst first, and what to do about each.

use std::collections::{BTreeMap, BTreeSet};

use store::scrub::ScrubState;
use store::wire::member::MemberState;
use store_config::Replicas;

use crate::api::conversation::{Speaker, failure};
use crate::api::message::{Ailment, Failure, FailureKind, Item};
use crate::members::{Health, Member, Sight};
use crate::node::Room;
use crate::replication::planner::Level;
use crate::replication::report::{Doubted, Summary};
use crate::service::Service;

/// With less room than that, in per cent, a member is given no copies (docs/replication.md, "Placement").
const SCARCE: u64 = 15;
/// With less than that, in bytes, the disk is about to be full for everything.
const LEAST: u64 = 1 << 30;
/// Unix seconds of 2026-01-01: before this program was made.
const MADE: u64 = 1_767_225_600;

/// What was looked at.
struct Facts {
    /// Bytes that the repo can hold in all, and those that are left.
    space: Option<(u64, u64)>,
    /// Findings of the scrub's pass.
    scrub: u64,
    /// Unix seconds.
    now: u64,
    /// Whether the swarm is a private one.
    private: bool,
    /// Owners that are stored for.
    accepted: usize,
    /// Copies that the settings want.
    target: usize,
    /// Whether metrics are served.
    metrics: bool,
    /// Of the node, where one runs.
    node: Option<(Summary, Sight, Vec<Member>)>,
}

impl Service {
    pub(super) fn doctor(&self, speaker: &Speaker) -> Result<(), Failure> {
        let mut serious = 0;
        for ailment in ailments(&self.facts()?) {
            serious += usize::from(ailment.serious);
            speaker.item(Item::Ailment(ailment))?;
        }
        if serious == 0 {
            return Ok(());
        }
        let what = if serious == 1 {
            "one thing needs".to_owned()
        } else {
            format!("{serious} things need")
        };
        Err(failure(
            FailureKind::Partial,
            format!("{what} to be looked at"),
        ))
    }

    fn facts(&self) -> Result<Facts, Failure> {
        let node = match self.member() {
            Ok((joined, replication)) => {
                let summary = joined.wait_for(replication.summary())?;
                Some((summary, joined.sight(), joined.members()))
            }
            Err(_) => None,
        };
        let target = match self.config.replication.replicas {
            Replicas::Copies { target, .. } => target.into(),
            Replicas::None | Replicas::Everywhere => 0,
        };
        // A node has told it to the others, and knows what of it is only cache.
        let mut members = node.iter().flat_map(|(_, _, members)| members);
        let me = members.find(|member| member.local && member.record.capacity.0 > 0);
        let told = me.map(|me| (me.record.capacity.bytes(), me.record.free.bytes()));
        let space = told.or_else(|| Room::default().look(&self.repo).ok());
        Ok(Facts {
            space,
            scrub: ScrubState::of(self.repo.blocks())?.found,
            now: store::pin::now(),
            private: self.swarm_key()?.is_some(),
            accepted: self.owners.list()?.len(),
            target,
            metrics: self.config.metrics.address.0.is_some(),
            node,
        })
    }
}

/// The worst first.
fn ailments(facts: &Facts) -> Vec<Ailment> {
    let mut found = Vec::new();
    if facts.node.is_none() {
        found.push(serious(
            "no_node",
            "no node runs on this repo: it makes no copies, and serves none",
            "start it with `store run`, or as a service (docs/operations.md)",
        ));
    }
    if let Some((summary, ..)) = &facts.node
        && let Some(why) = &summary.read_only
    {
        found.push(serious(
            "read_only",
            &format!("this node takes nothing new: {why}"),
            "make room, or look at the disk: docs/operations.md, \"A failing disk\"",
        ));
    }
    found.extend(disk(facts));
    if let Some((summary, sight, members)) = &facts.node {
        found.extend(swarm(facts, summary, *sight));
        found.extend(copies(summary));
        found.extend(places(facts, summary, members));
        found.extend(doubted(summary));
        found.extend(leaving(summary, members));
        found.extend(rot(summary));
    }
    if facts.scrub > 0 {
        let count = facts.scrub;
        found.push(serious(
            "scrub",
            &format!("the scrub has found {count} things that are rotten or missing"),
            "what copies are wanted of is fetched again by itself, the rest by `store verify --repair`; look at the disk",
        ));
    }
    if facts.now < MADE {
        found.push(serious(
            "clock",
            "this machine's clock is years behind: pins would seem never to expire",
            "set it, and keep it by NTP",
        ));
    }
    if let Some((.., members)) = &facts.node {
        found.extend(versions(members));
    }
    if !facts.metrics {
        found.push(known(
            "metrics",
            "metrics are not served: nobody is told when something goes wrong",
            "`metrics.address = \"127.0.0.1:9170\"`, and an alert on `store_*` (docs/operations.md)",
        ));
    }
    found
}

fn disk(facts: &Facts) -> Option<Ailment> {
    let (capacity, free) = facts.space?;
    let percent = free.saturating_mul(100).checked_div(capacity)?;
    if free >= LEAST.min(capacity / 2) && percent >= SCARCE {
        return None;
    }
    Some(serious(
        "disk",
        &format!(
            "{percent} % of the room is left ({} MiB): this node is given no copies below {SCARCE} %",
            free >> 20
        ),
        "make room on the disk, raise `storage.quota`, or add a member",
    ))
}

fn swarm(facts: &Facts, summary: &Summary, sight: Sight) -> Vec<Ailment> {
    let mut found = Vec::new();
    let Sight {
        usual,
        in_sight,
        vanished,
    } = sight;
    if sight.is_eclipsed() && usual > 1 {
        found.push(serious(
            "sight",
            &format!(
                "{in_sight} of {usual} members are in sight, {vanished} vanished lately: this node may be cut off. \
                 Only last copies are repaired"
            ),
            "look at the network, here and there; `store members` says who is gone. It goes on by itself",
        ));
    } else if vanished > 0 {
        found.push(known(
            "sight",
            &format!("{vanished} of {usual} members vanished lately, or are doubted"),
            "`store members` says which; what they hold is repaired if they stay away",
        ));
    }
    if usual <= 1 && (facts.private || summary.pins > 0) {
        found.push(serious(
            "alone",
            "this node knows no other member: copies can be made nowhere",
            "`store run --bootstrap ADDR` with the address of another; `store swarm id` must say the same on both",
        ));
    }
    found
}

/// Those that lack, by urgency.
fn copies(summary: &Summary) -> Vec<Ailment> {
    let mut found = Vec::new();
    let parts = |level: Level| summary.deficits[level as usize].0;
    let last = parts(Level::Last);
    if last > 0 {
        found.push(serious(
            "last_copies",
            &format!("of {last} parts this node has the only copy that is in sight"),
            "bring back the members that have others; keep this node up: it copies them within minutes",
        ));
    }
    let few = parts(Level::Minimum);
    if few > 0 {
        found.push(serious(
            "below_minimum",
            &format!("{few} parts have as few copies as may be"),
            "they are repaired in ten minutes; `store status` says how far it is, `store repair --rate` speeds it up",
        ));
    }
    if summary.rate == 0 {
        found.push(serious(
            "paused",
            "repairs are paused",
            "`store repair --resume`",
        ));
    }
    found
}

/// Whether there are places for as many copies as are wanted.
fn places(facts: &Facts, summary: &Summary, members: &[Member]) -> Vec<Ailment> {
    let mut found = Vec::new();
    let here = members.iter().filter(|it| it.health == Health::Alive);
    let hosts: BTreeSet<_> = here.map(Member::host).collect();
    let (hosts, target) = (hosts.len(), facts.target);
    // Whoever is alone has been told so.
    if summary.pins > 0 && hosts > 1 && hosts < target {
        found.push(serious(
            "hosts",
            &format!("{target} copies are wanted by default, and the members are on {hosts} hosts"),
            "add members on further machines, or want fewer (`replication.replicas`)",
        ));
    }
    if !facts.private && facts.accepted == 0 && summary.pins > 0 {
        found.push(serious(
            "nobody_accepted",
            "in this open swarm copies are wanted, and this node stores for nobody",
            "`store swarm accept OWNER --quota 50GiB`, here and on the others; or a private swarm: `store swarm init`",
        ));
    }
    found
}

/// Who did not keep what it said, in this member's own eyes.
fn doubted(summary: &Summary) -> Vec<Ailment> {
    let name = |it: &Doubted| {
        let Doubted { peer, trust, takes } = it;
        let gets = if *takes {
            ""
        } else {
            ", and given nothing new"
        };
        format!("{peer} is trusted to {:.0} %{gets}", trust * 100.0)
    };
    let advice = "it said that it has what it has not, was late each time, or refused what it tells of room for: look at its \
                  disk and its link; what it was trusted with is copied elsewhere";
    let ailment = |it: &Doubted| {
        let tell = if it.takes { known } else { serious };
        tell("doubted", &name(it), advice)
    };
    summary.doubted.iter().map(ailment).collect()
}

/// Copies here that were not what they should be.
fn rot(summary: &Summary) -> Option<Ailment> {
    let advice = "look at the disk (`smartctl -a`): what rots once rots again; `store verify` reads all that is here";
    let Summary {
        mending, rotten, ..
    } = summary;
    match (mending, rotten) {
        (0, 0) => None,
        (0, _) => Some(known(
            "rot",
            &format!(
                "{rotten} parts here were rotten since the node began, and were fetched again"
            ),
            advice,
        )),
        _ => Some(serious(
            "rot",
            &format!("{mending} parts here are rotten, and are being fetched again"),
            advice,
        )),
    }
}

/// Who is about to leave.
fn leaving(summary: &Summary, members: &[Member]) -> Vec<Ailment> {
    let mut found = Vec::new();
    if summary.draining {
        found.push(known(
            "draining",
            "this node is about to leave: it takes nothing new, and what it has is copied to others",
            "`store drain --status` says how far it is, `store drain --cancel` lets it stay",
        ));
    }
    let others = members
        .iter()
        .filter(|it| !it.local && it.health == Health::Alive);
    let others = others.filter(|it| it.record.state == MemberState::Leaving);
    let peers = others.filter_map(Member::peer).map(|it| it.to_string());
    let peers: Vec<_> = peers.collect();
    if let Some(first) = peers.first() {
        let what = match peers.len() {
            1 => format!("{first} is about to leave"),
            count => format!("{count} members are about to leave, {first} among them"),
        };
        found.push(known(
            "leaving",
            &what,
            "what they have is copied to others; `store drain --status` there says how far that is",
        ));
    }
    found
}

/// Of members that are here.
fn versions(members: &[Member]) -> Option<Ailment> {
    let mut programs: BTreeMap<&str, usize> = BTreeMap::new();
    for member in members.iter().filter(|it| it.health == Health::Alive) {
        *programs.entry(&member.record.program).or_default() += 1;
    }
    if programs.len() < 2 {
        return None;
    }
    let programs = programs.iter();
    let told = programs.map(|(program, count)| format!("{count} {}", program.escape_debug()));
    let told = told.collect::<Vec<_>>().join(", ");
    Some(known(
        "versions",
        &format!("the members run different versions: {told}"),
        "bring all to the newest one; one after the other, so that copies stay",
    ))
}

fn serious(kind: &str, what: &str, advice: &str) -> Ailment {
    Ailment {
        kind: kind.into(),
        serious: true,
        what: what.into(),
        advice: advice.into(),
    }
}

fn known(kind: &str, what: &str, advice: &str) -> Ailment {
    Ailment {
        serious: false,
        ..serious(kind, what, advice)
    }
}

#[cfg(test)]
mod tests;
