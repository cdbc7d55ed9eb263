//! `store members`.

use std::time::Duration;

use store_node::api::message::{Item, Member, MemberHealth, Request, SwarmRequest};

use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

const HEAD: [&str; 8] = [
    "PEER", "HEALTH", "CAPACITY", "FREE", "RTT", "SEEN", "PROGRAM", "TAGS",
];

pub(crate) fn run(context: &mut Context) -> Result<(), Error> {
    let request = Request::Swarm(SwarmRequest::Members);
    let mut conversation = Conversation::open(context, None, &request, "asking")?;
    let mut members = Vec::new();
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Member(member)) = answer {
            members.push(*member);
        }
    }
    let output = &mut context.output;
    if output.is_json() {
        return members
            .iter()
            .try_for_each(|member| output.result(member, |_| String::new()));
    }
    output.line(&columns(&members))
}

/// A line for each, in columns as wide as they have to be.
fn columns(members: &[Member]) -> String {
    let head = HEAD.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head)
        .chain(members.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..HEAD.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let line = |row: &[String; HEAD.len()]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn row(member: &Member) -> [String; HEAD.len()] {
    let unknown = || "-".to_owned();
    let ago = |ms: u64| format!("{} ago", span(Duration::from_millis(ms)));
    let health = match (member.health, member.since_ms) {
        (MemberHealth::Alive, _) if member.leaving => "leaving".to_owned(),
        (MemberHealth::Alive, _) => "alive".to_owned(),
        (health, since) => {
            let since = Duration::from_millis(since.unwrap_or(0));
            format!("{} {}", health.name(), span(since))
        }
    };
    let tags = member
        .tags
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    [
        member.peer.to_string(),
        health,
        output::size(member.capacity),
        output::size(member.free),
        member.rtt_us.map_or_else(unknown, |us| {
            format!("{:.1} ms", Duration::from_micros(us).as_secs_f64() * 1000.0)
        }),
        if member.local {
            "this node".to_owned()
        } else {
            member.seen_ms.map_or_else(unknown, ago)
        },
        member.program.escape_debug().to_string(),
        tags.collect::<Vec<_>>().join(" "),
    ]
}

/// As long as matters to people: `4s`, `3m`, `5h`, `2d`.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_unit() {
        let spans = [4, 200, 18000, 200_000].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["4s", "3m", "5h", "2d"]);
    }
}
