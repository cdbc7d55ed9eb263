//! `store status`.

use std::fmt::Write as _;
use std::time::Duration;

use store_node::api::message::{
    ContentStatus, Item, LocalCopy, MemberShare, RepairRate, ReplicationRequest, Request,
    SwarmStatus,
};

use super::{replication, target};
use crate::args::Status;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &Status, context: &mut Context) -> Result<(), Error> {
    let request = match &args.cid {
        None => ReplicationRequest::Summary,
        Some(cid) => {
            let cid = target::bare(cid)?;
            if args.local {
                ReplicationRequest::Local { cid }
            } else {
                ReplicationRequest::Status { cid }
            }
        }
    };
    let request = Request::Replication(request);
    let mut conversation = Conversation::open(context, None, &request, "asking")?;
    while let Some(answer) = conversation.next()? {
        let Answer::Item(item) = answer else { continue };
        match item {
            Item::Status(status) => context.output.result(&*status, content)?,
            Item::Swarm(status) => context.output.result(&*status, swarm)?,
            Item::Local(copy) => context.output.result(&copy, local)?,
            _ => {}
        }
    }
    Ok(())
}

fn content(status: &ContentStatus) -> String {
    let ContentStatus {
        segments,
        unknown_segments,
        live,
        verified,
        ..
    } = status;
    let mut rows = Vec::new();
    rows.push(("cid", status.cid.to_string()));
    if let Some(wanted) = &status.wanted {
        let owners = output::count(status.owners.len() as u64, "owner");
        let wanted = replication::policy(wanted);
        rows.push(("wanted", format!("{wanted}, by {owners}")));
    }
    rows.push((
        "copies",
        format!("{verified} verified, {live} live, of the part that has fewest"),
    ));
    let mut parts = format!(
        "{}, {}",
        output::count(*segments as u64, "part"),
        output::size(status.bytes)
    );
    if *unknown_segments > 0 {
        let _ = write!(parts, "; of {unknown_segments} nothing is known here");
    }
    rows.push(("content", parts));
    if status.missing_segments > 0 {
        let parts = output::count(status.missing_segments as u64, "part");
        let bytes = output::size(status.missing_bytes);
        rows.push(("missing", format!("{bytes} of copies, of {parts}")));
    }
    if let Some(next) = status.next_repair {
        let due = match next.due_ms {
            0 => "due".to_owned(),
            due => format!("in {}", span(due)),
        };
        rows.push(("next repair", format!("{due}, {}", next.urgency.name())));
    }
    if !status.fetching.is_empty() {
        let peers = output::count(status.fetching.len() as u64, "member");
        rows.push(("fetching", peers));
    }
    let audited = match status.audited_ms {
        Some(ago) => format!("{} ago", span(ago)),
        None => "not yet of all parts".into(),
    };
    rows.push(("last audit", audited));
    let holders = status.members.iter().map(|share| holder(share, *segments));
    let holders: Vec<_> = holders.collect();
    if !holders.is_empty() {
        rows.push(("where", holders.join("\n")));
    }
    output::table(&rows)
}

fn holder(share: &MemberShare, segments: usize) -> String {
    let mut line = format!("{}  {} of {segments}", share.peer, share.segments);
    if share.verified < share.segments {
        let _ = write!(line, ", {} verified", share.verified);
    }
    if share.host != share.peer.to_string() {
        let _ = write!(line, "  host={}", share.host.escape_debug());
    }
    if share.local {
        line.push_str("  this node");
    }
    if share.leaving {
        line.push_str("  about to leave");
    } else if !share.live {
        line.push_str("  not here");
    }
    line
}

fn local(copy: &LocalCopy) -> String {
    let LocalCopy {
        whole,
        segments,
        missing,
        ..
    } = copy;
    let what = if *whole {
        "the whole is here".to_owned()
    } else {
        let here = segments - missing;
        format!("{here} of {segments} parts that belong here are here")
    };
    format!("{}  {what}", copy.cid)
}

