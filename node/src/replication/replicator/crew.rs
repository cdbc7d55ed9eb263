//! Whom the membership tells of, as placement wants them.

use store::wire::member::{MemberRole, MemberState};

use super::numbers::Numbers;
use crate::members::{Health, Member, Sight};
use crate::replication::placement::{self, Candidate};
use crate::replication::planner;

/// Of a hundred parts so many must be free where something new is placed.
const FREE: u64 = 15;
/// A member with less than this free gives up what it need not keep. A gap to [`FREE`]: what was just placed
/// must not be given up at once.
const SCARCE: u64 = 10;

/// The members that are here, and may have copies. `takes` says who is trusted with new ones.
pub(super) fn candidates(
    members: &[Member],
    numbers: &mut Numbers,
    mut takes: impl FnMut(placement::Member) -> bool,
) -> Vec<Candidate> {
    let mut candidates = Vec::with_capacity(members.len());
    for member in members {
        let record = &member.record;
        let is_here = matches!(member.health, Health::Alive | Health::Suspect(_));
        let Some(peer) = member.peer() else { continue };
        if record.role != MemberRole::Storage || !is_here || record.state == MemberState::Left {
            continue;
        }
        let number = numbers.assign(record.id);
        let stays = record.state == MemberState::Up;
        let tags = record.tags.iter();
        candidates.push(Candidate {
            member: number,
            peer,
            weight: record.capacity.0.into(),
            tags: tags
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            takes: stays && has_free(member, FREE) && takes(number),
            stays,
        });
    }
    candidates
}

/// Whether this member is so full that it keeps what it must and no more.
pub(super) fn is_full(member: &Member) -> bool {
    !has_free(member, SCARCE)
}

fn has_free(member: &Member, parts: u64) -> bool {
    let (capacity, free) = (member.record.capacity.bytes(), member.record.free.bytes());
    free / parts >= capacity / 100
}

/// What the planner's brakes want to know.
pub(super) const fn sight(sight: Sight) -> planner::Sight {
    planner::Sight {
        usual: sight.usual,
        here: sight.in_sight,
        vanished: sight.vanished,
    }
}
