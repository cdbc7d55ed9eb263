//! What a person means by `CID`, `CID/path` or a link: checked here, before anything is opened.

use std::path::PathBuf;
use std::time::Duration;

use store::cid;
use store::unixfs::Name;
use store_config::Origin;
use store_node::Multiaddr;
use store_node::api::message::Content;
use store_node::link::{Link, SCHEME};

use crate::args::Wait;
use crate::context::Context;
use crate::exit::Error;

/// The content that is asked for. Peers named by `--bootstrap` are asked also where a node runs, which
/// has its own.
pub(crate) fn content(
    target: &str,
    wait: Option<&Wait>,
    context: &Context,
) -> Result<Content, Error> {
    name_of(target)?;
    Ok(Content {
        target: target.to_owned(),
        addresses: addresses(context),
        timeout: timeout(wait, context),
    })
}

/// Peers that are asked besides those that the swarm tells of.
pub(crate) fn addresses(context: &Context) -> Vec<Multiaddr> {
    let typed = matches!(
        context.settings.origin("network.bootstrap"),
        Origin::Flag(_)
    );
    if typed {
        context.config().network.bootstrap.clone()
    } else {
        Vec::new()
    }
}

/// How long to wait for what does not come.
pub(crate) fn timeout(wait: Option<&Wait>, context: &Context) -> Duration {
    wait.and_then(|wait| wait.timeout).map_or_else(
        || context.config().exchange.stall_timeout.get(),
        store_config::Duration::get,
    )
}

/// A file name for the content: the last name of its path, else its CID. Refuses what is no content.
pub(crate) fn name_of(target: &str) -> Result<PathBuf, Error> {
    let (cid, last) = if target.starts_with(SCHEME) {
        let link: Link = target.parse().map_err(|error| Error::Usage {
            message: format!("`{target}` is no link: {error}"),
            hint: Some("`store share CID` makes one".into()),
        })?;
        (link.cid, link.path.last().cloned())
    } else {
        let path = target
            .strip_prefix("/ipfs/")
            .or_else(|| target.strip_prefix("ipfs://"));
        let mut parts = path
            .unwrap_or(target)
            .split('/')
            .filter(|part| !part.is_empty());
        let cid = cid::parse(parts.next().unwrap_or(target))?;
        (cid, parts.next_back().map(Name::from))
    };
    Ok(match last.filter(|name| name.check().is_ok()) {
        Some(name) => name.as_path().to_owned(),
        None => cid.to_string().into(),
    })
}

/// A bare CID.
pub(crate) fn bare(text: &str) -> Result<store::Cid, Error> {
    Ok(cid::parse(text)?)
}

/// Longest time that is printed in milliseconds.
const SHORT: Duration = Duration::from_secs(1);

/// `3.2 s` or `45 ms`.
pub(crate) fn seconds(time: Duration) -> String {
    if time < SHORT {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

    #[test]
    fn a_content_has_the_name_of_its_path_or_its_cid() {
        for (target, name) in [
            (CID.to_owned(), CID),
            (format!("/ipfs/{CID}"), CID),
            (format!("ipfs://{CID}/"), CID),
            (format!("{CID}/a/b.txt"), "b.txt"),
            (format!("{CID}/a/"), "a"),
            (format!("{CID}/.."), CID),
            (format!("store://{CID}/dir/a%20b"), "a b"),
            (format!("store://{CID}"), CID),
        ] {
            assert_eq!(name_of(&target).unwrap(), PathBuf::from(name), "{target}");
        }
        for bad in ["", "hello", "/etc/passwd", "store://hello", "./file"] {
            assert!(name_of(bad).is_err(), "{bad:?}");
        }
    }
}