fn swarm(status: &SwarmStatus) -> String {
    let members = &status.members;
    let mut seen = format!("{} of {} in sight", members.in_sight, members.usual);
    if members.vanished > 0 {
        let _ = write!(seen, ", {} vanished lately", members.vanished);
    }
    let parts = output::count(status.held_segments as u64, "part");
    let held = format!("{parts}, {}", output::size(status.held_bytes));
    let mut rows = vec![
        ("members", seen),
        ("held", held),
        ("wanted", output::count(status.pins as u64, "content")),
    ];
    let lacking = status.deficits.iter().filter(|it| it.segments > 0);
    let lacking = lacking.map(|it| {
        let parts = output::count(it.segments as u64, "part");
        format!("{}: {parts}, {}", it.urgency.name(), output::size(it.bytes))
    });
    let lacking: Vec<_> = lacking.collect();
    rows.push((
        "missing",
        if lacking.is_empty() {
            "nothing".into()
        } else {
            lacking.join("\n")
        },
    ));
    let offers = format!(
        "{} offered to others, {} fetched, {} in the last minute",
        status.offers,
        status.pulls,
        output::size(status.pulled_lately)
    );
    rows.push(("under way", offers));
    rows.push(("repair", rate(&status.repair)));
    if let Some(left) = status.left_ms {
        rows.push(("left", format!("{} at that rate", span(left))));
    }
    rows.extend(wrong(status));
    let mut brakes = Vec::new();
    if status.repair.paused {
        brakes.push("repairs are paused: `store repair --resume`".to_owned());
    }
    if status.brakes.blind {
        brakes.push("too much is out of sight: only last copies are repaired".to_owned());
    }
    if status.draining {
        brakes.push("this node is about to leave, and takes nothing new: `store drain`".to_owned());
    }
    if let Some(why) = &status.brakes.read_only {
        brakes.push(format!("nothing new is taken: {}", why.escape_debug()));
    }
    if !brakes.is_empty() {
        rows.push(("brakes", brakes.join("\n")));
    }
    output::table(&rows)
}

/// What was found not to be as it was said to be, here and elsewhere.
fn wrong(status: &SwarmStatus) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if status.rotten > 0 {
        let parts = output::count(status.rotten, "part");
        let left = status.mending;
        rows.push((
            "rotten",
            format!("{parts} since the node began, {left} not fetched again yet"),
        ));
    }
    let doubted = status.doubted.iter().map(|it| {
        let gets = if it.takes { "" } else { ", gets nothing new" };
        format!("{}: trusted to {} %{gets}", it.peer, it.trust)
    });
    let doubted: Vec<_> = doubted.collect();
    if !doubted.is_empty() {
        rows.push(("doubted", doubted.join("\n")));
    }
    rows
}

/// `32.0 MiB/s`, or what is instead of it.
pub(super) fn rate(repair: &RepairRate) -> String {
    let told = |rate: Option<u64>| match rate {
        Some(rate) => format!("{}/s", output::size(rate)),
        None => "without limit".to_owned(),
    };
    if repair.paused {
        return format!("paused; {} when resumed", told(repair.configured));
    }
    if repair.rate == repair.configured {
        return told(repair.rate);
    }
    format!(
        "{}, by the settings {}",
        told(repair.rate),
        told(repair.configured)
    )
}

/// To the second, or exactly where it is shorter.
fn span(ms: u64) -> store_config::Duration {
    if ms < 1000 {
        return store_config::Duration(Duration::from_millis(ms));
    }
    store_config::Duration::from_secs(ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_told_with_what_the_settings_say() {
        let of = |rate, configured| super::rate(&RepairRate::of(rate, configured));
        assert_eq!(of(32 << 20, Some(32 << 20)), "32.0 MiB/s");
        assert_eq!(of(u64::MAX, None), "without limit");
        assert_eq!(of(0, Some(32 << 20)), "paused; 32.0 MiB/s when resumed");
        assert_eq!(
            of(64 << 20, None),
            "64.0 MiB/s, by the settings without limit"
        );
    }

    #[test]
    fn spans_have_no_more_than_matters() {
        assert_eq!(span(90_500).to_string(), "1m 30s");
        assert_eq!(span(45).to_string(), "45ms");
    }
}
