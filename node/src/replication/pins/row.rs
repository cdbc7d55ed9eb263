//! The rows of the family `pin-records` (docs/storage.md draws them).

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use store::blockstore::StoreError;
use store::wire::member::{MemberId, SIGNATURE_SIZE, Signed};
use store::wire::pin::PinRecord;
use store::wire::reconcile::Item;
use store::{Cid, cid};

/// When this member was last known to run: Unix seconds.
pub(super) const ALIVE: &[u8] = b"malive";
/// There while this member has to learn anew what others want.
pub(super) const RESYNC: &[u8] = b"mresync";

/// Records, by the key of set reconciliation: so what is compared and fetched lies side by side.
pub(super) const RECORD: u8 = b'k';
/// Root and owner of each record.
pub(super) const ROOT: u8 = b'r';
/// Of live records that expire, by when something is to be done about them.
pub(super) const EXPIRES: u8 = b'e';
/// Of tombstones, by when they may go.
pub(super) const TOMBSTONE: u8 = b't';

/// What the values of records begin with.
const WISH: u8 = 0;
const WITHDRAWN: u8 = 1;

/// Bytes of a member's name.
const ID: usize = 32;
/// Bytes of a number.
const NUMBER: usize = 8;

/// A record as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// When it was taken, by this member's clock: Unix seconds.
    pub(super) taken: u64,
    pub(super) record: PinRecord,
    pub(super) signed: Signed,
    pub(super) stamp: u64,
}

impl Row {
    pub(super) fn new(record: PinRecord, signed: Signed, taken: u64) -> Self {
        let hash = digest(&SHA256, &signed.body);
        let front = hash.as_ref()[..NUMBER].try_into();
        Self {
            taken,
            record,
            stamp: u64::from_be_bytes(front.expect("8 of 32 bytes")),
            signed,
        }
    }

    /// Whether it takes the place of `other`, of the same owner and root. Of two of one sequence, which an honest
    /// owner does not sign, all take the same.
    pub(super) fn supersedes(&self, other: &Self) -> bool {
        (self.record.sequence, self.stamp) > (other.record.sequence, other.stamp)
    }

    /// As set reconciliation sees it: a tombstone is not in the set.
    pub(super) fn item(&self) -> Option<Item> {
        self.record.wanted.is_some().then(|| Item {
            key: key(&self.record.root, &self.record.owner),
            stamp: self.stamp,
        })
    }

    /// The key of its row in [`RECORD`].
    pub(super) fn key(&self) -> Vec<u8> {
        of_key(&key(&self.record.root, &self.record.owner))
    }

    /// The key of its row in [`ROOT`].
    pub(super) fn place(&self) -> Vec<u8> {
        let mut key = of_root(&self.record.root);
        key.extend(self.record.owner.0);
        key
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let wanted = self.record.wanted.is_some();
        let mut bytes = vec![if wanted { WISH } else { WITHDRAWN }];
        bytes.extend(self.stamp.to_be_bytes());
        bytes.extend(self.taken.to_be_bytes());
        bytes.extend(self.signed.signature);
        bytes.extend_from_slice(&self.signed.body);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let rest = bytes.get(1 + NUMBER..).ok_or_else(malformed)?;
        let (taken, rest) = number(rest).ok_or_else(malformed)?;
        let (signature, body) = rest
            .split_first_chunk::<SIGNATURE_SIZE>()
            .ok_or_else(malformed)?;
        let body = Bytes::copy_from_slice(body);
        let record = PinRecord::decode(&body).map_err(|_| malformed())?;
        let signed = Signed {
            body,
            signature: *signature,
        };
        Ok(Self::new(record, signed, taken))
    }

    /// When it expires, if it does.
    pub(super) fn expires(&self) -> Option<u64> {
        let wish = self.record.wanted.as_ref()?;
        (wish.expires != 0).then_some(wish.expires)
    }
}

/// The key of set reconciliation: SHA-256 of owner and root.
fn key(root: &Cid, owner: &MemberId) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    hash.update(&owner.0);
    hash.update(&root.to_bytes());
    let hash = hash.finish();
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The key of a row in [`RECORD`].
pub(super) fn of_key(key: &[u8; 32]) -> Vec<u8> {
    let mut row = vec![RECORD];
    row.extend(key);
    row
}

/// Whether a record has a wish, and what set reconciliation sees then; `None` where the row is malformed, or
/// of another kind.
pub(super) fn item_in(key: &[u8], value: &[u8]) -> Option<(bool, Item)> {
    let (&RECORD, key) = key.split_first()? else {
        return None;
    };
    let (&kind, rest) = value.split_first()?;
    let (stamp, _) = number(rest)?;
    let key = key.try_into().ok()?;
    Some((kind == WISH, Item { key, stamp }))
}

/// What the rows of a root in [`ROOT`] begin with. No CID is the beginning of another.
pub(super) fn of_root(root: &Cid) -> Vec<u8> {
    let mut key = vec![ROOT];
    key.extend(root.to_bytes());
    key
}

/// Root and owner in the key of a row in [`ROOT`]; `None` where it is none.
pub(super) fn place_in(key: &[u8]) -> Option<(Cid, MemberId)> {
    let (&ROOT, rest) = key.split_first()? else {
        return None;
    };
    let (root, owner) = rest.split_last_chunk::<ID>()?;
    Some((cid::from_bytes(root).ok()?, MemberId(*owner)))
}

/// The key in [`RECORD`] of the record whose key in [`ROOT`] is `place`.
pub(super) fn key_of(place: &[u8]) -> Option<Vec<u8>> {
    let (root, owner) = place_in(place)?;
    Some(of_key(&key(&root, &owner)))
}

/// The key of a row in [`EXPIRES`] or [`TOMBSTONE`]: the record whose key in [`ROOT`] is `place`, and when.
pub(super) fn timed(kind: u8, at: u64, place: &[u8]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(at.to_be_bytes());
    key.extend(&place[1..]);
    key
}

/// When, and the record's key in [`ROOT`], in the key of such a row.
pub(super) fn timed_in(key: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (at, place) = number(key.get(1..)?)?;
    Some((at, [&[ROOT], place].concat()))
}

pub(super) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<NUMBER>()?;
    Some((u64::from_be_bytes(*number), rest))
}

pub(super) fn malformed() -> StoreError {
    StoreError::Database {
        reason: "a malformed row of pin records".into(),
    }
}
