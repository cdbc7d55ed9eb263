//! Records whose signatures have been checked, and the making of one's own.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use libp2p::PeerId;
use libp2p::identity::{KeyType, Keypair, PublicKey, ed25519};
use store::wire::WireError;
use store::wire::member::{
    Holdings, MemberId, MemberRole, MemberState, Record, SIGNATURE_SIZE, Signed, Step, Tags,
    signed_bytes,
};
use store::wire::reconcile::Item;

use crate::reconcile::fingerprint;

/// A record that its member has signed. Cheap to share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    record: Record,
    signed: Signed,
    item: Item,
    print: u128,
}

/// Why a record is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRecord {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the signature is not its member's")]
    Signature,
}

impl Verified {
    /// Believes a record if its member has signed it for this network.
    pub(crate) fn check(network: &str, signed: Signed) -> Result<Self, BadRecord> {
        let record = Record::decode(&signed.body)?;
        let key = ed25519::PublicKey::try_from_bytes(&record.id.0);
        let key = key.map_err(|_| BadRecord::Signature)?;
        if !key.verify(&signed_bytes(network, &signed.body), &signed.signature) {
            return Err(BadRecord::Signature);
        }
        Ok(Self::new(record, signed))
    }

    fn new(record: Record, signed: Signed) -> Self {
        let hash = digest(&SHA256, &signed.body);
        let front = hash.as_ref()[..8].try_into();
        let item = Item {
            key: record.id.0,
            stamp: u64::from_be_bytes(front.expect("8 of 32 bytes")),
        };
        let print = fingerprint(&item);
        Self {
            record,
            signed,
            item,
            print,
        }
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) const fn id(&self) -> MemberId {
        self.record.id
    }

    pub(crate) const fn version(&self) -> u64 {
        self.record.version
    }

    pub(crate) const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// As set reconciliation sees it.
    pub(crate) const fn item(&self) -> Item {
        self.item
    }

    pub(crate) const fn print(&self) -> u128 {
        self.print
    }

    /// Whether it takes the place of `other`, of the same member. Of two of one version, which an honest
    /// member does not sign, all take the same.
    pub(crate) fn supersedes(&self, other: &Self) -> bool {
        (self.version(), self.item.stamp) > (other.version(), other.item.stamp)
    }
}

