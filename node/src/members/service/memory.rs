//! [`Memory`]: the members that are remembered over a restart, in the repo's table of peers; written behind the swarm's
//! back, now and then and at the end. Records are signed, and checked again when they are read: those of another
//! swarm, or damaged ones, are removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::blockstore::StoreError;
use store::records::Family;
use store::repo::Repo;
use store::wire::member::{MAX_RECORD_SIZE, MemberId, SIGNATURE_SIZE, Signed};

use crate::members::awaited::{KEPT, Remembered};
use crate::members::core::Core;
use crate::members::record::Verified;
use crate::writer::Writer;

/// Between two looks at what is to be written: who is met is remembered after so long even if this node is killed.
const WRITE: Duration = Duration::from_secs(10);
/// Records written at one look: the others follow at the next ones.
const AT_ONCE: usize = 128;
/// Before the member's id in the family of peers: no peer id begins so.
const PREFIX: &[u8] = b"member ";
/// For how long it has been missed, in seconds, before its record.
const MISSED_SIZE: usize = 4;

/// What was read, and what of it is to be removed.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    members: Vec<Remembered>,
    void: Vec<Vec<u8>>,
}

/// Reads the members of `network` that were remembered. Blocking.
pub(crate) fn load(repo: &Repo, network: &str) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    repo.records(Family::Peers)
        .for_prefix(PREFIX, &mut |key, value| {
            match decode(network, value).filter(|(record, _)| key_of(&record.id()) == key) {
                Some(member) if loaded.members.len() < KEPT => loaded.members.push(member),
                _ => loaded.void.push(key.to_vec()),
            }
            loaded.void.len() < KEPT
        })?;
    Ok(loaded)
}

/// What is on disk, and its way there.
pub(super) struct Memory {
    writer: Writer,
    written: BTreeMap<MemberId, Remembered>,
    next: Instant,
}

impl Memory {
    /// With what was read; the core is told.
    pub(super) fn new(loaded: Loaded, writer: Writer, core: &mut Core, now: Instant) -> Self {
        for key in loaded.void {
            writer.delete(Family::Peers, key);
        }
        let written = loaded.members.iter().cloned();
        let written = written.map(|member| (member.0.id(), member)).collect();
        core.remembers(loaded.members, now);
        Self {
            writer,
            written,
            next: now + WRITE,
        }
    }

    /// Writes some of what has changed, if it is time.
    pub(super) fn tick(&mut self, core: &Core, now: Instant) {
        if now >= self.next {
            self.next = now + WRITE;
            self.write(core, now, AT_ONCE);
        }
    }

    /// Writes all that has changed.
    pub(super) fn finish(&mut self, core: &Core, now: Instant) {
        self.write(core, now, KEPT);
    }

    fn write(&mut self, core: &Core, now: Instant, most: usize) {
        let members = core.to_remember(now);
        let members: BTreeMap<_, _> = members.into_iter().map(|it| (it.0.id(), it)).collect();
        let writer = &self.writer;
        self.written.retain(|id, _| {
            let is_known = members.contains_key(id);
            if !is_known {
                writer.delete(Family::Peers, key_of(id));
            }
            is_known
        });
        let old = |member: &Remembered| {
            let written = self.written.get(&member.0.id());
            written.is_none_or(|written| has_changed(written, member))
        };
        let changed: Vec<_> = members.into_values().filter(old).take(most).collect();
        for member in changed {
            let key = key_of(&member.0.id());
            self.writer.put(Family::Peers, key, encode(&member));
            self.written.insert(member.0.id(), member);
        }
    }
}

/// Whether it is worth writing: a record changes each minute, and where its member is found seldom.
fn has_changed(written: &Remembered, member: &Remembered) -> bool {
    let (old, new) = (written.0.record(), member.0.record());
    let moved = old.addresses != new.addresses || old.role != new.role;
    let (before, now) = (written.1, member.1);
    let came_or_went = before.is_zero() != now.is_zero();
    moved || came_or_went || now.abs_diff(before) > (before / 4).max(Duration::from_secs(60))
}

fn key_of(id: &MemberId) -> Vec<u8> {
    [PREFIX, &id.0].concat()
}

fn encode((record, missed): &Remembered) -> Vec<u8> {
    let missed = u32::try_from(missed.as_secs()).unwrap_or(u32::MAX);
    let signed = record.signed();
    [&missed.to_be_bytes()[..], &signed.signature, &signed.body].concat()
}

fn decode(network: &str, row: &[u8]) -> Option<Remembered> {
    let (missed, row) = row.split_first_chunk::<MISSED_SIZE>()?;
    let (signature, body) = row.split_first_chunk::<SIGNATURE_SIZE>()?;
    if body.len() > MAX_RECORD_SIZE {
        return None;
    }
    let signed = Signed {
        body: Bytes::copy_from_slice(body),
        signature: *signature,
    };
    let record = Verified::check(network, signed).ok()?;
    let missed = Duration::from_secs(u32::from_be_bytes(*missed).into());
    Some((Arc::new(record), missed))
}

#[cfg(test)]
mod tests;
