//! What was here when the node began.

use store::Cid;
use store::blockstore::{Blockstore, StoreError};
use store::pin::{self, PinKind};
use store::repo::Repo;
use store::segment::{Hold, SegmentId};

use super::Replicator;
use super::context::Context;
use super::cut::cut;
use super::holdings::Place;
use super::notes::{HeldHere, Note, RootHere};
use crate::replication::planner::Event;
use crate::replication::policy::Policy;

/// Holds, or roots, in one note.
const TOGETHER: usize = 256;

impl Replicator {
    /// Finds what is held here, and what is pinned here and wanted. It comes as notes.
    pub(super) fn load(&self) {
        let notes = self.notes.clone();
        self.work(move |context| {
            let send = |note| notes.blocking_send(note).is_ok();
            let is_over = || notes.is_closed();
            let loaded =
                load_holds(context, &send).and_then(|()| load_pinned(context, &send, &is_over));
            Some(loaded.map_or_else(Note::Failed, |()| Note::Loaded))
        });
    }

    pub(super) fn on_held(&mut self, holds: Vec<HeldHere>) {
        let mut roots = Vec::new();
        for HeldHere {
            segment,
            hold,
            bytes,
        } in holds
        {
            roots.extend(hold.root().copied());
            self.holdings.insert(segment, bytes, Place::held(hold));
            self.unasked.push(segment);
        }
        roots.sort_unstable();
        roots.dedup();
        self.on_changed(roots);
    }

    /// Asks the places of what was found here whether they have it: nobody's list outlives a restart. Only who
    /// has it counts.
    pub(super) fn ask_places(&mut self) {
        if self.roster.len() < 2 {
            return;
        }
        let mut by_member = std::collections::BTreeMap::<_, Vec<SegmentId>>::new();
        for segment in std::mem::take(&mut self.unasked) {
            let Some(policy) = self.policy_of(&segment) else {
                continue;
            };
            let field = self.roster.under(&policy);
            let places = field.place(&segment, &[self.me], &[]);
            for member in places.into_iter().filter(|it| *it != self.me) {
                by_member.entry(member).or_default().push(segment);
            }
        }
        for (member, segments) in by_member {
            self.check(member, &segments, true);
        }
    }

    /// How it is with a root, as the disk says.
    pub(super) fn on_root(&mut self, here: RootHere) {
        let RootHere {
            root,
            policy,
            pinned,
            is_held,
        } = here;
        let is_pinned = pinned.is_some();
        for found in pinned.into_iter().flatten() {
            let place = if is_held {
                Place::held(found.hold)
            } else {
                Place::pinned(found.hold)
            };
            if self.holdings.insert(found.id, found.bytes, place) {
                self.unasked.push(found.id);
            }
        }
        if is_held || !is_pinned {
            for segment in self.holdings.unpinned(&root) {
                self.plan(Event::Lost { segment });
            }
        }
        let segments = self.holdings.of_root(&root);
        match policy {
            // What is being fetched is known by it soon.
            Some(policy) if !segments.is_empty() || self.pulls.has_root(&root) => {
                self.policies.insert(root, policy);
            }
            _ => {
                self.policies.remove(&root);
            }
        }
        for segment in segments {
            self.reconsider(&segment);
        }
    }

    /// Tells the planner what is wanted of a segment that is here.
    pub(super) fn reconsider(&mut self, segment: &SegmentId) {
        let Some(held) = self.holdings.get(segment) else {
            return;
        };
        let (bytes, is_pinned) = (held.bytes, held.is_pinned());
        let segment = *segment;
        match self.policy_of(&segment) {
            Some(policy) => self.plan(Event::Have {
                segment,
                bytes,
                policy: policy.into(),
                holders: Vec::new(),
                is_pinned,
            }),
            None if self.is_settled => self.plan(Event::Unwanted { segment }),
            None => {}
        }
    }

    /// What is wanted of a segment, for the sake of all roots that it is known by.
    pub(super) fn policy_of(&self, segment: &SegmentId) -> Option<Policy> {
        let held = self.holdings.get(segment)?;
        let policies = held.roots().filter_map(|root| self.policies.get(root));
        let mut policies = policies.map(|policy| (**policy).clone());
        let first = policies.next()?;
        Some(policies.fold(first, |all, policy| all.or(&policy)))
    }

