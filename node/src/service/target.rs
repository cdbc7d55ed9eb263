//! What a command names: a CID, a path below one, or a link.

use libp2p::Multiaddr;
use store::dag::path::Target;

use crate::api::conversation::failure;
use crate::api::message::{Content, Failure, FailureKind};
use crate::link::{Link, SCHEME};

/// A target, and where its content is said to be.
pub(super) struct Named {
    pub(super) target: Target,
    pub(super) addresses: Vec<Multiaddr>,
}

/// Reads what a command names.
pub(super) fn parse(content: &Content) -> Result<Named, Failure> {
    let mut named = parse_text(&content.target)?;
    named.addresses.extend(content.addresses.iter().cloned());
    Ok(named)
}

/// Reads a target without addresses of its own.
pub(super) fn parse_text(text: &str) -> Result<Named, Failure> {
    let usage = |message: String| failure(FailureKind::Usage, message);
    if text.starts_with(SCHEME) {
        let link: Link = text.parse().map_err(|error| {
            usage(format!("`{text}` is not a link: {error}"))
                .with_hint("links are made by `store share CID`")
        })?;
        let target = Target {
            cid: link.cid,
            path: link.path,
        };
        return Ok(Named {
            target,
            addresses: link.addresses,
        });
    }
    let target = text
        .parse()
        .map_err(|error: store::dag::path::TargetError| {
            usage(error.to_string())
                .with_hint("name a content by its CID, by CID/path, or by a link of `store share`")
        })?;
    Ok(Named {
        target,
        addresses: Vec::new(),
    })
}
