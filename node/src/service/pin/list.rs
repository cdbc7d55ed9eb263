//! `pin ls` and `pin why`: both stream, and neither walks a pinned DAG.

use store::Cid;
use store::pin::{self, Filter, NameFilter, PinKind};

use super::labels;
use crate::api::conversation::{Speaker, failure, watch};
use crate::api::message::{Failure, FailureKind, Holder, Item, PinFilter, PinType};
use crate::service::Service;

impl Service {
    pub(super) fn pin_ls(
        &self,
        cids: &[Cid],
        filter: PinFilter,
        kind: PinType,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        let filter = Filter {
            kind: match kind {
                PinType::Recursive => Some(PinKind::Recursive),
                PinType::Direct => Some(PinKind::Direct),
                PinType::Indirect | PinType::All => None,
            },
            name: filter.name.map(NameFilter::Contains),
            labels: labels(filter.labels),
        };
        if !cids.is_empty() {
            return self.pin_ls_of(cids, &filter, kind, speaker);
        }
        if kind == PinType::Indirect {
            let message = "`--type indirect` needs the CIDs of the blocks that are meant";
            return Err(failure(FailureKind::Usage, message)
                .with_hint("every block below a pin is pinned indirectly: far too many to list"));
        }
        let list = || {
            self.repo.pins().for_each(&mut |pin| {
                let meant = filter.matches(&pin);
                !speaker.is_gone() && (!meant || speaker.item(Item::Pin(pin.into())).is_ok())
            })
        };
        watch(speaker, || None, || (), list)?;
        Ok(())
    }

    /// How each of these is kept.
    fn pin_ls_of(
        &self,
        cids: &[Cid],
        filter: &Filter,
        kind: PinType,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        let mut not_pinned = Vec::new();
        for cid in cids {
            let pin = self.repo.pins().get(cid)?;
            match pin.filter(|pin| kind != PinType::Indirect && filter.matches(pin)) {
                Some(pin) => speaker.item(Item::Pin(pin.into()))?,
                None if matches!(kind, PinType::Indirect | PinType::All) => {
                    match self.above(cid, filter)? {
                        Some(holder) => {
                            let holder = Holder::new(*cid, holder);
                            speaker.item(Item::Holder(holder.into()))?;
                        }
                        None => not_pinned.push(*cid),
                    }
                }
                None => not_pinned.push(*cid),
            }
        }
        self.expect_pinned(&not_pinned)
    }

    /// One of the things above a block that keep it.
    fn above(&self, cid: &Cid, filter: &Filter) -> Result<Option<pin::Holder>, Failure> {
        // Pins of the block itself come first: two for each codec at most.
        let holders = self.repo.pins().holders(cid, LOOKED_AT)?.holders;
        let meant = |holder: &pin::Holder| match holder {
            pin::Holder::Pin(_) => false,
            pin::Holder::Below(pin) => filter.matches(pin),
            pin::Holder::Hold(_) => *filter == Filter::default(),
        };
        Ok(holders.into_iter().find(meant))
    }

    pub(super) fn pin_why(
        &self,
        cid: &Cid,
        limit: Option<usize>,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        let limit = limit.unwrap_or(usize::MAX);
        let search = || self.repo.pins().holders(cid, limit);
        let found = watch(speaker, || None, || (), search)?;
        let none = found.holders.is_empty();
        let cut = !found.complete && found.holders.len() < limit;
        for holder in found.holders {
            speaker.item(Item::Holder(Holder::new(*cid, holder).into()))?;
        }
        if cut {
            let message =
                format!("too much links to `{cid}`: not all that may keep it was looked at");
            return Err(failure(FailureKind::Partial, message));
        }
        if none {
            let message = format!("nothing keeps `{cid}`");
            return Err(failure(FailureKind::NotFound, message));
        }
        Ok(())
    }
}

/// Holders among which the first is looked for that a filter means.
const LOOKED_AT: usize = 64;
