//! The UnixFS specification's test vectors (specs.ipfs.tech/unixfs, appendix), as far as they can be
//! made from what it says: good ones are made and read, malformed ones are refused.

use std::io::Cursor;

use store::Cid;
use store::block::Block;
use store::blockstore::{Blockstore, Write};
use store::cid::{self, CidError, Form};
use store::dag::{DagError, SourceError};
use store::unixfs::import::{ImportOptions, import};
use store::unixfs::list::Entries;
use store::unixfs::profile::Profile;
use store::unixfs::read::{Range, Reader, stat};
use store::unixfs::{Entry, Piece, export};

use crate::fixture::{Dag, link};

const HELLO: &[u8] = b"hello world\n";
const ASCII: &[u8] = b"hello application/vnd.ipld.car\n";

/// `multiblock.txt`: its leaves, whose bytes are not told.
const LEAVES: [(&str, u64); 5] = [
    (
        "bafkreie5noke3mb7hqxukzcy73nl23k6lxszxi5w3dtmuwz62wnvkpsscm",
        256,
    ),
    (
        "bafkreih4ephajybraj6wnxsbwjwa77fukurtpl7oj7t7pfq545duhot7cq",
        256,
    ),
    (
        "bafkreigu7buvm3cfunb35766dn7tmqyh2um62zcio63en2btvxuybgcpue",
        256,
    ),
    (
        "bafkreicll3huefkc3qnrzeony7zcfo7cr3nbx64hnxrqzsixpceg332fhe",
        256,
    ),
    (
        "bafkreifst3pqztuvj57lycamoi7z34b4emf7gawxs74nwrc2c7jncmpaqm",
        2,
    ),
];
const MULTIBLOCK: &str = "bafybeigcisqd7m5nf3qmuvjdbakl5bdnh4ocrmacaqkpuh77qjvggmt2sa";

type Step = Entry<Cursor<&'static [u8]>>;

fn cid(text: &str) -> Cid {
    cid::parse(text).unwrap()
}

fn file(name: &str, bytes: &'static [u8]) -> Step {
    Entry::file(name, Cursor::new(bytes))
}

fn add(dag: &Dag, profile: Profile, steps: Vec<Step>) -> Cid {
    let options = ImportOptions {
        profile,
        ..ImportOptions::default()
    };
    let steps = steps.into_iter().map(Ok);
    let added = import(Some(&dag.store), &options, steps, &|_| ()).unwrap();
    assert_eq!(added.len(), 1);
    added[0].cid
}

fn bytes(dag: &Dag, root: &Cid, range: Range) -> Result<Vec<u8>, SourceError> {
    let parts: Result<Vec<_>, _> = Reader::open(dag, root, range)?.collect();
    Ok(parts?.concat())
}

fn assert_file(profile: Profile, content: &'static [u8], expected: &str) {
    let dag = Dag::default();
    let root = add(&dag, profile, vec![file("file", content)]);
    assert_eq!(root.to_string(), expected);
    let size = stat(&dag, &root).unwrap().size;
    assert_eq!(size, content.len() as u64);
    assert_eq!(bytes(&dag, &root, Range::default()).unwrap(), content);
}

#[test]
fn files_of_one_block() {
    let v1 = Profile::V1_2025;
    let hello = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4";
    assert_file(v1, HELLO, hello);
    let wrapped = Profile {
        raw_leaves: false,
        ..v1
    };
    let checker = "bafybeifx7yeb55armcsxwwitkymga5xf53dxiarykms3ygqic223w5sk3m";
    assert_file(wrapped, b"Hello from IPFS Gateway Checker\n", checker);
    let inline = |profile: Profile| Profile {
        form: Form {
            inline: Some(32),
            ..profile.form
        },
        ..profile
    };
    assert_file(
        v1,
        b"",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    );
    assert_file(
        wrapped,
        b"",
        "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y",
    );
    assert_file(inline(v1), b"", "bafkqaaa");
    assert_file(
        Profile::V0_2015,
        b"",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
    );
}

