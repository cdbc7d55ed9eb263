//! Messages of `block`, `dag` and `import-kubo`.

use serde::{Deserialize, Serialize};
use store::Cid;

use super::{Content, text, texts};

/// Single blocks, as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockRequest {
    /// A block's bytes. Answered by [`Item::Block`](super::Item::Block) and data.
    Get(Content),
    /// Store the one file that the client passes on as one block. Answered by
    /// [`Item::Block`](super::Item::Block).
    Put(BlockPut),
    /// Remove blocks that nothing keeps. Answered by [`Item::Block`](super::Item::Block)s, those that are
    /// gone, and [`Item::Holder`](super::Item::Holder)s, why others are not.
    Rm {
        /// The blocks.
        #[serde(with = "texts")]
        cids: Vec<Cid>,
    },
}

/// How to store a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockPut {
    /// What its bytes mean: `raw` or `dag-pb`.
    pub codec: String,
    /// The hash of its CID: `sha2-256`.
    pub hash: String,
    /// Keep it, and all below it.
    pub pin: bool,
}

/// Whole DAGs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DagRequest {
    /// How large they are, each and together; what is not here is fetched. Answered by
    /// [`Item::Dag`](super::Item::Dag)s and one [`Item::Dags`](super::Item::Dags).
    Stat(Vec<Content>),
    /// A leaf of the one that is named, and the blocks that prove it. Answered by data: a CAR file.
    Proof(DagProof),
}

/// Which leaf is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DagProof {
    /// The content.
    pub content: Content,
    /// The number of the leaf, from 0, in the order of the content.
    pub leaf: u64,
}

/// The size of a DAG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DagStat {
    /// Its root.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Distinct blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The size of several DAGs together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DagsStat {
    /// Blocks, counted once in each DAG that has them.
    pub total_blocks: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// Distinct blocks.
    pub unique_blocks: u64,
    /// Their bytes.
    pub unique_bytes: u64,
    /// What several DAGs have in common: total less unique.
    pub shared_blocks: u64,
    /// Its bytes.
    pub shared_bytes: u64,
}

/// What was copied from Kubo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KuboCopied {
    /// Blocks that were copied.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that were here already.
    pub present: u64,
    /// Blocks that were left out, since they are not what their names say.
    pub refused: u64,
    /// Lines of direct and indirect pins in the list: they are not taken over.
    pub pins_passed_over: u64,
}

/// A block of Kubo's that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KuboRefused {
    /// Its file, from the top of Kubo's repo.
    pub file: String,
    /// Why.
    pub why: String,
}
