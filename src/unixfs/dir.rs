//! Writing a directory: one node, or a HAMT where that would be too large (IPIP-499).

use super::data::{Data, Kind, Metadata};
use super::hamt;
use super::links::Links;
use super::output::{BuildError, Output};
use super::profile::{Estimate, Profile};
use crate::dag::Link;
use crate::dag::pb::{Node, link_field_size, varint_size};

/// Makes a directory of `links`, which are sorted by the bytes of their names, no two the same, and
/// puts its nodes. Its root says `metadata`. The link that comes back has no name.
pub fn build(
    output: &mut Output<'_>,
    profile: &Profile,
    metadata: Metadata,
    links: &Links,
) -> Result<Link, BuildError> {
    let data = Data::new(Kind::Directory).with(metadata).encode();
    if is_large(profile, data.len(), links) {
        return hamt::build(output, profile, metadata, links);
    }
    let node = Node {
        links: links.iter().collect(),
        data: Some(data),
    };
    output.node(profile.form, &node)
}

/// Whether a directory with `data` bytes of UnixFS needs more than one node: one of exactly the
/// threshold's size, or with as many links as there may be, does not.
fn is_large(profile: &Profile, data: usize, links: &Links) -> bool {
    if profile
        .directory_links
        .is_some_and(|most| links.len() > most)
    {
        return true;
    }
    let size: u64 = match profile.hamt_estimate {
        Estimate::Links => links
            .iter()
            .map(|link: Link| (link.name.as_bytes().len() + link.cid.encoded_len()) as u64)
            .sum(),
        Estimate::Block => {
            let field = |link: Link| link_field_size(&link.cid, &link.name, link.tsize) as u64;
            // The data's tag and length are bytes of the block, too.
            let frame = 1 + varint_size(data as u64) + data;
            frame as u64 + links.iter().map(field).sum::<u64>()
        }
    };
    size > profile.hamt_threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cid::{self, Codec, Version};

    fn link(name: usize, version: Version, tsize: u64) -> Link {
        let cid = cid::from_digest(version, Codec::DagPb, &[0; 32]);
        Link {
            cid,
            name: vec![b'a'; name].into(),
            tsize,
        }
    }

    /// Figures of Kubo's own tests.
    #[test]
    fn links_are_measured_as_kubo_does() {
        for (name, tsize, size) in [
            (11, 1, 55),
            (21, 1, 65),
            (22, 1, 66),
            (10, 0, 54),
            (255, 0, 301),
            (255, 34_359_738_367, 305),
        ] {
            let link = link(name, Version::V1, tsize);
            assert_eq!(link_field_size(&link.cid, &link.name, tsize), size);
        }
    }

    #[test]
    fn a_directory_is_sharded_above_the_threshold_and_not_at_it() {
        let mut links = vec![link(11, Version::V1, 1); 4765];
        links.push(link(21, Version::V1, 1));
        assert!(!is_large(&Profile::V1_2025, 2, &links.iter().collect()));
        links[4765] = link(22, Version::V1, 1);
        assert!(is_large(&Profile::V1_2025, 2, &links.iter().collect()));
        links[4765] = link(21, Version::V1, 1);
        assert!(
            is_large(&Profile::V1_2025, 3, &links.iter().collect()),
            "metadata counts"
        );

        let mut links = vec![link(30, Version::V0, 1); 4096];
        assert!(!is_large(&Profile::V0_2015, 2, &links.iter().collect()));
        links[0] = link(31, Version::V0, 1);
        assert!(is_large(&Profile::V0_2015, 2, &links.iter().collect()));

        let few = Profile {
            directory_links: Some(3),
            ..Profile::V1_2025
        };
        assert!(!is_large(&few, 2, &links[..3].iter().collect()));
        assert!(is_large(&few, 2, &links[..4].iter().collect()));
    }
}
