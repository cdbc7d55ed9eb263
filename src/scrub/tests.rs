use bytes::Bytes;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::block::Block;
use crate::blockstore::{Blockstore, Write};
use crate::cid::{Codec, Key, Version};
use crate::dag::{Link, pb};
use crate::repo::{Repo, RepoOptions};
use crate::unixfs::data::{Data, Kind as NodeKind};

fn repo() -> (TempDir, Repo) {
    let dir = tempdir().unwrap();
    let options = RepoOptions {
        low_memory: true,
        ..RepoOptions::default()
    };
    let repo = Repo::open(&dir.path().join("repo"), &options).unwrap();
    (dir, repo)
}

fn leaf(number: usize) -> Block {
    let data: Bytes = number.to_le_bytes().repeat(700).into();
    Block::hash(Version::V1, Codec::Raw, data).unwrap()
}

/// A file of three leaves, and its node.
fn file(first: usize) -> Vec<Block> {
    let mut blocks: Vec<Block> = (first..first + 3).map(leaf).collect();
    let link = |block: &Block| Link {
        cid: *block.cid(),
        name: "".into(),
        tsize: block.data().len() as u64,
    };
    let data = Data {
        blocksizes: blocks.iter().map(|b| b.data().len() as u64).collect(),
        filesize: Some(3 * 5600),
        ..Data::new(NodeKind::File)
    };
    let node = pb::Node {
        links: blocks.iter().map(link).collect(),
        data: Some(data.encode()),
    };
    blocks.push(Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap());
    blocks
}

fn all(repo: &Repo) -> Examined {
    let mut pass = Pass::new(Arc::clone(repo.blocks()));
    let mut all = Examined::default();
    while let Some(some) = pass.step().unwrap() {
        all.blocks += some.blocks;
        all.bytes += some.bytes;
        all.findings.extend(some.findings);
    }
    all
}

fn kinds(found: &Examined) -> Vec<(Kind, Option<Key>)> {
    let kinds = found.findings.iter();
    kinds.map(|found| (found.kind, found.key.clone())).collect()
}

fn put(repo: &Repo, blocks: &[Block]) {
    repo.blocks().put_many(blocks, Write::Logged).unwrap();
}

fn set(repo: &Repo, family: &str, key: &[u8], value: Option<&[u8]>) {
    let change = (key.to_vec(), value.map(<[u8]>::to_vec));
    repo.blocks().table_write(family, &[change]).unwrap();
}

fn key(block: &Block) -> Key {
    Key::of(block.cid())
}

#[test]
fn each_sort_of_damage_is_told_from_the_others() {
    let (_dir, repo) = repo();
    put(&repo, &file(0));
    put(&repo, &file(10));
    let found = all(&repo);
    assert_eq!(found.findings, []);
    assert_eq!(found.blocks, 8);
    assert_eq!(found.bytes, repo.blocks().totals().unwrap().bytes);

    let (rotten, dangling, orphan) = (leaf(0), leaf(1), leaf(2));
    let node = file(10).pop().unwrap();
    set(
        &repo,
        schema::BLOCKS,
        key(&rotten).as_bytes(),
        Some(b"other bytes"),
    );
    set(&repo, schema::BLOCKS, key(&dangling).as_bytes(), None);
    set(&repo, schema::INDEX, key(&orphan).as_bytes(), None);
    set(&repo, schema::LINKS, key(&node).as_bytes(), Some(&[]));
    let mut expected = vec![
        (Kind::Rot, Some(key(&rotten))),
        (Kind::Dangling, Some(key(&dangling))),
        (Kind::Orphan, Some(key(&orphan))),
        (Kind::Links, Some(key(&node))),
    ];
    expected.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(kinds(&all(&repo)), expected);

    // What is rotten or has no bytes counts as missing, and the next put brings it back.
    for block in [&rotten, &dangling] {
        assert!(!repo.blocks().has(block.cid()).unwrap());
    }
    put(&repo, &[rotten, dangling, orphan]);
    assert_eq!(kinds(&all(&repo)), [(Kind::Links, Some(key(&node)))]);
    let blocks = repo.blocks();
    blocks
        .index_again(key(&node).as_bytes(), node.data())
        .unwrap();
    assert_eq!(kinds(&all(&repo)), []);
    assert_eq!(blocks.links(node.cid()).unwrap().unwrap().len(), 3);
}

#[test]
fn a_block_that_can_be_read_again_is_no_longer_rotten() {
    let (_dir, repo) = repo();
    put(&repo, &[leaf(0)]);
    repo.blocks().mark_rotten(&[key(&leaf(0))]).unwrap();
    assert!(!repo.blocks().has(leaf(0).cid()).unwrap());
    assert_eq!(kinds(&all(&repo)), []);
    assert!(repo.blocks().has(leaf(0).cid()).unwrap());
}

#[test]
fn a_dag_is_walked_behind_what_is_rotten() {
    let (_dir, repo) = repo();
    let blocks = file(0);
    put(&repo, &blocks);
    let root = blocks[3].clone();
    set(&repo, schema::BLOCKS, key(&root).as_bytes(), Some(b"x"));
    set(
        &repo,
        schema::BLOCKS,
        key(&blocks[2]).as_bytes(),
        Some(b"y"),
    );
    repo.blocks().delete_many(&[*blocks[1].cid()]).unwrap();
    let mut dag = Dag::new(Arc::clone(repo.blocks()), *root.cid());
    let mut found = Vec::new();
    while let Some(some) = dag.step().unwrap() {
        found.extend(kinds(&some));
    }
    let expected = [
        (Kind::Rot, Some(key(&root))),
        (Kind::Missing, Some(key(&blocks[1]))),
        (Kind::Rot, Some(key(&blocks[2]))),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_scrub_goes_on_where_it_was_and_rests_when_it_is_done() {
    let (_dir, repo) = repo();
    // More than one step.
    let blocks: Vec<Block> = (0..600).map(leaf).collect();
    put(&repo, &blocks);
    let open = || Scrub::new(Arc::clone(repo.blocks()), Duration::from_secs(24 * 3600)).unwrap();
    let mut scrub = open();
    scrub.step().unwrap();
    assert_eq!(scrub.state().blocks, 512);
    let mut scrub = open();
    assert_eq!(scrub.state().blocks, 512);
    scrub.step().unwrap();
    assert_eq!((scrub.state().blocks, scrub.state().found), (600, 0));
    assert!(scrub.state().is_done());
    assert!(scrub.pause() >= Duration::from_secs(59 * 60));
    scrub.step().unwrap();
    assert_eq!(scrub.state().blocks, 600, "it is not time yet");
    let mut scrub = Scrub::new(Arc::clone(repo.blocks()), Duration::ZERO).unwrap();
    scrub.step().unwrap();
    assert_eq!(scrub.state().blocks, 512, "the next pass");
}
