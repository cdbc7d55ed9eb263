//! `dag stat` and `proof`.

use std::collections::HashSet;

use store::Cid;
use store::blockstore::Blockstore;
use store::cid::Key;
use store::dag::path::resolve;
use store::dag::walk::MAX_VISITED;
use store::dag::{self, BlockSource, DagError, Leaves, SourceError, Walk};
use store::proof;
use store::unixfs::Piece;

use super::source::Source;
use super::{Service, target};
use crate::api::conversation::Speaker;
use crate::api::message::{Content, DagProof, DagRequest, DagStat, DagsStat, Event, Failure, Item};

/// Blocks that are looked for at once in the index.
const LOOKED_AT: usize = 256;

/// Blocks that are fetched at once where they are not here: sixteen are hashed together.
const FETCHED: usize = 16;

impl Service {
    pub(super) fn dag(&self, request: &DagRequest, speaker: &Speaker) -> Result<(), Failure> {
        match request {
            DagRequest::Stat(contents) => self.dag_stat(contents, speaker),
            DagRequest::Proof(proof) => self.dag_proof(proof, speaker),
        }
    }

    fn dag_stat(&self, contents: &[Content], speaker: &Speaker) -> Result<(), Failure> {
        let mut all = DagsStat::default();
        // Blocks that any of them has, by hash: two roots may name the same bytes differently.
        let mut known = HashSet::new();
        for content in contents {
            let named = target::parse(content)?;
            let source = Source::whole(self, speaker, &named, content.timeout);
            let stat = source.watched(|| {
                let root = resolve(&source, &named.target)?;
                source.note_use()?;
                self.measure(&source, root, &mut known, &mut all)
            })?;
            self.keep_cached(&source)?;
            all.total_blocks += stat.blocks;
            all.total_bytes += stat.bytes;
            speaker.item(Item::Dag(stat))?;
        }
        all.shared_blocks = all.total_blocks - all.unique_blocks;
        all.shared_bytes = all.total_bytes - all.unique_bytes;
        speaker.item(Item::Dags(all))?;
        Ok(())
    }

    fn dag_proof(&self, request: &DagProof, speaker: &Speaker) -> Result<(), Failure> {
        let named = target::parse(&request.content)?;
        let source = Source::on_demand(self, speaker, &named, request.content.timeout);
        let store = self.repo.blocks().as_ref();
        // Nodes that are here need not be read.
        let links = |cid: &Cid| match store.links(cid) {
            Ok(Some(links)) => Ok(links),
            _ if source.is_gone() => Err(SourceError::Cancelled),
            _ => Ok(dag::links(&source.block(cid)?)?),
        };
        let proof = source.watched(|| {
            let root = resolve(&source, &named.target)?;
            source.note_use()?;
            let mut leaves = Leaves::new(links);
            Ok(proof::prove_from(
                &source,
                &mut leaves,
                &root,
                request.leaf,
            )?)
        })?;
        for piece in proof.pieces() {
            speaker.send(&Event::Piece(Piece::Data(piece)))?;
        }
        self.keep_cached(&source)
    }

    /// Walks one DAG, by the index alone where its blocks are here.
    fn measure(
        &self,
        source: &Source<'_>,
        root: Cid,
        known: &mut HashSet<Key>,
        all: &mut DagsStat,
    ) -> Result<DagStat, Failure> {
        let store = self.repo.blocks().as_ref();
        let mut stat = DagStat {
            cid: root,
            blocks: 0,
            bytes: 0,
        };
        let mut walk = Walk::new(root);
        // The same bytes as raw and as dag-pb are two nodes and one block.
        let mut own = HashSet::new();
        let mut count = |cid: &Cid, size: u64| -> Result<(), Failure> {
            let key = Key::of(cid);
            if own.len() >= MAX_VISITED || known.len() >= MAX_VISITED {
                let (cid, limit) = (root, MAX_VISITED);
                return Err(DagError::TooLarge { cid, limit }.into());
            }
            if own.insert(key.clone()) {
                stat.blocks += 1;
                stat.bytes += size;
            }
            if known.insert(key) {
                all.unique_blocks += 1;
                all.unique_bytes += size;
            }
            Ok(())
        };
        while !walk.is_done() {
            if source.is_gone() {
                return Err(store::dag::SourceError::Cancelled.into());
            }
            let cids = walk.wants(LOOKED_AT);
            let mut absent = Vec::new();
            for (cid, size) in cids.iter().zip(store.sizes(&cids)?) {
                match (size, store.links(cid)) {
                    (Some(size), Ok(Some(links))) => {
                        walk.supply_links(cid, &links)?;
                        count(cid, size.into())?;
                    }
                    // Missing, or rotten, which is the same.
                    _ => absent.push(*cid),
                }
            }
            absent.truncate(FETCHED);
            for block in source.blocks(&absent)? {
                walk.supply_links(block.cid(), &dag::links(&block)?)?;
                count(block.cid(), block.data().len() as u64)?;
            }
        }
        Ok(stat)
    }
}