    /// Those that nobody wanted while that was not believed yet.
    pub(super) fn release_unwanted(&mut self) {
        let all: Vec<SegmentId> = self.holdings.iter().map(|(segment, _)| *segment).collect();
        for segment in all {
            if self.policy_of(&segment).is_none() {
                // Known to the planner before it is unwanted: it releases what it knows.
                self.forget_unwanted(segment);
            }
        }
    }

    fn forget_unwanted(&mut self, segment: SegmentId) {
        let Some(held) = self.holdings.get(&segment) else {
            return;
        };
        let (bytes, is_pinned) = (held.bytes, held.is_pinned());
        self.plan(Event::Have {
            segment,
            bytes,
            policy: Policy::default().into(),
            holders: Vec::new(),
            is_pinned,
        });
        self.plan(Event::Unwanted { segment });
    }

    /// Looks again what is wanted of these.
    pub(super) fn on_changed(&self, mut roots: Vec<Cid>) {
        while !roots.is_empty() {
            let rest = roots.split_off(roots.len().min(TOGETHER));
            let some = std::mem::replace(&mut roots, rest);
            self.work(move |context| {
                let repo = context.repo.upgrade()?;
                let here = some.iter().map(|root| look_up(context, &repo, root));
                Some(match here.collect::<Result<_, _>>() {
                    Ok(roots) => Note::Roots(roots),
                    Err(error) => Note::Failed(error),
                })
            });
        }
    }
}

/// How it is with a root.
pub(super) fn look_up(context: &Context, repo: &Repo, root: &Cid) -> Result<RootHere, StoreError> {
    let policy = context.pins.policy(root, pin::now())?;
    let is_wanted = policy.is_some();
    let pinned = if is_wanted && repo.pins().is_recursive(root)? {
        match cut(&**repo.blocks(), root) {
            Ok(segments) => segments,
            Err(error) => {
                tracing::warn!(%root, %error, "a pinned content cannot be cut into segments");
                None
            }
        }
    } else {
        None
    };
    Ok(RootHere {
        root: *root,
        policy,
        pinned,
        is_held: false,
    })
}

fn load_holds(context: &Context, send: &dyn Fn(Note) -> bool) -> Result<(), StoreError> {
    let Some(repo) = context.repo.upgrade() else {
        return Ok(());
    };
    let mut some = Vec::with_capacity(TOGETHER);
    for hold in repo.keep().holds()? {
        if let Some(here) = describe(&**repo.blocks(), &hold)? {
            some.push(here);
        } else {
            // What is not whole is no copy.
            tracing::warn!(root = ?hold.root(), "a hold reaches what is not here");
        }
        if some.len() == TOGETHER && !send(Note::Held(std::mem::take(&mut some))) {
            return Ok(());
        }
    }
    send(Note::Held(some));
    Ok(())
}

/// The segment that a hold holds.
fn describe(blocks: &dyn Blockstore, hold: &Hold) -> Result<Option<HeldHere>, StoreError> {
    let Some(node) = hold.path.last() else {
        return Ok(None);
    };
    let Some(links) = blocks.links(node)? else {
        return Ok(None);
    };
    let (segment, bytes) = if hold.count == 0 && links.is_empty() {
        let size = blocks.sizes(&[*node])?.pop().flatten();
        (SegmentId::of([node]), size.unwrap_or(0).into())
    } else {
        let Some(children) = hold.extent(&links) else {
            return Ok(None);
        };
        let bytes = children
            .iter()
            .fold(0_u64, |sum, it| sum.saturating_add(it.tsize));
        (SegmentId::of(children.iter().map(|it| &it.cid)), bytes)
    };
    Ok(Some(HeldHere {
        segment,
        hold: hold.clone(),
        bytes,
    }))
}

/// Contents that are pinned here, and wanted by anybody.
fn load_pinned(
    context: &Context,
    send: &dyn Fn(Note) -> bool,
    is_over: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    let Some(repo) = context.repo.upgrade() else {
        return Ok(());
    };
    let (mut here, mut failed) = (Vec::new(), None);
    repo.pins().for_each(&mut |pin| {
        if pin.kind == PinKind::Recursive {
            match look_up(context, &repo, &pin.root) {
                Ok(root) if root.policy.is_some() => here.push(root),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        let is_heard = here.len() < TOGETHER || send(Note::Roots(std::mem::take(&mut here)));
        is_heard && failed.is_none() && !is_over()
    })?;
    send(Note::Roots(here));
    failed.map_or(Ok(()), Err)
}
