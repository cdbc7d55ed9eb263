//! [`Pins`]: what all owners want kept, as far as this member has heard (docs/replication.md, "Pins").
//!
//! One record for each owner and root, in the family `pin-records`; in memory only the sums that set
//! reconciliation asks for, and how many records each owner has. Of one owner's records of one root the one of
//! the highest sequence is kept. A withdrawn one is a tombstone: it is kept for [`KEPT`], so that an older one that
//! comes late does nothing, and is no part of the set that is compared. So tombstones end: whoever brings what
//! one of them has withdrawn is answered with it ([`Taken::newer`]), and nobody else learns of it.
//!
//! Calls block on the disk: not for the threads of a runtime. Clocks are arguments, in Unix seconds.

mod admission;
mod edit;
mod row;
mod seal;
#[cfg(test)]
mod tests;
mod upkeep;
mod wish;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::identity::Keypair;
use store::Cid;
use store::blockstore::StoreError;
use store::records::Records;
use store::wire::WireError;
use store::wire::member::{MemberId, Signed};
use store::wire::pin::PinRecord;
use store::wire::reconcile::{Item, Prefix};
use store::wire::replica::MAX_OFFER_PINS;

use self::edit::{Edit, NoRoom, State};
use self::row::Row;
use self::seal::Seal;
use super::policy::Policy;
use crate::members::{member_of, peer_of};
use crate::reconcile::{Set, fingerprint};
use crate::swarm_key::SwarmKey;

/// How long a tombstone is kept, and a record that has expired: 30 days, in seconds. Who was away longer
/// than that may have what nobody remembers to be withdrawn.
pub const KEPT: u64 = 30 * 24 * 3600;
/// Records at most, tombstones included: about 1.5 GiB on disk.
pub const MAX_RECORDS: usize = 1 << 22;
/// Records of one owner at most: half of the room, so that one alone does not keep the others out.
pub const MAX_OF_OWNER: usize = MAX_RECORDS / 2;
/// Owners at most: four for each member that a swarm can have.
pub const MAX_OWNERS: usize = 1 << 16;
/// What a record counts for against the bytes that an owner may have here: its largest size.
const RECORD_SHARE: u64 = store::wire::pin::MAX_PIN_SIZE as u64;

/// Whose records are taken.
pub enum Admission {
    /// In a private swarm, those of all: whoever brings them has the key.
    Private(SwarmKey),
    /// In an open one, those of whom this member stores for: asked for the bytes that an owner may have here.
    Open(Box<dyn Fn(&MemberId) -> u64 + Send + Sync>),
}

/// The records of one member. To be shared.
pub struct Pins {
    records: Records,
    seal: Seal,
    admission: Admission,
    me: MemberId,
    state: Mutex<State>,
}

/// What became of records that were brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Whose records changed, each once.
    pub roots: Vec<Cid>,
    /// Records that were new.
    pub new: usize,
    /// Records that were known, or older than what is known, or had expired long ago.
    pub old: usize,
    /// What nobody can have signed: the bringer's fault.
    pub bad: usize,
    /// Records of owners who may have none here, or no more.
    pub refused: usize,
    /// What is known in the place of older ones: to be told to the bringer.
    pub newer: Vec<Signed>,
}

/// Why a record cannot be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy, or the root.
    #[error("this cannot be told to the swarm: {0}")]
    Wire(#[from] WireError),
    /// The key.
    #[error("pins are signed with an Ed25519 key, and this is another kind")]
    Key,
    /// The table.
    #[error(
        "there is no room for another pin record: {MAX_RECORDS} are kept, of one owner {MAX_OF_OWNER}; \
         withdraw some first"
    )]
    Full,
    /// Somebody has used up all numbers.
    #[error(
        "the record of `{0}` has the highest sequence that there is; it can no longer be changed"
    )]
    Sequence(Cid),
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pins")
            .field("records", &self.len())
            .finish_non_exhaustive()
    }
}

