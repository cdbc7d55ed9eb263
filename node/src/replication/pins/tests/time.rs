//! What time does to records.

use super::*;

const DAY: u64 = 24 * 3600;

fn wants_until(member: &Member, n: u32, expires: u64, now: u64) -> Signed {
    let policy = policy(3);
    let wish = Some((&policy, expires));
    member
        .pins
        .publish(&member.key, root(n), wish, now)
        .unwrap()
}

#[test]
fn a_wish_expires_and_is_forgotten_later() {
    let (one, other) = (Member::new(), Member::new());
    let wish = wants_until(&one, 1, NOW + 100, NOW);
    other.takes(&[&wish]);
    let wanted = |member: &Member, now| member.pins.policy(&root(1), now).unwrap().is_some();
    assert!(wanted(&other, NOW + 99));
    assert_eq!(other.pins.expire(NOW + 99).unwrap(), []);
    assert!(!wanted(&other, NOW + 100));
    assert!(
        other
            .pins
            .records_of(&root(1), NOW + 100)
            .unwrap()
            .is_empty()
    );
    for member in [&one, &other] {
        assert_eq!(member.pins.expire(NOW + 100).unwrap(), [root(1)]);
        assert_eq!(member.pins.expire(NOW + 101).unwrap(), [], "said once");
    }
    let (one, other) = (one.restart(NOW + 200), other.restart(NOW + 200));
    assert_eq!(other.pins.expire(NOW + 201).unwrap(), []);
    assert_ne!(sum(&one.pins), 0, "it is still compared");
    assert_eq!(sum(&one.pins), sum(&other.pins));

    // An older one does nothing meanwhile.
    let older = sign(&one.key, "main", &record(&one.key, 1, 0));
    assert_eq!(other.takes(&[&older]).old, 1);
    other.pins.expire(NOW + 99 + KEPT).unwrap();
    assert_eq!(other.pins.len(), 1);
    other.pins.expire(NOW + 100 + KEPT).unwrap();
    assert_eq!((other.pins.len(), sum(&other.pins)), (0, 0));
    let taken = other
        .pins
        .take(vec![wish.clone()], NOW + 100 + KEPT)
        .unwrap();
    assert_eq!((taken.old, taken.new), (1, 0), "long gone");
    // And what had expired when it came is not said to do so.
    let late = Member::new();
    assert_eq!(late.pins.take(vec![wish], NOW + 500).unwrap().new, 1);
    assert_eq!(late.pins.expire(NOW + 501).unwrap(), []);
    late.pins.expire(NOW + 100 + KEPT).unwrap();
    assert!(late.pins.is_empty());
}

#[test]
fn a_wish_that_is_renewed_in_time_does_not_expire() {
    let one = Member::new();
    wants_until(&one, 1, NOW + 100, NOW);
    wants_until(&one, 1, NOW + 300, NOW + 50);
    assert_eq!(one.pins.expire(NOW + 150).unwrap(), []);
    wants_until(&one, 1, 0, NOW + 200);
    assert_eq!(one.pins.expire(NOW + 2 * KEPT).unwrap(), []);
    assert!(one.pins.policy(&root(1), NOW + 2 * KEPT).unwrap().is_some());
    assert_eq!(one.pins.len(), 1);
}

#[test]
fn tombstones_go_after_thirty_days_by_our_own_clock() {
    let (one, other) = (Member::new(), Member::new());
    let first = one.wants(1, 3);
    let gone = one.withdraws(1);
    let later = NOW + 20 * DAY;
    other.pins.take(vec![gone], later).unwrap();
    one.pins.expire(NOW + KEPT - 1).unwrap();
    assert_eq!(one.pins.len(), 1);
    one.pins.expire(NOW + KEPT).unwrap();
    assert!(one.pins.is_empty());
    other.pins.expire(NOW + KEPT).unwrap();
    assert_eq!(other.pins.take(vec![first], NOW + KEPT).unwrap().old, 1);
    other.pins.expire(later + KEPT).unwrap();
    assert!(other.pins.is_empty());
    // None of them learned it anew from the other.
    assert_eq!(pull(&one.pins, &other.pins, NOW), 1);
    assert!(one.pins.is_empty() && other.pins.is_empty());
}

#[test]
fn who_was_away_too_long_learns_anew() {
    let (one, other) = (Member::new(), Member::new());
    let theirs: Vec<_> = (0..20).map(|n| other.wants(n, 3)).collect();
    let expiring = wants_until(&other, 30, NOW + 100 * DAY, NOW);
    one.pins.take(theirs, NOW).unwrap();
    one.takes(&[&expiring, &other.withdraws(3)]);
    one.wants(40, 3);
    one.pins.expire(NOW + DAY).unwrap();
    let one = one.restart(NOW + DAY + KEPT);
    assert!(!one.pins.needs_resync(), "not yet");
    assert_eq!(one.pins.len(), 22);
    let one = one.restart(NOW + DAY + 2 * KEPT + 1);
    assert!(one.pins.needs_resync());
    assert_eq!(one.pins.len(), 1, "its own");
    assert_eq!((one.copies(40), one.copies(1)), (Some(3), None));
    let own = one.pins.list(Prefix::ROOT, 9).unwrap();
    assert_eq!((own.len(), fingerprint(&own[0])), (1, sum(&one.pins)));
    let one = one.restart(NOW + DAY + 2 * KEPT + 2);
    assert!(one.pins.needs_resync(), "it did not, yet");
    pull(&one.pins, &other.pins, NOW + 1);
    one.pins.resynced().unwrap();
    let one = one.restart(NOW + DAY + 2 * KEPT + 3);
    assert!(!one.pins.needs_resync());
    assert_eq!(one.copies(1), Some(3));
}
