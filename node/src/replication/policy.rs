//! [`Policy`]: how many copies of a content are wanted, and where.

use std::collections::BTreeMap;

/// How many copies of each segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Copies {
    /// Fewer are urgent.
    pub min: u8,
    /// So many are made.
    pub target: u8,
    /// More are taken away again.
    pub max: u8,
}

/// Not so many copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{min} copies at least, {target} wanted, {max} at most: that is in no order; \
     1 ≤ min ≤ target ≤ max ≤ {MAX_COPIES} is"
)]
pub struct BadCopies {
    min: u8,
    target: u8,
    max: u8,
}

/// Copies at most; for more there is `everywhere`.
pub const MAX_COPIES: u8 = 64;

impl Default for Copies {
    fn default() -> Self {
        Self {
            min: 2,
            target: 3,
            max: 5,
        }
    }
}

impl Copies {
    /// These numbers, if they are in order.
    ///
    /// # Errors
    /// If they are not.
    pub const fn new(min: u8, target: u8, max: u8) -> Result<Self, BadCopies> {
        if 1 <= min && min <= target && target <= max && max <= MAX_COPIES {
            Ok(Self { min, target, max })
        } else {
            Err(BadCopies { min, target, max })
        }
    }

    /// Copies on distinct hosts that make a write acknowledged: ⌊target/2⌋ + 1.
    #[must_use]
    pub const fn quorum(self) -> u8 {
        self.target / 2 + 1
    }
}

/// What a member says of where it is: `zone`, `rack`, `host`, and whatever its operator likes.
pub type Tags = BTreeMap<String, String>;

/// A tag with a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What an owner wants for one root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// How many copies.
    pub copies: Copies,
    /// A copy on every member that [`Policy::allows`] it, however many.
    pub everywhere: bool,
    /// Where: for each key that is named, one of its values.
    pub wanted: Vec<Tag>,
    /// Where not: none of these.
    pub refused: Vec<Tag>,
    /// Higher ones are repaired first among those that are equally urgent.
    pub priority: u8,
}

impl Policy {
    /// Whether a member with these tags may have a copy.
    #[must_use]
    pub fn allows(&self, tags: &Tags) -> bool {
        let is = |tag: &Tag| tags.get(&tag.key) == Some(&tag.value);
        let met = |tag: &Tag| {
            let mut same = self.wanted.iter().filter(|other| other.key == tag.key);
            same.any(is)
        };
        self.wanted.iter().all(met) && !self.refused.iter().any(is)
    }

    /// What satisfies both: the larger numbers, the union of the places wanted, and what both refuse. Nobody
    /// gets less by another's pin of the same root.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (a, b) = (self.copies, other.copies);
        let copies = Copies {
            min: a.min.max(b.min),
            target: a.target.max(b.target),
            max: a.max.max(b.max),
        };
        // Whoever names no place for a key wants any.
        let named = |policy: &Self, tag: &Tag| policy.wanted.iter().any(|it| it.key == tag.key);
        let both = self.wanted.iter().chain(&other.wanted);
        let mut wanted: Vec<_> = both
            .filter(|tag| named(self, tag) && named(other, tag))
            .cloned()
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let refused = self
            .refused
            .iter()
            .filter(|tag| other.refused.contains(tag));
        Self {
            copies,
            everywhere: self.everywhere || other.everywhere,
            wanted,
            refused: refused.cloned().collect(),
            priority: self.priority.max(other.priority),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Tag {
        let (key, value) = text.split_once('=').unwrap();
        Tag {
            key: key.into(),
            value: value.into(),
        }
    }

    fn tags(all: &[&str]) -> Tags {
        let all = all.iter().map(|text| tag(text));
        all.map(|tag| (tag.key, tag.value)).collect()
    }

    #[test]
    fn copies_are_in_order() {
        assert_eq!(Copies::new(2, 3, 5), Ok(Copies::default()));
        for (min, target, max) in [(0, 1, 1), (3, 2, 5), (1, 6, 5), (1, 1, 65)] {
            assert!(Copies::new(min, target, max).is_err());
        }
        let quorum = |target| Copies::new(1, target, target).unwrap().quorum();
        assert_eq!([1, 2, 3, 4, 5].map(quorum), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_place_has_one_of_the_values_of_each_wanted_key_and_none_that_is_refused() {
        let policy = Policy {
            wanted: ["zone=a", "zone=b", "disk=ssd"].map(tag).into(),
            refused: vec![tag("host=old")],
            ..Policy::default()
        };
        assert!(policy.allows(&tags(&["zone=a", "disk=ssd"])));
        assert!(policy.allows(&tags(&["zone=b", "disk=ssd", "host=new"])));
        assert!(!policy.allows(&tags(&["zone=c", "disk=ssd"])));
        assert!(!policy.allows(&tags(&["zone=a"])));
        assert!(!policy.allows(&tags(&["zone=a", "disk=ssd", "host=old"])));
        assert!(Policy::default().allows(&Tags::new()));
    }

    #[test]
    fn of_two_owners_nobody_gets_less() {
        let one = Policy {
            copies: Copies::new(1, 2, 9).unwrap(),
            wanted: ["zone=a", "disk=ssd"].map(tag).into(),
            refused: ["host=x", "host=y"].map(tag).into(),
            priority: 3,
            ..Policy::default()
        };
        let other = Policy {
            copies: Copies::new(2, 4, 4).unwrap(),
            everywhere: true,
            wanted: vec![tag("zone=b")],
            refused: vec![tag("host=y")],
            priority: 1,
        };
        let both = Policy {
            copies: Copies::new(2, 4, 9).unwrap(),
            everywhere: true,
            wanted: ["zone=a", "zone=b"].map(tag).into(),
            refused: vec![tag("host=y")],
            priority: 3,
        };
        assert_eq!(one.or(&other), both);
        assert_eq!(other.or(&one), both);
    }
}