impl Pins {
    /// Those in `records` (`Family::PinRecords`), of the member `me` in `network`. After an absence of more than
    /// [`KEPT`] the records of all others are discarded: see [`Pins::needs_resync`]. Reads all records once.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn open(
        records: Records,
        network: &str,
        me: MemberId,
        admission: Admission,
        now: u64,
    ) -> Result<Self, StoreError> {
        upkeep::come_back(&records, me, now)?;
        let key = match &admission {
            Admission::Private(key) => Some(key),
            Admission::Open(_) => None,
        };
        Ok(Self {
            seal: Seal::new(network, key),
            state: Mutex::new(State::load(&records)?),
            admission,
            me,
            records,
        })
    }

    /// Records that are kept, tombstones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().total()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it takes in memory, in bytes, beside the database's own.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state().bytes()
    }

    /// Says what the owner of `key` wants of `root`: a policy and when it ends (0: never), or nothing any more.
    /// Durable when it returns. The sequence is one more than the highest that was seen of this root, so that
    /// who lost its own records still goes on above them.
    ///
    /// # Errors
    /// If the disk fails, the policy cannot be said, or there is no room.
    pub fn publish(
        &self,
        key: &Keypair,
        root: Cid,
        wish: Option<(&Policy, u64)>,
        now: u64,
    ) -> Result<Signed, PublishError> {
        let owner = member_of(&key.public().to_peer_id()).ok_or(PublishError::Key)?;
        let mut record = PinRecord {
            owner,
            root,
            sequence: 0,
            wanted: wish.map(|(policy, expires)| wish::wish_of(policy, expires)),
            by_swarm: false,
        };
        self.write_own(&mut record, now, |body| self.seal.sign(key, body))?
            .ok_or(PublishError::Key)
    }

    /// Withdraws in the swarm's name what `owner` wants of `root`: for keys that are lost. Durable when it returns.
    /// `None` in an open swarm, which has no key.
    ///
    /// # Errors
    /// If the disk fails, or there is no room.
    pub fn withdraw(
        &self,
        owner: MemberId,
        root: Cid,
        now: u64,
    ) -> Result<Option<Signed>, PublishError> {
        let mut record = PinRecord {
            owner,
            root,
            sequence: 0,
            wanted: None,
            by_swarm: true,
        };
        self.write_own(&mut record, now, |body| self.seal.withdraw(body))
    }

    fn write_own(
        &self,
        record: &mut PinRecord,
        now: u64,
        sign: impl FnOnce(bytes::Bytes) -> Option<Signed>,
    ) -> Result<Option<Signed>, PublishError> {
        let mut state = self.state();
        let rows = self.rows_of(&record.root)?;
        record.sequence =
            next_sequence(&rows, &record.owner).ok_or(PublishError::Sequence(record.root))?;
        let Some(signed) = sign(record.encode()?) else {
            return Ok(None);
        };
        let old = rows.iter().find(|row| row.record.owner == record.owner);
        let mut edit = Edit::default();
        let limit = self.limit(&record.owner);
        if old.is_none() && state.room(&edit, &record.owner, limit).is_err() {
            return Err(PublishError::Full);
        }
        edit.put(&Row::new(record.clone(), signed.clone(), now), old);
        state.write(&self.records, edit)?;
        drop(state);
        self.records.sync()?;
        Ok(Some(signed))
    }

    /// Takes what others bring, as far as it is true, new and there is room. It survives the end of the
    /// process, and is durable after the next [`Pins::publish`] or [`Pins::expire`].
    ///
    /// # Errors
    /// If the disk fails; nothing was taken then.
    pub fn take(&self, records: Vec<Signed>, now: u64) -> Result<Taken, StoreError> {
        let mut taken = Taken::default();
        let brought = records.into_iter().filter_map(|signed| {
            let record = PinRecord::decode(&signed.body).ok().filter(is_sensible);
            taken.bad += usize::from(record.is_none());
            Some(Row::new(record?, signed, now))
        });
        let mut rows: Vec<Row> = brought.collect();
        let brought = rows.len();
        rows.retain(|row| row.expires().is_none_or(|at| now < at.saturating_add(KEPT)));
        rows.retain(|row| {
            let may = self.limit(&row.record.owner) > 0;
            taken.refused += usize::from(!may);
            may
        });
        taken.old = brought - rows.len() - taken.refused;

        // Looked up first: what is known already costs no check of its signature.
        let seen = self.state().edits;
        let mut known = self.known(&rows)?;
        (rows, known) = winners(rows, known, &mut taken);
        let sound = self.seal.check(&rows);
        taken.bad += sound.iter().filter(|sound| !**sound).count();
        let pairs = rows.into_iter().zip(known).zip(sound);
        (rows, known) = pairs
            .filter(|(_, sound)| *sound)
            .map(|(pair, _)| pair)
            .unzip();

        let mut state = self.state();
        if state.edits != seen {
            known = self.known(&rows)?;
            (rows, known) = winners(rows, known, &mut taken);
        }
        let mut edit = Edit::default();
        for (row, old) in highest(rows, known, &mut taken) {
            if old.is_none() && !self.admit(&mut state, &edit, &row.record.owner) {
                taken.refused += 1;
                continue;
            }
            edit.put(&row, old.as_ref());
            taken.new += 1;
            taken.roots.push(row.record.root);
        }
        state.write(&self.records, edit)?;
        drop(state);
        taken.roots.sort_unstable();
        taken.roots.dedup();
        Ok(taken)
    }

    /// Whether there is room for one more of `owner`; says so in the log where there is none.
    fn admit(&self, state: &mut State, edit: &Edit, owner: &MemberId) -> bool {
        let Err(why) = state.room(edit, owner, self.limit(owner)) else {
            return true;
        };
        if state.tell(owner) {
            let name = peer_of(owner).map_or_else(|| format!("{owner:?}"), |peer| peer.to_string());
            match why {
                NoRoom::Owner => tracing::warn!(
                    owner = name,
                    limit = self.limit(owner),
                    "an owner has as many pin records as it may have here; more are refused"
                ),
                NoRoom::All => tracing::warn!(
                    owner = name,
                    limit = MAX_RECORDS,
                    "there is no room for more pin records; one of this owner was refused"
                ),
            }
        }
        false
    }

    /// Records that `owner` may have here.
    fn limit(&self, owner: &MemberId) -> usize {
        match &self.admission {
            Admission::Open(bytes) if *owner != self.me => {
                let share = usize::try_from(bytes(owner) / RECORD_SHARE);
                share.unwrap_or(MAX_OF_OWNER).min(MAX_OF_OWNER)
            }
            Admission::Open(_) | Admission::Private(_) => MAX_OF_OWNER,
        }
    }

    /// What is wanted of `root`: the maximum over all owners. `None` where nobody wants it.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn policy(&self, root: &Cid, now: u64) -> Result<Option<Arc<Policy>>, StoreError> {
        let policies = self.wanting(root, now)?;
        let policy = policies.into_iter().map(|(_, policy)| policy);
        Ok(policy.reduce(|all, one| all.or(&one)).map(Arc::new))
    }

    /// Who wants `root`.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn owners(&self, root: &Cid, now: u64) -> Result<Vec<MemberId>, StoreError> {
        let wanting = self.wanting(root, now)?.into_iter();
        Ok(wanting.map(|(row, _)| row.record.owner).collect())
    }

    /// The records that go with an offer of `root`: [`MAX_OFFER_PINS`] at most, those that want most first.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn records_of(&self, root: &Cid, now: u64) -> Result<Vec<Signed>, StoreError> {
        let mut wanting = self.wanting(root, now)?;
        wanting.sort_by_key(|(_, policy)| {
            let copies = policy.copies;
            let wants = (policy.everywhere, copies.target, copies.min, copies.max);
            std::cmp::Reverse((wants, policy.priority))
        });
        let first = wanting.into_iter().take(MAX_OFFER_PINS);
        Ok(first.map(|(row, _)| row.signed).collect())
    }

    /// Records of owners that are stored for, and hold.
    fn wanting(&self, root: &Cid, now: u64) -> Result<Vec<(Row, Policy)>, StoreError> {
        let rows = self.rows_of(root)?.into_iter();
        let wanting = rows.filter_map(|row| {
            let wish = row.record.wanted.as_ref()?;
            let counts = wish::holds(wish, now) && self.limit(&row.record.owner) > 0;
            let policy = counts.then(|| wish::policy_of(wish))??;
            Some((row, policy))
        });
        Ok(wanting.collect())
    }

    /// The live records of these keys of set reconciliation, as far as they are known.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn fetch(&self, keys: &[[u8; 32]]) -> Result<Vec<Signed>, StoreError> {
        let keys: Vec<_> = keys.iter().map(row::of_key).collect();
        let rows = self.records.get_many(&keys)?.into_iter().flatten();
        let rows = rows.map(|row| Row::decode(&row));
        let live = rows.filter_map(|row| match row {
            Ok(row) => row.record.wanted.is_some().then_some(Ok(row.signed)),
            Err(error) => Some(Err(error)),
        });
        live.collect()
    }

    fn rows_of(&self, root: &Cid) -> Result<Vec<Row>, StoreError> {
        let mut keys = Vec::new();
        self.records
            .for_prefix(&row::of_root(root), &mut |place, _| {
                keys.extend(row::key_of(place));
                true
            })?;
        let rows = keys.iter().map(|key| self.row(key));
        rows.filter_map(Result::transpose).collect()
    }

    /// What is known in the place of each. One by one: mostly there is nothing, as the filters know.
    fn known(&self, rows: &[Row]) -> Result<Vec<Option<Row>>, StoreError> {
        rows.iter().map(|row| self.row(&row.key())).collect()
    }

    fn row(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let row = self.records.get(key)?;
        row.map(|row| Row::decode(&row)).transpose()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The items below a place, `limit` at most.
    fn below(&self, place: Prefix, limit: usize) -> Result<Vec<Item>, StoreError> {
        let (mut items, start) = (Vec::new(), row::of_key(&place.first()));
        self.records.for_each_from(&start, &mut |key, value| {
            let Some((live, item)) = row::item_in(key, value) else {
                return false;
            };
            let inside = place.contains(&item.key);
            if inside && live {
                items.push(item);
            }
            inside && items.len() < limit
        })?;
        Ok(items)
    }
}

