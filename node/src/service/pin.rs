//! `pin add`, `rm`, `ls`, `update`, `why`, `verify`.

mod list;
mod update;
mod verify;

use store::Cid;
use store::dag::path::resolve;
use store::dag::{BlockSource, Walk};
use store::pin::{Expiry, Filter, Label, NameFilter, PinError, PinKind, Wanted, now};

use super::replication::Wishes;
use super::source::Source;
use super::{Service, target};
use crate::api::conversation::{Speaker, failure, watch};
use crate::api::message::{
    Content, Failure, FailureKind, Item, PinExpiry, PinFilter, PinMarks, PinRequest,
};

/// Blocks that a walk asks for at once: sixteen are hashed together.
const BATCH: usize = 16;

impl Service {
    pub(super) fn pin(&self, request: PinRequest, speaker: &Speaker) -> Result<(), Failure> {
        match request {
            PinRequest::Add {
                content,
                direct,
                marks,
            } => self.pin_add(&content, direct, &marks, speaker),
            PinRequest::Rm { cids, filter } => self.pin_rm(&cids, filter, speaker),
            PinRequest::Ls { cids, filter, kind } => self.pin_ls(&cids, filter, kind, speaker),
            PinRequest::Update { old, new, keep_old } => {
                self.pin_update(&old, &new, keep_old, speaker)
            }
            PinRequest::Why { cid, limit } => self.pin_why(&cid, limit, speaker),
            PinRequest::Verify { cids } => self.pin_verify(&cids, speaker),
        }
    }

    fn pin_add(
        &self,
        content: &Content,
        direct: bool,
        marks: &PinMarks,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        let named = target::parse(content)?;
        // It holds a lease until the pin is written.
        let source = if direct {
            Source::on_demand(self, speaker, &named, content.timeout)
        } else {
            Source::whole(self, speaker, &named, content.timeout)
        };
        let root = source.watched(|| -> Result<Cid, Failure> {
            let root = resolve(&source, &named.target)?;
            if direct {
                source.block(&root)?;
                return Ok(root);
            }
            // Reads, and so checks, what is here as well: a pin promises the bytes.
            let mut walk = Walk::new(root);
            while !walk.is_done() {
                for block in source.blocks(&walk.wants(BATCH))? {
                    walk.supply(&block)?;
                }
            }
            Ok(root)
        })?;
        let kind = if direct {
            PinKind::Direct
        } else {
            PinKind::Recursive
        };
        let expiry = match marks.expiry {
            PinExpiry::Unsaid => Expiry::Unchanged,
            PinExpiry::Never => Expiry::Never,
            PinExpiry::At(time) => Expiry::At(time),
        };
        let pin = self.repo.pins().add(&Wanted {
            kind,
            expiry,
            ..wanted(root, marks)
        })?;
        // Of a block that is kept alone the rest may be missing: nobody is told to look for it here.
        if !direct {
            self.offer(root)?;
        }
        speaker.item(Item::Pin(pin.into()))?;
        Ok(())
    }

    /// Pins `root`, whose blocks have all been put: [`Pins::add`](store::pin::Pins::add) makes them
    /// durable before the pin, and the pin before it returns (I2, I3). Where `marks` say nothing of an
    /// end it is kept for good; an earlier end than it has is not meant.
    pub(super) fn keep(&self, root: Cid, marks: &PinMarks) -> Result<(), Failure> {
        let expiry = match marks.expiry {
            PinExpiry::Unsaid | PinExpiry::Never => Expiry::Never,
            PinExpiry::At(time) => Expiry::NotBefore(time),
        };
        self.repo.pins().add(&Wanted {
            expiry,
            ..wanted(root, marks)
        })?;
        Ok(())
    }

    fn pin_rm(&self, cids: &[Cid], filter: PinFilter, speaker: &Speaker) -> Result<(), Failure> {
        let filter = Filter {
            kind: None,
            name: filter.name.map(NameFilter::Is),
            labels: labels(filter.labels),
        };
        if cids.is_empty() {
            return self.pin_rm_matching(&filter, speaker);
        }
        let (mut not_pinned, mut wishes) = (Vec::new(), Wishes::of(self));
        for cid in cids {
            // First: what others want of it is held before the pin goes.
            let was_wanted = wishes.withdraw(*cid)?;
            let pin = self.repo.pins().unpin(cid)?;
            // A wish may be all that there is: others have the copies.
            if pin.is_none() && !was_wanted {
                not_pinned.push(*cid);
            }
            if let Some(pin) = pin {
                speaker.item(Item::Pin(pin.into()))?;
            }
            if was_wanted {
                Wishes::tell_withdrawn(*cid, speaker)?;
            }
        }
        self.expect_pinned(&not_pinned)
    }

    fn pin_rm_matching(&self, filter: &Filter, speaker: &Speaker) -> Result<(), Failure> {
        if *filter == Filter::default() {
            let message = "nothing is named: a CID, a name or a label";
            return Err(failure(FailureKind::Usage, message));
        }
        let mut roots = Vec::new();
        self.repo.pins().for_each(&mut |pin| {
            roots.extend(filter.matches(&pin).then_some(pin.root));
            !speaker.is_gone()
        })?;
        // First: what others want of it is held before the pins go.
        let mut wishes = Wishes::of(self);
        for root in &roots {
            if wishes.withdraw(*root)? {
                Wishes::tell_withdrawn(*root, speaker)?;
            }
        }
        let mut is_any = false;
        let remove = || {
            self.repo.pins().unpin_matching(filter, &mut |pin| {
                is_any = true;
                // They are gone, whether anybody is told or not.
                speaker.item(Item::Pin(pin.into())).is_ok() && !speaker.is_gone()
            })
        };
        watch(speaker, || None, || (), remove)?;
        if !is_any {
            return Err(
                failure(FailureKind::NotFound, "no pin is like that").with_hint(
                    "`store pin ls` shows what is pinned; here a name must be the whole name",
                ),
            );
        }
        Ok(())
    }

    /// A failure that names those that are not pinned: the first, and how many more.
    fn expect_pinned(&self, not_pinned: &[Cid]) -> Result<(), Failure> {
        let Some(first) = not_pinned.first() else {
            return Ok(());
        };
        let message = match not_pinned.len() {
            1 => format!("`{first}` is not pinned"),
            count => format!("`{first}` is not pinned, nor are {} others", count - 1),
        };
        let holders = self.repo.pins().holders(first, 1)?.holders;
        let hint = match holders.first().and_then(|holder| holder.root()) {
            Some(root) if root != first => format!("it is kept as a part of `{root}`"),
            _ => "`store pin ls` shows what is".into(),
        };
        Err(failure(FailureKind::NotFound, message).with_hint(hint))
    }
}

fn wanted(root: Cid, marks: &PinMarks) -> Wanted {
    Wanted {
        name: marks.name.clone(),
        labels: labels(marks.labels.clone()),
        ..Wanted::new(root, now())
    }
}

fn labels(pairs: Vec<(String, String)>) -> Vec<Label> {
    let label = |(key, value)| Label { key, value };
    pairs.into_iter().map(label).collect()
}

impl From<PinError> for Failure {
    fn from(error: PinError) -> Self {
        let message = error.to_string();
        match error {
            PinError::Store(error) => error.into(),
            PinError::Recursive { cid } => failure(FailureKind::Usage, message)
                .with_hint(format!("`store pin rm {cid}` unpins it")),
            PinError::NotPinned { .. } => {
                failure(FailureKind::NotFound, message).with_hint("`store pin ls` shows what is")
            }
            _ => failure(FailureKind::Usage, message),
        }
    }
}
