//! [`Recent`]: the CIDs that were done last, so that what stands in a DAG more than once is walked
//! once. Forgetting one costs a look at the disk, no more.

use std::collections::{HashSet, VecDeque};

use store::Cid;

#[derive(Debug)]
pub(super) struct Recent {
    limit: usize,
    known: HashSet<Cid>,
    order: VecDeque<Cid>,
}

impl Recent {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            known: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn insert(&mut self, cid: Cid) {
        if !self.known.insert(cid) {
            return;
        }
        self.order.push_back(cid);
        if self.order.len() > self.limit {
            let oldest = self.order.pop_front().expect("it is not empty");
            self.known.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, cid: &Cid) -> bool {
        self.known.contains(cid)
    }
}
