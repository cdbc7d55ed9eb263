//! `store repo stat` and `store block stat`.

use store_node::api::message::{Item, RepoStat, Request, StatRequest};

use super::target;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn repo(quick: bool, context: &mut Context) -> Result<(), Error> {
    let request = Request::Stat(StatRequest::Repo { usage: !quick });
    let mut conversation = Conversation::open(context, None, &request, "counting")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Repo(stat)) = answer {
            context.output.result(&stat, table)?;
        }
    }
    Ok(())
}

fn table(stat: &RepoStat) -> String {
    let mut rows = vec![
        ("path", stat.path.to_string()),
        ("format", stat.format.to_string()),
        ("blocks", stat.blocks.to_string()),
        ("stored", stored(stat)),
    ];
    if stat.referenced > 0 {
        rows.push(("in files", output::size(stat.referenced)));
    }
    if let Some(usage) = stat.usage {
        rows.push(("  pinned", output::size(usage.pinned)));
        rows.push(("  cached", output::size(usage.cached)));
        rows.push(("  reclaimable", output::size(usage.reclaimable)));
    }
    rows.push(("on disk", on_disk(stat)));
    if stat.clones > 0 {
        let (files, size) = (stat.clones, output::size(stat.clone_bytes));
        let what = if files == 1 { "clone" } else { "clones" };
        let text =
            format!("{size} in {files} {what}, shared with the files while those stay as they are");
        rows.push(("beside it", text));
    }
    rows.push(("pins", stat.pins.to_string()));
    output::table(&rows)
}

fn stored(stat: &RepoStat) -> String {
    let stored = output::size(stat.stored);
    match stat.quota {
        Some(quota) => format!("{stored} of {}", output::size(quota)),
        None => stored,
    }
}

fn on_disk(stat: &RepoStat) -> String {
    let disk = output::size(stat.disk);
    match stat.amplification_permille {
        Some(permille) => {
            let hundredths = permille / 10;
            format!(
                "{disk} ({}.{:02} of what is stored)",
                hundredths / 100,
                hundredths % 100
            )
        }
        None => disk,
    }
}

pub(crate) fn block(cid: &str, context: &mut Context) -> Result<(), Error> {
    let request = Request::Stat(StatRequest::Block {
        cid: target::bare(cid)?,
    });
    let mut conversation = Conversation::open(context, None, &request, "looking")?;
    let mut here = false;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Block(stat)) = answer {
            here = stat.size.is_some();
            if here || context.output.is_json() {
                let bytes = stat.size.unwrap_or_default();
                context
                    .output
                    .result(&stat, |stat| format!("{}  {bytes} bytes", stat.cid))?;
            }
        }
    }
    if here {
        Ok(())
    } else {
        Err(Error::NotHere {
            cid: cid.to_owned(),
        })
    }
}
