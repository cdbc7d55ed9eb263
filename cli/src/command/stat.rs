//! `store repo stat` and `store block stat`.

use store_node::api::message::{Item, RepoStat, Request, StatRequest};

use super::target;
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn repo(context: &mut Context) -> Result<(), Error> {
    let request = Request::Stat(StatRequest::Repo);
    let mut conversation = Conversation::open(context, None, &request, "counting")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Repo(stat)) = answer {
            context.output.result(&stat, table)?;
        }
    }
    Ok(())
}

fn table(stat: &RepoStat) -> String {
    output::table(&[
        ("path", stat.path.to_string()),
        ("format", stat.format.to_string()),
        ("blocks", stat.blocks.to_string()),
        ("size", output::size(stat.bytes)),
        ("pins", stat.pins.to_string()),
    ])
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
