//! [`Numbers`]: members by small numbers, as planner, placement and auditor have them.

use std::collections::HashMap;

use store::wire::member::MemberId;

use crate::replication::placement::Member;

/// Who has which number. Only those have one whose record was seen; a number is never given twice, so who
/// comes back has the old one. 40 bytes for each member that was ever seen.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    by_id: HashMap<MemberId, Member>,
    ids: Vec<MemberId>,
}

impl Numbers {
    /// The number of a member, a new one if need be.
    pub(super) fn assign(&mut self, id: MemberId) -> Member {
        let next = Member(u32::try_from(self.ids.len()).unwrap_or(u32::MAX));
        let member = *self.by_id.entry(id).or_insert(next);
        if member == next {
            self.ids.push(id);
        }
        member
    }

    /// The number of a member that was seen.
    pub(super) fn of(&self, id: &MemberId) -> Option<Member> {
        self.by_id.get(id).copied()
    }

    /// Those of them that were seen.
    pub(super) fn of_all(&self, ids: &[MemberId]) -> Vec<Member> {
        ids.iter().filter_map(|id| self.of(id)).collect()
    }

    /// Who has this number.
    pub(super) fn id(&self, member: Member) -> Option<MemberId> {
        self.ids.get(member.0 as usize).copied()
    }
}
