//! [`Run`]: what came of it.

use std::collections::BTreeMap;

use super::super::{Action, Reason, Time};
use super::node::Node;

/// How one download ended.
#[derive(Debug)]
pub(in super::super) struct Done {
    pub(in super::super) node: u32,
    pub(in super::super) end: Action<u32>,
    /// From its beginning.
    pub(in super::super) took: Time,
    pub(in super::super) dropped: Vec<(u32, Reason)>,
    /// Bytes of leaves that came, and of those that were here already.
    pub(in super::super) came: u64,
    pub(in super::super) twice: u64,
    pub(in super::super) most_known: usize,
    pub(in super::super) most_kept: usize,
    pub(in super::super) from: BTreeMap<u32, u64>,
    /// How long its reader waited once it was going.
    pub(in super::super) waited: Time,
    /// Whether all blocks are here.
    pub(in super::super) whole: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(in super::super) struct Run {
    pub(in super::super) downloads: Vec<Done>,
}

impl Run {
    pub(super) fn of(nodes: Vec<Node>) -> Self {
        let done = |(i, node): (usize, Node)| {
            let begins = node.begins?;
            let (at, end) = node.end?;
            Some(Done {
                node: i as u32,
                end,
                took: at.saturating_sub(begins),
                dropped: node.dropped,
                came: node.came,
                twice: node.twice,
                most_known: node.most_known,
                most_kept: node.most_kept,
                from: node.from,
                waited: node.waited,
                whole: node.has.iter().all(|has| *has),
            })
        };
        Self {
            downloads: nodes.into_iter().enumerate().filter_map(done).collect(),
        }
    }

    /// The one download of a run that has but one.
    pub(in super::super) fn only(mut self) -> Done {
        assert_eq!(self.downloads.len(), 1);
        self.downloads.remove(0)
    }

    /// Bytes that came of all leaves, and of those that were here already.
    pub(in super::super) fn bytes(&self) -> (u64, u64) {
        let sum = |bytes: fn(&Done) -> u64| self.downloads.iter().map(bytes).sum();
        (sum(|done| done.came), sum(|done| done.twice))
    }

    /// When the last was done.
    pub(in super::super) fn took(&self) -> Time {
        self.downloads
            .iter()
            .map(|done| done.took)
            .max()
            .unwrap_or_default()
    }
}

/// Jain's index of fairness: 1 where all have the same.
pub(in super::super) fn jain(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    sum * sum / (rates.len() as f64 * squares)
}
