//! Which copies a command means: its flags, or else what the settings say of the name, or of everything.

use std::path::Path;

use store::wire::pin::MAX_PIN_TAGS;
use store_config::{NamedCopies, PlaceTag, Replicas, Replication};

use crate::api::conversation::failure;
use crate::api::message::{CopiesAsked, Failure, FailureKind, PinExpiry};
use crate::replication::policy::{Copies, Policy, Tag};

/// What is wanted of something that is added under `name`; `None` for no copies. Members of a private swarm
/// store for each other; in an open one others do only for owners whom they accept, so that nothing is wanted
/// there unless a command or a setting for this name says so.
pub(in crate::service) fn of_added(
    settings: &Replication,
    is_private: bool,
    name: &Path,
    asked: &CopiesAsked,
) -> Result<Option<Policy>, Failure> {
    let named = settings.named(name);
    if !is_private && named.is_none() && !asked.is_anything() {
        return Ok(None);
    }
    policy(settings, named, asked)
}

/// What is wanted; `None` for no copies. Each thing that is not asked for is as `named` has it, or else as
/// the settings have it for everything.
pub(super) fn policy(
    settings: &Replication,
    named: Option<&NamedCopies>,
    asked: &CopiesAsked,
) -> Result<Option<Policy>, Failure> {
    let by_name = named.map(|named| named.replicas);
    let replicas = asked.replicas.or(by_name).unwrap_or(settings.replicas);
    if replicas == Replicas::None {
        let only_that = CopiesAsked {
            replicas: asked.replicas,
            timeout: asked.timeout,
            ..CopiesAsked::default()
        };
        if *asked == only_that {
            return Ok(None);
        }
        let message = "no copies are wanted: there is none to wait for, and no place for one";
        return Err(failure(FailureKind::Usage, message)
            .with_hint("`--replicas 3` wants three; `replication.replicas` is the default"));
    }
    let tags = |asked: &[PlaceTag], by_name: Option<&Vec<PlaceTag>>| -> Vec<Tag> {
        let tags = match by_name {
            Some(by_name) if asked.is_empty() => by_name,
            _ => asked,
        };
        let tag = |tag: &PlaceTag| Tag {
            key: tag.key.clone(),
            value: tag.value.clone(),
        };
        tags.iter().map(tag).collect()
    };
    let policy = Policy {
        copies: copies(replicas, settings.replicas)?,
        everywhere: replicas == Replicas::Everywhere,
        wanted: tags(&asked.wanted, named.map(|named| &named.wanted)),
        refused: tags(&asked.avoid, named.map(|named| &named.avoid)),
        priority: asked
            .priority
            .or_else(|| named.map(|named| named.priority))
            .unwrap_or(0),
    };
    let count = policy.wanted.len() + policy.refused.len();
    if count > MAX_PIN_TAGS {
        let message = format!("{count} tags are wanted or avoided, at most {MAX_PIN_TAGS} can be");
        return Err(failure(FailureKind::Usage, message));
    }
    Ok(Some(policy))
}

/// The numbers; of a copy everywhere those of the settings: fewer are repaired first.
fn copies(replicas: Replicas, default: Replicas) -> Result<Copies, Failure> {
    match (replicas, default) {
        (Replicas::Copies { min, target, max }, _) | (_, Replicas::Copies { min, target, max }) => {
            Copies::new(min, target, max)
                .map_err(|error| failure(FailureKind::Usage, error.to_string()))
        }
        _ => Ok(Copies::default()),
    }
}

