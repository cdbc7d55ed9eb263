//! [`Roster`]: the newest record of each member that is known, and of those who are no longer there.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use store::wire::member::MemberId;
use store::wire::reconcile::{Item, Prefix};

use super::record::Verified;
use crate::reconcile::Set;

/// Records by id, and which of them are out: gone or left. A member of whom there is nothing else to
/// say costs one pointer, so that a simulator can hold ten thousand rosters of ten thousand.
///
/// As a set to be compared it has those who are in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    all: Vec<Arc<Verified>>,
    out: BTreeSet<MemberId>,
    /// Of those who are in.
    sum: u128,
}

impl Roster {
    pub(crate) fn get(&self, id: &MemberId) -> Option<&Arc<Verified>> {
        let at = self.find(id).ok()?;
        Some(&self.all[at])
    }

    fn find(&self, id: &MemberId) -> Result<usize, usize> {
        self.all.binary_search_by_key(id, |member| member.id())
    }

    /// All records that are kept.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Members that are in.
    pub(crate) fn members(&self) -> usize {
        self.all.len() - self.out.len()
    }

    pub(crate) fn is_in(&self, id: &MemberId) -> bool {
        self.find(id).is_ok() && !self.out.contains(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Verified>> {
        self.all.iter()
    }

    pub(crate) fn inside(&self) -> impl Iterator<Item = &Arc<Verified>> {
        self.all
            .iter()
            .filter(|member| self.out.is_empty() || !self.out.contains(&member.id()))
    }

    /// Takes a record in, in the place of an older one; its member is in now.
    pub(crate) fn put(&mut self, record: Arc<Verified>) {
        let id = record.id();
        if !self.out.remove(&id)
            && let Some(old) = self.get(&id)
        {
            self.sum = self.sum.wrapping_sub(old.print());
        }
        self.sum = self.sum.wrapping_add(record.print());
        match self.find(&id) {
            Ok(at) => self.all[at] = record,
            Err(at) => self.all.insert(at, record),
        }
    }

    /// A member is gone, or has left.
    pub(crate) fn put_out(&mut self, id: &MemberId) {
        let print = self.get(id).map(|record| record.print());
        if let Some(print) = print
            && self.out.insert(*id)
        {
            self.sum = self.sum.wrapping_sub(print);
        }
    }

    /// A member is remembered no longer.
    pub(crate) fn forget(&mut self, id: &MemberId) {
        self.put_out(id);
        if let Ok(at) = self.find(id) {
            self.all.remove(at);
            self.out.remove(id);
        }
    }

    /// Those who come next after `id` and are in, in a ring.
    pub(crate) fn successors(&self, id: &MemberId, count: usize) -> Vec<MemberId> {
        let at = match self.find(id) {
            Ok(at) => at + 1,
            Err(at) => at,
        };
        let ring = self.all[at..].iter().chain(&self.all[..at]);
        ring.map(|member| member.id())
            .filter(|other| other != id && !self.out.contains(other))
            .take(count)
            .collect()
    }

    fn below(&self, place: Prefix) -> &[Arc<Verified>] {
        let first = self
            .all
            .partition_point(|member| member.id().0 < place.first());
        let behind = self
            .all
            .partition_point(|member| member.id().0 <= place.last());
        &self.all[first..behind]
    }
}

impl Set for Roster {
    type Error = Infallible;

    fn sum(&self, place: Prefix) -> Result<u128, Infallible> {
        if place == Prefix::ROOT {
            return Ok(self.sum);
        }
        let below = self.below(place).iter();
        let inside = below.filter(|member| !self.out.contains(&member.id()));
        Ok(inside.fold(0, |sum, member| sum.wrapping_add(member.print())))
    }

    fn list(&self, place: Prefix, limit: usize) -> Result<Vec<Item>, Infallible> {
        let below = self.below(place).iter();
        let inside = below.filter(|member| !self.out.contains(&member.id()));
        Ok(inside.take(limit).map(|member| member.item()).collect())
    }
}