#[test]
fn a_file_of_many_blocks_is_known_by_its_root_and_read_as_far_as_it_is_there() {
    let dag = Dag::default();
    let leaves = LEAVES.map(|(leaf, size)| (cid(leaf), size));
    let root = dag.file(b"", &leaves);
    assert_eq!(root.to_string(), MULTIBLOCK);
    assert_eq!(dag.store.get(&root).unwrap().unwrap().len(), 245);
    dag.take_calls();
    assert_eq!(stat(&dag, &root).unwrap().size, 1026);
    assert_eq!(dag.take_calls(), [[root]], "nothing below the root");
    let error = bytes(&dag, &root, Range::default()).unwrap_err();
    assert!(matches!(error, SourceError::NotFound { cid, .. } if cid == leaves[0].0));
}

#[test]
fn ranges_beside_a_missing_block_are_read() {
    let dag = Dag::default();
    let parts = [[1; 1024], [2; 1024], [3; 1024]];
    let leaves = parts.map(|part| dag.leaf(&part));
    let root = dag.file(b"", &leaves.map(|leaf| (leaf, 1024)));
    dag.store.delete_many(&[leaves[1]]).unwrap();
    let part = |offset| {
        let length = Some(1024);
        bytes(&dag, &root, Range { offset, length })
    };
    assert_eq!(part(0).unwrap(), parts[0]);
    assert_eq!(part(2048).unwrap(), parts[2]);
    let error = part(1024).unwrap_err();
    assert!(matches!(error, SourceError::NotFound { cid, .. } if cid == leaves[1]));
    // The range that only touches it fails as well, and says which block is missing.
    assert!(
        part(100)
            .unwrap_err()
            .to_string()
            .contains(&leaves[1].to_string())
    );
}

/// CIDs, and the trees that they are of.
fn trees() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "bafybeietjm63oynimmv5yyqay33nui4y4wx6u3peezwetxgiwvfmelutzu",
            vec![
                Entry::dir("top"),
                Entry::dir("subdir"),
                file("ascii.txt", ASCII),
                file("hello.txt", HELLO),
                Entry::End,
                Entry::End,
            ],
        ),
        (
            "bafybeiegxwlgmoh2cny7qlolykdf7aq7g6dlommarldrbm7c4hbckhfcke",
            vec![
                Entry::dir("top"),
                Entry::dir("foo"),
                file("bar.txt", b"Hello, world!\n"),
                Entry::End,
                file("foo.txt", b"Hello, IPFS!\n"),
                Entry::End,
            ],
        ),
        (
            "bafybeig675grnxcmshiuzdaz2xalm6ef4thxxds6o6ypakpghm5kghpc34",
            vec![
                Entry::dir("top"),
                file(
                    "Portugal%2C+España=Peninsula Ibérica.txt",
                    b"hello from a percent encoded filename\n",
                ),
                Entry::End,
            ],
        ),
        (
            "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
            vec![Entry::dir("top"), Entry::End],
        ),
    ]
}

