//! `store pin`.

use store::cid::Cid;
use store::pin::{Label, now};
use store_node::api::message::{
    self, CareItem, Holder, Item, PinExpiry, PinFilter, PinMarks, PinRequest, PinType, PinVerified,
    Request,
};

use super::care::found_line;
use super::target;
use crate::args::{self, Marks, Network, Pin};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &Pin, context: &mut Context) -> Result<(), Error> {
    if let Pin::Set(set) = args {
        return super::replication::set(set, context);
    }
    let (request, network, doing) = request(args, context)?;
    let mut conversation = Conversation::open(context, network, &Request::Pin(request), doing)?;
    if context.output.is_json() && matches!(args, Pin::Add(_)) {
        conversation.tell();
    }
    let mut said = 0;
    while let Some(answer) = conversation.next()? {
        match answer {
            Answer::Told(told) => context.output.result(&told, |_| String::new())?,
            Answer::Item(Item::Pin(pin)) => context.output.result(&pin, line)?,
            Answer::Item(Item::Wanted(wanted)) => super::replication::wanted(&wanted, context)?,
            Answer::Item(Item::Holder(holder)) => {
                if limit(args).is_some_and(|limit| said == limit) {
                    // The one that was asked for to see whether there are more.
                    eprintln!("there are more: `--all` says all");
                    continue;
                }
                said += 1;
                context.output.result(&*holder, holder_line)?;
            }
            Answer::Item(Item::Updated(updated)) => {
                context
                    .output
                    .result(&*updated, |updated| line(&updated.pin))?;
            }
            Answer::Item(Item::Care(CareItem::Finding(found))) => {
                context.output.result(&found, found_line)?;
            }
            Answer::Item(Item::PinVerified(verified)) => {
                context.output.result(&*verified, verified_line)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn request<'a>(
    args: &'a Pin,
    context: &Context,
) -> Result<(PinRequest, Option<&'a Network>, &'static str), Error> {
    Ok(match args {
        Pin::Add(add) => {
            let mut marks = marks(&add.marks);
            if add.no_expire {
                marks.expiry = PinExpiry::Never;
            }
            let request = PinRequest::Add {
                content: target::content(&add.target, Some(&add.wait), context)?,
                direct: add.direct,
                marks,
            };
            (request, Some(&add.network), "fetching")
        }
        Pin::Set(_) => unreachable!("it is no request about pins"),
        Pin::Rm(rm) => {
            let request = PinRequest::Rm {
                cids: bare(&rm.cids)?,
                filter: filter(rm.name.as_ref(), &rm.labels),
            };
            (request, None, "unpinning")
        }
        Pin::Ls(ls) => {
            let request = PinRequest::Ls {
                cids: bare(&ls.cids)?,
                filter: filter(ls.name.as_ref(), &ls.labels),
                kind: match ls.kind {
                    args::PinType::Recursive => PinType::Recursive,
                    args::PinType::Direct => PinType::Direct,
                    args::PinType::Indirect => PinType::Indirect,
                    args::PinType::All => PinType::All,
                },
            };
            (request, None, "listing")
        }
        Pin::Update(update) => {
            let request = PinRequest::Update {
                old: target::bare(&update.old)?,
                new: target::content(&update.new, Some(&update.wait), context)?,
                keep_old: update.keep_old,
            };
            (request, Some(&update.network), "fetching")
        }
        Pin::Why(why) => {
            let request = PinRequest::Why {
                cid: target::bare(&why.cid)?,
                limit: limit(args).map(|limit| limit.saturating_add(1)),
            };
            (request, None, "searching")
        }
        Pin::Verify(verify) => {
            let cids = bare(&verify.cids)?;
            (PinRequest::Verify { cids }, None, "verifying")
        }
    })
}

/// What is said of a pin.
pub(crate) fn marks(marks: &Marks) -> PinMarks {
    let expiry = match (marks.expire_in, marks.expire_at) {
        (Some(span), _) => PinExpiry::At(now().saturating_add(span.get().as_secs())),
        (None, Some(date)) => PinExpiry::At(date.0),
        (None, None) => PinExpiry::Unsaid,
    };
    PinMarks {
        name: marks.name.clone(),
        labels: pairs(&marks.labels),
        expiry,
    }
}

fn filter(name: Option<&String>, labels: &[Label]) -> PinFilter {
    PinFilter {
        name: name.cloned(),
        labels: pairs(labels),
    }
}

fn pairs(labels: &[Label]) -> Vec<(String, String)> {
    let pair = |label: &Label| (label.key.clone(), label.value.clone());
    labels.iter().map(pair).collect()
}

fn bare(texts: &[String]) -> Result<Vec<Cid>, Error> {
    texts.iter().map(|text| target::bare(text)).collect()
}

/// How many holders are printed.
fn limit(args: &Pin) -> Option<usize> {
    match args {
        Pin::Why(why) if !why.all => Some(why.limit),
        _ => None,
    }
}

fn line(pin: &message::Pin) -> String {
    let mut parts = vec![pin.cid.to_string()];
    parts.extend(marked(pin));
    if pin.kind == PinType::Direct {
        parts.push("direct".into());
    }
    parts.join("  ")
}

pub(super) fn holder_line(holder: &Holder) -> String {
    let how = match (holder.kind, &holder.held) {
        (_, Some((first, count))) => {
            format!("held, with {count} children from number {first} on, of")
        }
        (PinType::Recursive, _) => "recursive".into(),
        (PinType::Direct, _) => "direct".into(),
        _ => "indirect through".into(),
    };
    let mut parts = vec![format!("{}  {how} {}", holder.cid, holder.root)];
    if matches!(holder.kind, PinType::Recursive | PinType::Direct) {
        parts = vec![format!("{}  {how}", holder.cid)];
    }
    parts.extend(holder.pin.iter().flat_map(marked));
    parts.join("  ")
}

fn verified_line(verified: &PinVerified) -> String {
    let PinVerified {
        pin,
        blocks,
        bytes,
        damaged,
    } = verified;
    let size = output::size(*bytes);
    let what = match damaged {
        0 => format!("whole: {}, {size}", output::count(*blocks, "block")),
        damaged => {
            let blocks = output::count(*blocks, "block");
            format!("not whole: {damaged} of {blocks} missing or rotten")
        }
    };
    format!("{}  {what}", line(pin))
}

/// Name, labels and the time that is left.
fn marked(pin: &message::Pin) -> Vec<String> {
    let mut parts: Vec<String> = pin
        .name
        .iter()
        .map(|name| name.escape_debug().to_string())
        .collect();
    for (key, value) in &pin.labels {
        parts.push(format!("{}={}", key.escape_debug(), value.escape_debug()));
    }
    parts.extend(
        pin.expires
            .map(|expires| left(expires.saturating_sub(now()))),
    );
    parts
}

/// A time that is left, in two units.
fn left(seconds: u64) -> String {
    let units = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let first = units
        .iter()
        .position(|(unit, _)| seconds >= *unit)
        .unwrap_or(3);
    let mut rest = seconds;
    let parts = units.iter().skip(first).take(2).map(|(unit, name)| {
        let count = rest / unit;
        rest %= unit;
        format!("{count}{name}")
    });
    format!("{} left", parts.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_two_units() {
        for (seconds, text) in [
            (0, "0s left"),
            (59, "59s left"),
            (60, "1m 0s left"),
            (3 * 3600 + 61, "3h 1m left"),
            (30 * 86400 - 1, "29d 23h left"),
        ] {
            assert_eq!(left(seconds), text);
        }
    }
}