/// As a set it has the live records, those that have expired too; see [`Taken::newer`] for tombstones.
impl Set for Pins {
    type Error = StoreError;

    /// A place of the tree has 15 of a million: they are listed at once, and not divided first.
    const LISTED: usize = 40;

    fn sum(&self, place: Prefix) -> Result<u128, StoreError> {
        if let Some(sum) = self.state().tree.sum(place) {
            return Ok(sum);
        }
        let add = |sum: u128, item: &Item| sum.wrapping_add(fingerprint(item));
        Ok(self.below(place, MAX_RECORDS)?.iter().fold(0, add))
    }

    fn list(&self, place: Prefix, limit: usize) -> Result<Vec<Item>, StoreError> {
        self.below(place, limit)
    }
}

fn is_sensible(record: &PinRecord) -> bool {
    let wish = record.wanted.as_ref();
    wish.is_none_or(|wish| wish::policy_of(wish).is_some())
}

/// One more than the highest of the owner's own and the others'; `None` where there is none.
fn next_sequence(rows: &[Row], owner: &MemberId) -> Option<u64> {
    // Whom another owner names a number beyond all reason does not have to follow.
    const OTHERS: u64 = 1 << 62;
    let number = |row: &Row| match row.record.sequence {
        other if row.record.owner != *owner && other >= OTHERS => 0,
        sequence => sequence,
    };
    let highest = rows.iter().map(number).max();
    highest.unwrap_or(0).checked_add(1)
}

/// Those that take the place of what is known.
fn winners(
    rows: Vec<Row>,
    known: Vec<Option<Row>>,
    taken: &mut Taken,
) -> (Vec<Row>, Vec<Option<Row>>) {
    let pairs = rows.into_iter().zip(known);
    let wins = |(row, known): &(Row, Option<Row>)| {
        let Some(known) = known else { return true };
        let wins = row.supersedes(known);
        if !wins {
            taken.old += 1;
            if known.supersedes(row) {
                taken.newer.push(known.signed.clone());
            }
        }
        wins
    };
    pairs.filter(wins).unzip()
}

/// Of each owner and root the highest, if one message brings several.
fn highest(
    rows: Vec<Row>,
    known: Vec<Option<Row>>,
    taken: &mut Taken,
) -> impl Iterator<Item = (Row, Option<Row>)> + use<> {
    let mut best: BTreeMap<Vec<u8>, (Row, Option<Row>)> = BTreeMap::new();
    for (row, known) in rows.into_iter().zip(known) {
        match best.entry(row.place()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert((row, known));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                taken.old += 1;
                if row.supersedes(&entry.get().0) {
                    entry.insert((row, known));
                }
            }
        }
    }
    best.into_values()
}
