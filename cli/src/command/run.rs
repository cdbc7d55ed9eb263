//! `store run`.

use std::path::Path;

use store_node::api::client::Client;
use store_node::api::message::{Event, Item, Request, SwarmRequest};

use crate::args::Run;
use crate::context::Context;
use crate::exit::Error;

pub(crate) fn run(_args: &Run, context: &mut Context) -> Result<(), Error> {
    if node_runs(&context.repo) {
        return Err(Error::AlreadyRuns {
            repo: context.repo.clone(),
        });
    }
    Err(Error::Usage {
        message: "`run` is not built yet".into(),
        hint: None,
    })
}

/// Whether the repo's holder, if there is one, is a node: only nodes have addresses.
fn node_runs(repo: &Path) -> bool {
    let ask = || -> Result<bool, Error> {
        let mut client = Client::connect(repo)?;
        client.send(&Request::Swarm(SwarmRequest::Id))?;
        while let Some(event) = client.next()? {
            if let Event::Item(Item::Id(id)) = event {
                return Ok(!id.addresses.is_empty());
            }
        }
        Ok(false)
    };
    ask().unwrap_or(false)
}
