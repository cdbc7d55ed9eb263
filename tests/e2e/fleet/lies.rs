//! A swarm with a member that lies: how soon the others find it out, each by itself, and what it loses by it.

use std::thread;
use std::time::{Duration, Instant};

use super::contents::{Content, add, at_target};
use super::liar::{self, Handle, Lie};
use super::{Lots, MIB, Plan, Swarm};

/// Until what it said it had is on others.
const MADE: Duration = Duration::from_secs(180);

/// What the swarm is made of.
pub struct Lies {
    pub lie: Lie,
    /// Honest ones.
    pub members: usize,
    /// By what all waits of replication are divided.
    pub scale: u64,
    /// Of 1 MiB each, at three copies.
    pub contents: u64,
    /// Whether it is to be found out by all. In a small swarm somebody may never have a copy beside one of its own, and
    /// never ask.
    pub by_all: bool,
    /// Given up after this.
    pub limit: Duration,
}

/// When it was found out, since the first content was added.
#[derive(Debug, Default)]
pub struct FoundOut {
    /// The first of the others trusted it less.
    pub first: Option<Duration>,
    /// The first gave it nothing new.
    pub refused: Option<Duration>,
    /// All who could know trusted it by half at most (of one that admits it: three quarters), or gave it nothing new.
    pub by_all: Option<Duration>,
    /// No copy of its counted any more, and there were three others of each content.
    pub mended: Option<Duration>,
    /// How far each trusted it at the end, in per cent; and who gave it something new then.
    pub trust: Vec<(u64, bool)>,
    /// Whether `store doctor` named it.
    pub is_named: bool,
}

/// Lets it lie; `Err` says what is not as it should be.
pub fn found_out(plan: &Lies) -> Result<FoundOut, String> {
    let swarm = Swarm::new(Plan {
        members: plan.members,
        zones: plan.members,
        scale: plan.scale,
        ..Plan::default()
    });
    let liar = liar::Plan {
        lie: plan.lie,
        key: swarm.key.clone(),
        listen: "/ip4/127.0.0.1/tcp/0".into(),
        known: swarm.all_known(),
        // As much as the others; or as nobody has.
        room: if plan.lie == Lie::Room {
            1 << 40
        } else {
            1 << 30
        },
        zone: "elsewhere".into(),
    };
    let liar = Handle::start(liar, swarm.place.path("liar"));
    swarm.sees(&liar.peer);
    let ended = watched(&swarm, plan, &liar.peer);
    if ended.is_err() {
        swarm.print_logs(30);
    }
    ended
}

fn watched(swarm: &Swarm, plan: &Lies, liar: &str) -> Result<FoundOut, String> {
    let began = Instant::now();
    let mut found = FoundOut::default();
    let mut contents: Vec<Content> = Vec::new();
    let mut lots = Lots(plan.scale);
    let copies = ["--replicas", "3", "--wait", "quorum"];
    loop {
        // One after the other while it is looked: who refuses is not found out by one offer.
        let n = contents.len() as u64;
        if n < plan.contents {
            contents.push(add(swarm, lots.one(swarm.len()), n, MIB, &copies));
        }
        let is_found = look(swarm, plan, liar, began, &mut found);
        let is_done = contents.len() as u64 == plan.contents && is_found;
        if is_done && plan.lie == Lie::Loses {
            return Ok(found);
        }
        if is_done && counts(swarm, &contents, liar) == 0 {
            at_target(swarm, &contents, MADE)?;
            if counts(swarm, &contents, liar) == 0 {
                found.mended = Some(began.elapsed());
                look(swarm, plan, liar, began, &mut found);
                return Ok(found);
            }
        }
        if began.elapsed() > plan.limit {
            let counts = counts(swarm, &contents, liar);
            return Err(format!(
                "after {:?} it is not found out: {found:?}, and {counts} of its copies count",
                plan.limit
            ));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// What each of the others thinks of it now; whether it is found out.
fn look(swarm: &Swarm, plan: &Lies, liar: &str, began: Instant, found: &mut FoundOut) -> bool {
    let lie = plan.lie;
    found.trust.clear();
    for i in 0..swarm.len() {
        let told = swarm.status(i);
        let mut doubted = told["doubted"].as_array().into_iter().flatten();
        let it = doubted.find(|it| it["peer"] == liar);
        let trust = it.and_then(|it| it["trust"].as_u64()).unwrap_or(100);
        let takes = it.is_none_or(|it| it["takes"] == true);
        found.trust.push((trust, takes));
    }
    let note = |when: &mut Option<Duration>, is_so: bool| {
        if is_so {
            when.get_or_insert_with(|| began.elapsed());
        }
    };
    let all = || found.trust.iter();
    // Who says that it has it not says the truth: it loses weight by it as long as it takes more.
    let enough = if lie == Lie::Loses { 75 } else { 50 };
    let is_found = |(trust, takes): &(u64, bool)| *trust <= enough || !takes;
    // Only who offers it something learns that it has no room.
    let by_all = match lie {
        Lie::Room => all().any(is_found),
        _ => all().all(is_found),
    };
    let (first, refused) = (all().any(|it| it.0 < 100), all().any(|it| !it.1));
    note(&mut found.first, first);
    note(&mut found.refused, refused);
    note(&mut found.by_all, by_all);
    if refused && !found.is_named {
        for i in 0..swarm.len() {
            let (told, _) = swarm.json(i, &["doctor"]);
            let names = |it: &serde_json::Value| {
                let what = it["what"].as_str().unwrap_or_default();
                it["kind"] == "doubted" && it["serious"] == true && what.contains(liar)
            };
            found.is_named |= told.iter().any(names);
        }
    }
    if plan.by_all {
        by_all && (found.is_named || !refused)
    } else {
        found.is_named
    }
}

/// Contents of which a copy of it counts, by those who added them.
fn counts(swarm: &Swarm, contents: &[Content], liar: &str) -> usize {
    let counts = |content: &&Content| {
        let (told, _) = swarm.json(content.at, &["status", &content.cid]);
        let members = told.last().and_then(|it| it["members"].as_array());
        let is_it = |it: &&serde_json::Value| it["peer"] == liar && it["verified"] != 0;
        members.is_none_or(|members| members.iter().any(|it| is_it(&it)))
    };
    contents.iter().filter(counts).count()
}
