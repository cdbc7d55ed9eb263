//! [`PinWish`], as records say it, and [`Policy`], as replication follows it.

use store::wire::pin::PinWish;

use crate::replication::policy::{Copies, Policy, Tag};

/// The policy of a wish; `None` where its numbers make no sense.
pub(super) fn policy_of(wish: &PinWish) -> Option<Policy> {
    let tag = |(key, value): &(String, String)| Tag {
        key: key.clone(),
        value: value.clone(),
    };
    Some(Policy {
        copies: Copies::new(wish.min, wish.target, wish.max).ok()?,
        everywhere: wish.everywhere,
        wanted: wish.wanted.iter().map(tag).collect(),
        refused: wish.refused.iter().map(tag).collect(),
        priority: wish.priority,
    })
}

/// A wish for `policy`; `expires` in Unix seconds, 0 for never.
pub(super) fn wish_of(policy: &Policy, expires: u64) -> PinWish {
    let tags = |tags: &[Tag]| {
        let tag = |tag: &Tag| (tag.key.clone(), tag.value.clone());
        let mut tags: Vec<_> = tags.iter().map(tag).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    };
    PinWish {
        min: policy.copies.min,
        target: policy.copies.target,
        max: policy.copies.max,
        everywhere: policy.everywhere,
        wanted: tags(&policy.wanted),
        refused: tags(&policy.refused),
        priority: policy.priority,
        expires,
    }
}

/// Whether it holds at `now`, in Unix seconds.
pub(super) const fn holds(wish: &PinWish, now: u64) -> bool {
    wish.expires == 0 || now < wish.expires
}
