//! The vectors of IPIP-499, which named the profiles: each lies at an edge or one byte beyond it.
//!
//! Their bytes are a `ChaCha20` stream whose key is the SHA-256 of a seed.

use std::collections::BTreeSet;
use std::io::{self, Read};

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};
use store::unixfs::Entry;
use store::unixfs::import::ImportOptions;
use store::unixfs::profile::Profile;

use crate::vectors::{hash, only};

/// One profile's edges and the CIDs there.
struct Edges {
    profile: Profile,
    hello: &'static str,
    chunk: (&'static str, [&'static str; 2]),
    width: (&'static str, [&'static str; 2]),
    dir_seed: &'static str,
    /// Files, length of their names, length of the last one's name, CID: one node, then a HAMT.
    dirs: [(usize, usize, usize, &'static str); 2],
    empty_dir: &'static str,
    empty_file: &'static str,
}

const V1_2025: Edges = Edges {
    profile: Profile::V1_2025,
    hello: "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
    chunk: (
        "chunk-v1-seed",
        [
            "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta",
            "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64",
        ],
    ),
    width: (
        "v1-2025-seed",
        [
            "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm",
            "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe",
        ],
    ),
    dir_seed: "hamt-unixfs-v1-2025",
    dirs: [
        (
            4766,
            11,
            21,
            "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4",
        ),
        (
            4766,
            11,
            22,
            "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu",
        ),
    ],
    empty_dir: "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
    empty_file: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
};

const V0_2015: Edges = Edges {
    profile: Profile::V0_2015,
    hello: "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",
    chunk: (
        "chunk-v0-seed",
        [
            "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE",
            "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ",
        ],
    ),
    width: (
        "v0-seed",
        [
            "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2",
            "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW",
        ],
    ),
    dir_seed: "hamt-unixfs-v0-2015",
    dirs: [
        (
            4096,
            30,
            30,
            "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN",
        ),
        (
            4033,
            31,
            31,
            "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP",
        ),
    ],
    empty_dir: "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
    empty_file: "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
};

#[test]
fn edges_of_v1_2025_are_where_the_proposal_has_them() {
    check(&V1_2025);
}

#[test]
fn edges_of_v0_2015_are_where_the_proposal_has_them() {
    check(&V0_2015);
}

fn check(edges: &Edges) {
    let profile = edges.profile;
    let options = ImportOptions {
        profile,
        ..ImportOptions::default()
    };
    let file = |content: &mut (dyn Read + Send)| hash(&options, "file", content).to_string();
    assert_eq!(file(&mut "hello world".as_bytes()), edges.hello);
    assert_eq!(file(&mut io::empty()), edges.empty_file);

    let chunk = profile.chunker.max_size() as u64;
    let width = chunk * profile.file_links as u64;
    for (size, (seed, cids)) in [(chunk, &edges.chunk), (width, &edges.width)] {
        for (more, cid) in cids.iter().enumerate() {
            let size = size + more as u64;
            assert_eq!(
                file(&mut keystream(seed).take(size)),
                *cid,
                "{size} bytes of {seed}"
            );
        }
    }

    assert_eq!(directory(&options, &BTreeSet::new()), edges.empty_dir);
    for (files, length, last, cid) in edges.dirs {
        assert_eq!(
            directory(&options, &names(edges.dir_seed, files, length, last)),
            cid
        );
    }
}

/// The CID of a directory whose files have one byte, `x`.
fn directory(options: &ImportOptions, names: &BTreeSet<String>) -> String {
    let files = names
        .iter()
        .map(|name| Ok(Entry::file(name.as_str(), "x".as_bytes())));
    let begin = [Ok(Entry::dir("dir"))];
    only(
        None,
        options,
        begin.into_iter().chain(files).chain([Ok(Entry::End)]),
    )
    .to_string()
}

/// Names out of the keystream. The alphabet has a zero twice, as Kubo's test has it.
fn names(seed: &str, files: usize, length: usize, last: usize) -> BTreeSet<String> {
    const ALPHABET: &[u8; 39] = b"abcdefghijklmnopqrstuvwxyz01234567890-_";
    let mut stream = keystream(seed);
    let names: BTreeSet<String> = (1..=files)
        .map(|i| {
            let mut bytes = vec![0; if i == files { last } else { length }];
            stream.read_exact(&mut bytes).unwrap();
            bytes
                .iter()
                .map(|&b| char::from(ALPHABET[usize::from(b) % 39]))
                .collect()
        })
        .collect();
    assert_eq!(names.len(), files, "no two are the same");
    names
}

struct Keystream(ChaCha20);

fn keystream(seed: &str) -> Keystream {
    Keystream(ChaCha20::new(&Sha256::digest(seed), &[0; 12].into()))
}

impl Read for Keystream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.fill(0);
        self.0.apply_keystream(buf);
        Ok(buf.len())
    }
}
