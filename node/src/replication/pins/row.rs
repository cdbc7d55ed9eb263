//! The rows of the family `pin-records` (docs/storage.md draws them).

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use store::blockstore::StoreError;
use store::wire::member::{MemberId, SIGNATURE_SIZE, Signed};
use store::wire::pin::PinRecord;
use store::wire::reconcile::{Item, Prefix};
use store::{Cid, cid};

/// When this member was last known to run: Unix seconds.
pub(super) const ALIVE: &[u8] = b"malive";
/// There while this member has to learn anew what others want.
pub(super) const RESYNC: &[u8] = b"mresync";

/// What the keys of records begin with.
pub(super) const RECORD: u8 = b'r';
/// Of live records, by the key of set reconciliation.
pub(super) const KEY: u8 = b'k';
/// Of live records that expire, by when something is to be done about them.
pub(super) const EXPIRES: u8 = b'e';
/// Of tombstones, by when they may go.
pub(super) const TOMBSTONE: u8 = b't';

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
            key: self.key(),
            stamp: self.stamp,
        })
    }

    /// The key of set reconciliation: SHA-256 of owner and root.
    pub(super) fn key(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        hash.update(&self.record.owner.0);
        hash.update(&self.record.root.to_bytes());
        let hash = hash.finish();
        hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    pub(super) fn place(&self) -> Vec<u8> {
        place(&self.record.root, &self.record.owner)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.taken.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.signed.signature);
        bytes.extend_from_slice(&self.signed.body);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (taken, rest) = number(bytes).ok_or_else(malformed)?;
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

    /// The value of its row in [`KEY`].
    pub(super) fn key_value(&self) -> Vec<u8> {
        let mut bytes = self.stamp.to_be_bytes().to_vec();
        bytes.extend(&self.place()[1..]);
        bytes
    }

    /// When it expires, if it does.
    pub(super) fn expires(&self) -> Option<u64> {
        let wish = self.record.wanted.as_ref()?;
        (wish.expires != 0).then_some(wish.expires)
    }
}

/// What the rows of a root begin with. No CID is the beginning of another.
pub(super) fn of_root(root: &Cid) -> Vec<u8> {
    let mut key = vec![RECORD];
    key.extend(root.to_bytes());
    key
}

/// Behind all rows of a root.
pub(super) fn behind_root(root: &Cid) -> Vec<u8> {
    let mut key = of_root(root);
    key.extend([u8::MAX; ID + 1]);
    key
}

/// The key of a record.
pub(super) fn place(root: &Cid, owner: &MemberId) -> Vec<u8> {
    let mut key = of_root(root);
    key.extend(owner.0);
    key
}

/// The root in the key of a record; `None` where it is none.
pub(super) fn root_in(key: &[u8]) -> Option<Cid> {
    let (&RECORD, rest) = key.split_first()? else {
        return None;
    };
    cid::from_bytes(rest.get(..rest.len().checked_sub(ID)?)?).ok()
}

/// The owner at the end of a key of any kind, or of a value in [`KEY`].
pub(super) fn owner_in(bytes: &[u8]) -> Option<MemberId> {
    bytes.last_chunk().map(|id| MemberId(*id))
}

/// The key of a record in [`KEY`].
pub(super) fn key_row(key: &[u8; 32]) -> Vec<u8> {
    let mut row = vec![KEY];
    row.extend(key);
    row
}

/// Where the rows below a place of the tree begin.
pub(super) fn key_rows_from(place: Prefix) -> Vec<u8> {
    key_row(&place.first())
}

/// The item of a row in [`KEY`]; `None` where it is none.
pub(super) fn item_in(key: &[u8], value: &[u8]) -> Option<Item> {
    let (&KEY, key) = key.split_first()? else {
        return None;
    };
    let (stamp, _) = number(value)?;
    let key = key.try_into().ok()?;
    Some(Item { key, stamp })
}

/// The key of a record, as the value of its row in [`KEY`] has it.
pub(super) fn place_in(value: &[u8]) -> Option<Vec<u8>> {
    let (_, place) = number(value)?;
    Some([&[RECORD], place].concat())
}

/// The key of a row in [`EXPIRES`] or [`TOMBSTONE`]: the record whose key is `place`, and when.
pub(super) fn timed(kind: u8, at: u64, place: &[u8]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(at.to_be_bytes());
    key.extend(&place[1..]);
    key
}

/// When, and the key of which record, in the key of such a row.
pub(super) fn timed_in(key: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (at, place) = number(key.get(1..)?)?;
    Some((at, [&[RECORD], place].concat()))
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
