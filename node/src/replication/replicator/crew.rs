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
/// Whoever tells of so much free has no reason to refuse for want of room: what was promised and has not come yet takes
/// less, and told are steps of a sixth.
const PLENTY: u64 = 30;

/// The members that are here, and may have copies. `trust` says how far each is trusted, from 1 towards 0, and
/// whether with anything new.
pub(super) fn candidates(
    members: &[Member],
    numbers: &mut Numbers,
    mut trust: impl FnMut(placement::Member) -> (f64, bool),
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
        let (score, is_trusted) = trust(number);
        let tags = record.tags.iter();
        candidates.push(Candidate {
            member: number,
            peer,
            weight: weighed(record.capacity.0.into(), score),
            tags: tags
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            takes: stays && has_free(member, FREE) && is_trusted,
            stays,
        });
    }
    candidates
}

/// A capacity in quarters of powers of two, of a member that is trusted so far: half the trust is half the
/// capacity. In whole quarters, so that places seldom change while trust comes back.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and the capacity"
)]
fn weighed(capacity: u16, score: f64) -> u16 {
    let lost = -4.0 * score.clamp(f64::MIN_POSITIVE, 1.0).log2();
    capacity.saturating_sub(lost.min(f64::from(u16::MAX)) as u16)
}

/// Whether this member is so full that it keeps what it must and no more.
pub(super) fn is_full(member: &Member) -> bool {
    !has_free(member, SCARCE)
}

/// Whether this member tells of so much room that it cannot want for it.
pub(super) fn has_plenty(member: &Member) -> bool {
    member.record.capacity.0 > 0 && has_free(member, PLENTY)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_trusted_by_half_counts_for_half_its_capacity() {
        assert_eq!(weighed(160, 1.0), 160);
        assert_eq!(weighed(160, 0.9), 160, "a late answer changes no places");
        assert_eq!(weighed(160, 0.5), 156);
        assert_eq!(weighed(160, 0.25), 152);
        assert_eq!(weighed(160, 0.0), 0);
        assert_eq!(weighed(3, 0.1), 0);
    }
}
