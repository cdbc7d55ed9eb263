//! `store init`.

use serde::Serialize;
use store_node::api::message::{Item, Request, StatRequest};

use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;

/// The repo, for programs.
#[derive(Serialize)]
struct Made {
    path: String,
    format: u32,
}

/// To look at a repo is to make it.
pub(crate) fn run(context: &mut Context) -> Result<(), Error> {
    let request = Request::Stat(StatRequest::Repo { usage: false });
    let mut conversation = Conversation::open(context, None, &request, "making")?;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Repo(stat)) = answer {
            let made = Made {
                path: stat.path.to_string(),
                format: stat.format,
            };
            context
                .output
                .result(&made, |made| format!("repo {} is ready", made.path))?;
        }
    }
    Ok(())
}