#[test]
fn directories() {
    for (expected, steps) in trees() {
        let dag = Dag::default();
        let names: Vec<_> = steps
            .iter()
            .skip(1)
            .filter_map(|step| match step {
                Entry::Dir { name, .. } | Entry::File { name, .. } => Some(name.clone()),
                _ => None,
            })
            .collect();
        let root = add(&dag, Profile::V1_2025, steps);
        assert_eq!(root.to_string(), expected);
        let mut found = Vec::new();
        export::export::<SourceError>(&dag, &root, &mut |piece| {
            if let Piece::Dir { name, .. } | Piece::File { name, .. } = piece {
                found.push(name);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(found[1..], names, "{expected}");
    }
    // An inlined directory.
    let form = Form {
        inline: Some(32),
        ..Form::V0
    };
    let profile = Profile {
        form,
        ..Profile::V0_2015
    };
    let root = add(
        &Dag::default(),
        profile,
        vec![Entry::dir("top"), Entry::End],
    );
    assert_eq!(root.to_string(), "bafyaabakaieac");
}

#[test]
fn a_directory_is_listed_without_what_is_in_it() {
    let dag = Dag::default();
    let entries = [
        (
            "ascii-copy.txt",
            "bafkreifkam6ns4aoolg3wedr4uzrs3kvq66p4pecirz6y2vlrngla62mxm",
            31,
        ),
        (
            "ascii.txt",
            "bafkreifkam6ns4aoolg3wedr4uzrs3kvq66p4pecirz6y2vlrngla62mxm",
            31,
        ),
        (
            "hello.txt",
            "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
            12,
        ),
        ("multiblock.txt", MULTIBLOCK, 1271),
    ];
    let links = entries.map(|(name, leaf, tsize)| link(name, cid(leaf), tsize));
    let root = dag.node(
        links.to_vec(),
        &store::unixfs::data::Data::new(store::unixfs::data::Kind::Directory),
    );
    let expected = "bafybeihchr7vmgjaasntayyatmp5sv6xza57iy2h4xj7g46bpjij6yhrmy";
    assert_eq!(root.to_string(), expected);
    let listed: Vec<_> = Entries::open(&dag, &root)
        .unwrap()
        .map(Result::unwrap)
        .map(|entry| (entry.name.to_string(), entry.cid.to_string(), entry.tsize))
        .collect();
    let expected = entries.map(|(name, leaf, tsize)| (name.to_owned(), leaf.to_owned(), tsize));
    assert_eq!(listed, expected);
    assert_eq!(dag.take_calls(), [[root]]);
}

#[test]
fn a_symlink_beside_its_file() {
    let dag = Dag::default();
    let steps = vec![
        Entry::dir("top"),
        Entry::symlink("bar", "foo"),
        file("foo", b"content\n"),
        Entry::End,
    ];
    let root = add(&dag, Profile::V0_2015, steps);
    assert_eq!(
        root.to_string(),
        "QmWvY6FaqFMS89YAQ9NAPjVP4WZKA1qbHbicc9HeSKQTgt"
    );
}

#[test]
fn identity_cids_carry_128_bytes_and_no_more() {
    let of = |size: u8, byte: u8| {
        let mut bytes = vec![1, 0x55, 0, size, 1];
        bytes.extend(vec![byte; size.into()]);
        format!(
            "b{}",
            data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase()
        )
    };
    let fits = of(128, b'B');
    assert!(fits.starts_with("bafkqbaabijbeeqscijbeeqscijbeeqsci"));
    let read = bytes(&Dag::default(), &cid(&fits), Range::default());
    assert_eq!(read.unwrap(), [b'B'; 128]);
    let long = of(129, b'A');
    assert!(long.starts_with("bafkqbaibifaucqkbifaucqkbifaucqkb"));
    let error = cid::parse(&long).unwrap_err();
    assert_eq!(error, CidError::Identity { size: 129 });
    assert!(error.to_string().contains("129 bytes; at most 128"));
}

#[test]
fn malformed_nodes_are_refused_by_whoever_reads_them() {
    let lines = include_str!("../fixtures/malformed.txt").lines();
    assert_eq!(lines.clone().count(), 14);
    for line in lines {
        let (text, hex) = line.split_once(' ').unwrap();
        let hex = hex.trim_start_matches('-');
        let dag = Dag::default();
        let data = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let block = Block::verify(cid(text), data.into()).unwrap();
        dag.store.put_many(&[block], Write::Logged).unwrap();
        let root = cid(text);
        let errors = [
            stat(&dag, &root).map(drop).unwrap_err(),
            Reader::open(&dag, &root, Range::default())
                .map(drop)
                .unwrap_err(),
            Entries::open(&dag, &root).map(drop).unwrap_err(),
            export::export::<SourceError>(&dag, &root, &mut |_| Ok(())).unwrap_err(),
        ];
        for error in errors {
            let named = matches!(
                &error,
                SourceError::Dag(DagError::UnixFs { cid, .. } | DagError::Pb { cid, .. })
                    if *cid == root
            );
            assert!(named, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