/// The member that a peer id names; `None` if it has no Ed25519 key inside.
pub(crate) fn member_of(peer: &PeerId) -> Option<MemberId> {
    let inside = peer.as_ref();
    let key = PublicKey::try_decode_protobuf(inside.digest()).ok()?;
    Some(MemberId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The peer id of a member; `None` if it is no key.
pub(crate) fn peer_of(member: &MemberId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&member.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// What a member says of itself that may change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Bytes that it can hold in all.
    pub capacity: u64,
    /// Bytes that may still be placed on it.
    pub free: u64,
    /// Bytes served lately, in a second.
    pub served: u64,
}

/// Who signs our own record.
pub(crate) struct Author {
    key: Keypair,
    network: String,
    record: Record,
    current: Arc<Verified>,
}

impl Author {
    /// A member that begins its life. `version` has to be above all of its earlier lives': milliseconds of
    /// the machine's clock are. If they are not, the others say so, and it goes on above theirs.
    ///
    /// # Errors
    /// If the key is none of Ed25519.
    pub(crate) fn new(
        key: Keypair,
        network: &str,
        role: MemberRole,
        tags: Tags,
        version: u64,
    ) -> Result<Self, BadRecord> {
        if key.key_type() != KeyType::Ed25519 {
            return Err(BadRecord::Signature);
        }
        let id = member_of(&key.public().to_peer_id()).ok_or(BadRecord::Signature)?;
        let record = Record {
            id,
            version,
            addresses: Vec::new(),
            role,
            state: MemberState::Up,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: Step::default(),
            free: Step::default(),
            load: 0,
            tags,
            holdings: Holdings::default(),
        };
        let current = Arc::new(sign(&key, network, &record)?);
        Ok(Self {
            key,
            network: network.to_owned(),
            record,
            current,
        })
    }

    pub(crate) const fn id(&self) -> MemberId {
        self.record.id
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) const fn current(&self) -> &Arc<Verified> {
        &self.current
    }

    /// Changes the record, and signs it with a version above the last one and above `beyond`. What would
    /// make it too large is not changed.
    pub(crate) fn change(&mut self, beyond: u64, change: impl FnOnce(&mut Record)) {
        let mut next = self.record.clone();
        change(&mut next);
        next.version = self.record.version.max(beyond).saturating_add(1);
        // Sixteen long addresses beside sixteen long tags may be too much: fewer addresses are told then.
        let signed = loop {
            match sign(&self.key, &self.network, &next) {
                Err(_) if next.addresses.pop().is_some() => {}
                signed => break signed,
            }
        };
        match signed {
            Ok(signed) => {
                self.record = next;
                self.current = Arc::new(signed);
            }
            Err(error) => tracing::warn!(%error, "a change of this member cannot be told"),
        }
    }

    /// Takes over what is offered now, as far as it shows in steps. Says whether anything did.
    pub(crate) fn offer(&mut self, offer: &Offer) -> bool {
        let record = &self.record;
        let capacity = record.capacity.follow(offer.capacity);
        let free = record.free.follow(offer.free);
        let load = load_of(offer.served, record.load);
        if (capacity, free, load) == (record.capacity, record.free, record.load) {
            return false;
        }
        self.change(0, |record| {
            (record.capacity, record.free, record.load) = (capacity, free, load);
        });
        true
    }
}

/// The load step for bytes served in a second: 0 below 1 MiB, then one for each doubling. It falls only when
/// it falls by two, so that it does not flap.
fn load_of(served: u64, told: u8) -> u8 {
    let mebibytes = served >> 20;
    let step = u8::try_from(u64::BITS - mebibytes.leading_zeros()).unwrap_or(u8::MAX);
    if step + 1 == told { told } else { step }
}

fn sign(key: &Keypair, network: &str, record: &Record) -> Result<Verified, BadRecord> {
    let body = record.encode()?;
    let signature = key.sign(&signed_bytes(network, &body));
    let signature = signature.map_err(|_| BadRecord::Signature)?;
    let signature: [u8; SIGNATURE_SIZE] = signature.try_into().map_err(|_| BadRecord::Signature)?;
    Ok(Verified::new(record.clone(), Signed { body, signature }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author() -> Author {
        let key = Keypair::generate_ed25519();
        Author::new(key, "main", MemberRole::Storage, Tags::default(), 7).unwrap()
    }

    #[test]
    fn a_record_is_believed_in_its_network_and_unchanged_only() {
        let author = author();
        let signed = author.current().signed().clone();
        assert!(Verified::check("main", signed.clone()).is_ok());
        assert!(Verified::check("other", signed.clone()).is_err());
        let other = self::author().current().signed().clone();
        let mixed = Signed {
            body: signed.body.clone(),
            signature: other.signature,
        };
        assert!(Verified::check("main", mixed).is_err());
    }

    #[test]
    fn a_peer_id_names_its_member() {
        let key = Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        assert_eq!(peer_of(&member_of(&peer).unwrap()), Some(peer));
        assert_eq!(member_of(&PeerId::random()), None);
    }

    #[test]
    fn each_change_has_a_higher_version() {
        let mut author = author();
        let first = Arc::clone(author.current());
        assert_eq!(first.version(), 7);
        let offer = Offer {
            capacity: 1 << 40,
            free: 1 << 40,
            served: 0,
        };
        assert!(author.offer(&offer));
        assert!(author.current().supersedes(&first));
        assert_eq!(author.current().version(), 8);
        assert!(!author.offer(&offer), "nothing changed");
        author.change(100, |record| record.state = MemberState::Leaving);
        assert_eq!(author.current().version(), 101);
    }

    #[test]
    fn load_rises_at_once_and_falls_late() {
        assert_eq!(load_of(0, 0), 0);
        assert_eq!(load_of(3 << 20, 0), 2);
        assert_eq!(load_of(3 << 19, 2), 2);
        assert_eq!(load_of(0, 2), 0);
        assert_eq!(load_of(u64::MAX, 0), 44);
    }
}
