//! [`Seal`]: who has signed a record, or withdrawn it.

use std::thread;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use bytes::Bytes;
use libp2p::identity::Keypair;
use store::wire::member::{SIGNATURE_SIZE, Signed};
use store::wire::pin::pin_signed_bytes;

use super::row::Row;
use crate::swarm_key::SwarmKey;

/// Bytes of HMAC-SHA-256; the rest of the signature's place is zeroes.
const TAG: usize = 32;
/// Records that are worth a thread: a millisecond's work.
const FOR_A_THREAD: usize = 24;
/// Threads at most: the node has other things to do.
const THREADS: usize = 4;

/// Signs and checks for one network.
pub(super) struct Seal {
    network: String,
    swarm: Option<hmac::Key>,
}

impl Seal {
    pub(super) fn new(network: &str, key: Option<&SwarmKey>) -> Self {
        Self {
            network: network.to_owned(),
            swarm: key.map(SwarmKey::pins),
        }
    }

    /// Whether each is what its owner has signed, or the swarm's key withdrawn.
    pub(super) fn check(&self, rows: &[Row]) -> Vec<bool> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = (rows.len() / FOR_A_THREAD).clamp(1, cores.min(THREADS));
        let share = rows.len().div_ceil(threads).max(1);
        let check =
            |rows: &[Row]| -> Vec<bool> { rows.iter().map(|row| self.is_true(row)).collect() };
        thread::scope(|scope| {
            let mut shares = rows.chunks(share);
            let own = shares.next().unwrap_or_default();
            let others: Vec<_> = shares
                .map(|share| scope.spawn(move || check(share)))
                .collect();
            let mut sound = check(own);
            for other in others {
                let other = other.join();
                sound.extend(other.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            sound
        })
    }

    fn is_true(&self, row: &Row) -> bool {
        let bytes = pin_signed_bytes(&self.network, &row.signed.body);
        if !row.record.by_swarm {
            let key = UnparsedPublicKey::new(&ED25519, &row.record.owner.0);
            return key.verify(&bytes, &row.signed.signature).is_ok();
        }
        let (tag, rest) = row.signed.signature.split_at(TAG);
        let Some(key) = &self.swarm else {
            return false;
        };
        rest.iter().all(|&byte| byte == 0) && hmac::verify(key, &bytes, tag).is_ok()
    }

    /// Signed by the owner; `None` where the key cannot.
    pub(super) fn sign(&self, key: &Keypair, body: Bytes) -> Option<Signed> {
        let signature = key.sign(&pin_signed_bytes(&self.network, &body)).ok()?;
        let signature = signature.try_into().ok()?;
        Some(Signed { body, signature })
    }

    /// Withdrawn in the swarm's name; `None` where it has no key.
    pub(super) fn withdraw(&self, body: Bytes) -> Option<Signed> {
        let tag = hmac::sign(
            self.swarm.as_ref()?,
            &pin_signed_bytes(&self.network, &body),
        );
        let mut signature = [0; SIGNATURE_SIZE];
        signature[..TAG].copy_from_slice(tag.as_ref());
        Some(Signed { body, signature })
    }
}