/// Unix seconds; `None` for no end.
pub(in crate::service) const fn expires(expiry: PinExpiry) -> Option<u64> {
    match expiry {
        PinExpiry::Unsaid | PinExpiry::Never => None,
        PinExpiry::At(time) => Some(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::message::CopiesWait;
    use crate::replication::policy::MAX_COPIES;

    /// Four of everything, one of what is called `*.iso`, in one zone, and none of `*.tmp`.
    fn named() -> Replication {
        let of = |pattern: &str, replicas: &str| NamedCopies {
            pattern: pattern.parse().unwrap(),
            replicas: replicas.parse().unwrap(),
            wanted: Vec::new(),
            avoid: Vec::new(),
            priority: 0,
        };
        let iso = NamedCopies {
            wanted: vec!["zone=eu".parse().unwrap()],
            priority: 3,
            ..of("*.iso", "1")
        };
        Replication {
            replicas: "4".parse().unwrap(),
            defaults: vec![iso, of("*.tmp", "0")],
            ..Replication::default()
        }
    }

    fn target(policy: Result<Option<Policy>, Failure>) -> Option<u8> {
        policy.unwrap().map(|policy| policy.copies.target)
    }

    #[test]
    fn an_add_wants_what_the_settings_say_only_where_others_store_for_it() {
        let (settings, nothing) = (named(), CopiesAsked::default());
        let added = |private, name: &str, asked: &CopiesAsked| {
            target(of_added(&settings, private, Path::new(name), asked))
        };
        assert_eq!(added(true, "film", &nothing), Some(4));
        assert_eq!(added(false, "film", &nothing), None);
        for private in [true, false] {
            assert_eq!(added(private, "a.iso", &nothing), Some(1), "{private}");
            assert_eq!(added(private, "a.tmp", &nothing), None, "{private}");
        }
        let asked = [
            CopiesAsked {
                wait: CopiesWait::Quorum,
                ..CopiesAsked::default()
            },
            CopiesAsked {
                wanted: vec!["zone=eu".parse().unwrap()],
                ..CopiesAsked::default()
            },
        ];
        for asked in &asked {
            assert_eq!(added(false, "film", asked), Some(4));
        }
        let three = CopiesAsked {
            replicas: Some("3".parse().unwrap()),
            ..CopiesAsked::default()
        };
        assert_eq!(added(false, "a.tmp", &three), Some(3));
    }

    #[test]
    fn what_is_not_asked_for_is_as_the_settings_have_it() {
        let settings = named();
        let asked = CopiesAsked {
            replicas: Some("2/3/5".parse().unwrap()),
            avoid: vec!["host=old".parse().unwrap()],
            ..CopiesAsked::default()
        };
        let policy = of_added(&settings, true, Path::new("a.iso"), &asked).unwrap();
        let tag = |key: &str, value: &str| Tag {
            key: key.into(),
            value: value.into(),
        };
        let expected = Policy {
            copies: Copies::default(),
            everywhere: false,
            wanted: vec![tag("zone", "eu")],
            refused: vec![tag("host", "old")],
            priority: 3,
        };
        assert_eq!(policy, Some(expected));
        let everywhere = CopiesAsked {
            replicas: Some(Replicas::Everywhere),
            ..CopiesAsked::default()
        };
        let policy = super::policy(&settings, None, &everywhere)
            .unwrap()
            .unwrap();
        assert!(policy.everywhere);
        assert_eq!(policy.copies.target, 4);
    }

    #[test]
    fn none_can_be_wanted_and_not_be_waited_for() {
        let none = CopiesAsked {
            replicas: Some(Replicas::None),
            ..CopiesAsked::default()
        };
        let settings = Replication::default();
        assert_eq!(policy(&settings, None, &none).unwrap(), None);
        let waits = CopiesAsked {
            wait: CopiesWait::All,
            ..none
        };
        let error = policy(&settings, None, &waits).unwrap_err();
        assert_eq!(error.kind, FailureKind::Usage);
        let many = CopiesAsked {
            wanted: vec!["zone=eu".parse().unwrap(); MAX_PIN_TAGS + 1],
            ..CopiesAsked::default()
        };
        assert!(policy(&settings, None, &many).is_err());
    }

    #[test]
    fn the_settings_allow_what_a_policy_does() {
        assert_eq!(store_config::MAX_REPLICAS, MAX_COPIES);
        let default = policy(&Replication::default(), None, &CopiesAsked::default());
        assert_eq!(default.unwrap().unwrap().copies, Copies::default());
    }
}
