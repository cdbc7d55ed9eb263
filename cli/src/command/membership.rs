//! `store swarm`.

use std::io::{self, Read};

use store_node::api::message::{AcceptedOwner, Item, Membership, MembershipRequest, Request};
use store_node::owners::OwnerKey;
use store_node::swarm_key::SwarmKey;

use crate::args::{Secret, Swarm, SwarmAccept};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

/// A key is some 80 bytes; whoever pipes in more has another file in mind.
const MAX_KEY: u64 = 4096;

pub(crate) fn run(args: Swarm, context: &mut Context) -> Result<(), Error> {
    let quiet = matches!(&args, Swarm::Init(init) if init.quiet);
    let made = matches!(args, Swarm::Init(_));
    let request = Request::Membership(request(args)?);
    let mut conversation = Conversation::open(context, None, &request, "asking")?;
    let output = &mut context.output;
    while let Some(answer) = conversation.next()? {
        match answer {
            Answer::Item(Item::Membership(swarm)) if made && !quiet => {
                output.result(&swarm, new)?;
            }
            Answer::Item(Item::Membership(swarm)) => output.result(&swarm, named)?,
            Answer::Item(Item::AcceptedOwner(owner)) => output.result(&owner, accepted)?,
            _ => {}
        }
    }
    Ok(())
}

fn request(args: Swarm) -> Result<MembershipRequest, Error> {
    Ok(match args {
        Swarm::Init(args) => MembershipRequest::Init { force: args.force },
        Swarm::Join(args) => MembershipRequest::Join {
            key: key(args.key)?,
        },
        Swarm::Leave => MembershipRequest::Leave,
        Swarm::Id => MembershipRequest::Id,
        Swarm::Key => MembershipRequest::Key,
        Swarm::Accept(SwarmAccept {
            owner: Some(name),
            quota: Some(quota),
            ..
        }) => MembershipRequest::Accept(AcceptedOwner {
            owner: owner(&name)?.0,
            quota: quota.bytes(),
        }),
        Swarm::Accept(_) => MembershipRequest::Accepted,
        Swarm::Refuse(args) => MembershipRequest::Refuse {
            owner: owner(&args.owner)?.0,
        },
    })
}

fn key(Secret(mut text): Secret) -> Result<SwarmKey, Error> {
    if text == "-" {
        text.clear();
        io::stdin()
            .lock()
            .take(MAX_KEY)
            .read_to_string(&mut text)
            .map_err(Error::io("read standard input"))?;
    }
    text.trim().parse().map_err(|error| Error::Usage {
        message: format!("{error}"),
        hint: Some(
            "copy it whole from where `store swarm init` or `store swarm key` printed it".into(),
        ),
    })
}

fn owner(text: &str) -> Result<OwnerKey, Error> {
    text.parse().map_err(|error| Error::Usage {
        message: format!("{error}"),
        hint: None,
    })
}

/// The key, or else the name.
fn named(swarm: &Membership) -> String {
    match &swarm.key {
        Some(key) => key.text(),
        None => swarm.network.clone(),
    }
}

fn new(swarm: &Membership) -> String {
    format!(
        "{}\n\nThis machine is of the private swarm {} now. On each other one run `store swarm join -` and \
         paste\nthis key. Whoever has it is a member: keep it like a password.",
        named(swarm),
        swarm.network
    )
}

fn accepted(owner: &AcceptedOwner) -> String {
    format!("{}  {}", owner.owner, output::size(owner.quota))
}
