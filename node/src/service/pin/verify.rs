//! `pin verify`: is all that a pin keeps here, and whole? Reads every block of it; nobody else is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store::Cid;
use store::pin::{Pin, PinKind};
use store::scrub::Dag;

use crate::api::conversation::{Speaker, failure};
use crate::api::message::{Failure, FailureKind, Item, PinVerified};
use crate::service::Service;
use crate::service::verify::{Report, reading};

/// What was looked at so far.
#[derive(Default)]
struct Seen {
    pins: u64,
    damaged: u64,
    /// The first of these.
    first: Option<Cid>,
}

impl Service {
    pub(super) fn pin_verify(&self, cids: &[Cid], speaker: &Speaker) -> Result<(), Failure> {
        let verify = |done: &AtomicU64| self.verify_pins(cids, speaker, done);
        let (seen, not_pinned) = reading(speaker, None, verify)?;
        let Some(first) = seen.first else {
            return self.expect_pinned(&not_pinned);
        };
        let cid = match seen.damaged {
            1 => first.to_string(),
            _ => "CID".into(),
        };
        let message = match (seen.damaged, seen.pins) {
            (1, 1) => format!("the pin `{first}` is not whole"),
            (1, pins) => format!("one of {pins} pins is not whole"),
            (damaged, pins) => format!("{damaged} of {pins} pins are not whole"),
        };
        Err(failure(FailureKind::Corrupt, message).with_hint(format!(
            "`store verify {cid} --repair` fetches what is rotten or missing from others; check the disk",
        )))
    }

    /// Those that are not pinned.
    fn verify_pins(
        &self,
        cids: &[Cid],
        speaker: &Speaker,
        done: &AtomicU64,
    ) -> Result<(Seen, Vec<Cid>), Failure> {
        let mut report = Report::new(self, speaker, None);
        let mut seen = Seen::default();
        let mut not_pinned = Vec::new();
        // What several pins have in common is read once.
        let mut dag: Option<Dag> = None;
        let mut verify = |pin: &Pin| -> Result<(), Failure> {
            let dag = dag.get_or_insert_with(|| {
                Dag::new(Arc::clone(self.repo.blocks()), pin.root).remembering()
            });
            self.verify_pin(pin, dag, &mut report, done, &mut seen)
        };
        for cid in cids {
            match self.repo.pins().get(cid)? {
                Some(pin) => verify(&pin)?,
                None => not_pinned.push(*cid),
            }
        }
        if cids.is_empty() {
            let mut result = Ok(());
            self.repo.pins().for_each(&mut |pin| {
                result = verify(&pin);
                result.is_ok()
            })?;
            result?;
        }
        Ok((seen, not_pinned))
    }

    fn verify_pin(
        &self,
        pin: &Pin,
        dag: &mut Dag,
        report: &mut Report<'_>,
        done: &AtomicU64,
        seen: &mut Seen,
    ) -> Result<(), Failure> {
        // Who unpins it meanwhile does not make it look as if something was missing.
        let lease = self.repo.lease();
        lease.root(&pin.root);
        if self.repo.pins().get(&pin.root)?.is_none() {
            return Ok(());
        }
        let mut verified = PinVerified {
            pin: pin.clone().into(),
            blocks: 0,
            bytes: 0,
            damaged: 0,
        };
        dag.go_on(pin.root, pin.kind == PinKind::Direct);
        while let Some(examined) = dag.step()? {
            done.fetch_add(examined.bytes, Ordering::Relaxed);
            verified.blocks += examined.blocks;
            verified.bytes += examined.bytes;
            verified.damaged += examined.findings.len() as u64;
            report.examined(examined)?;
        }
        seen.pins += 1;
        if verified.damaged > 0 {
            seen.damaged += 1;
            seen.first.get_or_insert(pin.root);
        }
        report.speaker().item(Item::PinVerified(verified.into()))?;
        Ok(())
    }
}
