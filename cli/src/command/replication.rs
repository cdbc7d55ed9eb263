//! `store pin set`, and what `add` and `pin rm` say of copies on other members.

use std::fmt::Write as _;

use store::Cid;
use store::pin::now;
use store_node::api::client::ClientError;
use store_node::api::message::{
    CopiesAsked, CopiesMade, Failure, FailureKind, Item, PinExpiry, Placed, ReplicationRequest,
    Request, Wanted, WantedCopies,
};

use super::target;
use crate::args::{Copies, PinSet};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

/// What the flags ask for.
pub(super) fn copies(args: &Copies) -> CopiesAsked {
    CopiesAsked {
        replicas: args.replicas,
        wanted: args.wanted.clone(),
        avoid: args.avoid.clone(),
        priority: args.priority,
        wait: args.wait.into(),
        timeout: args.wait_timeout.get(),
    }
}

pub(super) fn set(args: &PinSet, context: &mut Context) -> Result<(), Error> {
    let expiry = match (args.expire_in, args.expire_at) {
        (Some(span), _) => PinExpiry::At(now().saturating_add(span.get().as_secs())),
        (None, Some(date)) => PinExpiry::At(date.0),
        (None, None) => PinExpiry::Never,
    };
    let request = Request::Replication(ReplicationRequest::Want {
        cid: target::bare(&args.cid)?,
        copies: copies(&args.copies),
        expiry,
    });
    let mut conversation = Conversation::open(context, None, &request, "copying")?;
    while let Some(answer) = conversation.next()? {
        match answer {
            Answer::Item(Item::Wanted(wanted)) => context.output.result(&wanted, wanted_line)?,
            Answer::Item(Item::Placed(told)) => placed(&told, context)?,
            _ => {}
        }
    }
    Ok(())
}

/// Beside the results of another verb: for programs with them, for people on stderr.
pub(super) fn wanted(wanted: &Wanted, context: &mut Context) -> Result<(), Error> {
    if context.output.is_json() {
        return context.output.result(wanted, |_| String::new());
    }
    eprintln!("{}", wanted_line(wanted));
    Ok(())
}

/// The same. What is missing is told by the failure at the end.
pub(super) fn placed(placed: &Placed, context: &mut Context) -> Result<(), Error> {
    if context.output.is_json() {
        return context.output.result(placed, |_| String::new());
    }
    if placed.complete {
        eprintln!("{}", placed_line(placed));
    }
    Ok(())
}

/// Whoever made the copies of these went away. Where they were waited for (`copies`), all that was to be added is
/// here, durably, and wanted; else it may be a part of it.
pub(super) fn lost(roots: &[Cid], copies: Option<CopiesMade>) -> Result<(), Error> {
    let Some(copies) = copies else {
        return Err(ClientError::Lost.into());
    };
    let [root, more @ ..] = roots else {
        // Each of them has been told to be complete.
        return Ok(());
    };
    let mut message = format!("`{root}`");
    if !more.is_empty() {
        let _ = write!(message, " and {} more", more.len());
    }
    message.push_str(if more.is_empty() { " is" } else { " are" });
    message.push_str(" added, but the process that made the copies went away: ");
    let heard = match copies.segments {
        0 => "none was heard of".to_owned(),
        segments => format!(
            "{} of {} had a quorum of them when it was last heard",
            copies.at_quorum,
            output::count(segments as u64, "part")
        ),
    };
    message.push_str(&heard);
    Err(Error::Failed(Failure {
        kind: FailureKind::Partial,
        message,
        hint: Some("`store run` has the rest made; `store status CID` says how far it is".into()),
    }))
}

fn placed_line(placed: &Placed) -> String {
    let copies = placed.copies;
    let parts = output::count(copies.segments as u64, "part");
    if copies.at_target == copies.segments {
        return format!("{}  all copies are made, of {parts}", placed.cid);
    }
    format!(
        "{}  {} of {parts} have a quorum of copies, {} all; the rest follows by itself",
        placed.cid, copies.at_quorum, copies.at_target
    )
}

fn wanted_line(wanted: &Wanted) -> String {
    let Some(copies) = &wanted.copies else {
        return format!(
            "{}  no copies on other members are wanted any more",
            wanted.cid
        );
    };
    let mut line = format!("{}  {}", wanted.cid, policy(copies));
    if let Some(expires) = wanted.expires {
        let until = output::time(i64::try_from(expires).unwrap_or(i64::MAX));
        line.push_str("  until ");
        line.push_str(&until);
    }
    line
}

/// `3 copies (2 to 5), zone=eu, not host=old`.
pub(super) fn policy(wanted: &WantedCopies) -> String {
    let mut text = if wanted.everywhere {
        "a copy on every member".to_owned()
    } else {
        let copies = match wanted.target {
            1 => "1 copy".to_owned(),
            target => format!("{target} copies"),
        };
        format!("{copies} ({} to {})", wanted.min, wanted.max)
    };
    for tag in &wanted.wanted {
        text.push_str(", ");
        text.push_str(&tag.escape_debug().to_string());
    }
    for tag in &wanted.avoid {
        text.push_str(", not ");
        text.push_str(&tag.escape_debug().to_string());
    }
    if wanted.priority > 0 {
        let _ = write!(text, ", priority {}", wanted.priority);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_one_line() {
        let wanted = WantedCopies {
            min: 2,
            target: 3,
            max: 5,
            everywhere: false,
            wanted: vec!["zone=eu".into()],
            avoid: vec!["host=old".into()],
            priority: 4,
        };
        assert_eq!(
            policy(&wanted),
            "3 copies (2 to 5), zone=eu, not host=old, priority 4"
        );
        let everywhere = WantedCopies {
            everywhere: true,
            wanted: Vec::new(),
            avoid: Vec::new(),
            priority: 0,
            ..wanted
        };
        assert_eq!(policy(&everywhere), "a copy on every member");
    }
}
