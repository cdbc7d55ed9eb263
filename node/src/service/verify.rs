//! `verify`: reads what is stored, says what is wrong with it, and mends it with the help of others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::Cid;
use store::blockstore::Blockstore;
use store::cid::Key;
use store::dag::path::resolve;
use store::dag::walk::missing;
use store::dag::{BlockSource, SourceError};
use store::pin::PinKind;
use store::repo::Checked;
use store::scrub::{Dag, Examined, Finding, Kind, Pass, ScrubState};

use super::Service;
use super::source::Source;
use super::target::{self, Named};
use crate::api::conversation::{Speaker, failure, watch};
use crate::api::message::{
    CareFound as Found, CareItem, Content, Event, Failure, FailureKind, Hit, Item, Progress,
    ScrubStatus, Verified, Verify,
};
use crate::identity;

/// Missing blocks of one pin that are named.
const MISSING: usize = 10_000;
/// How often what was mended is looked at again for what is missing below it.
const ROUNDS: usize = 64;

/// What was found so far, and is told.
pub(super) struct Report<'a> {
    service: &'a Service,
    speaker: &'a Speaker,
    verified: Verified,
    /// Blocks that were told of.
    known: HashSet<Key>,
    /// Fetches what is to be mended; `None`: nothing is.
    mender: Option<Mender<'a>>,
}

impl Service {
    pub(super) fn verify(&self, verify: &Verify, speaker: &Speaker) -> Result<(), Failure> {
        let mut report = Report::new(self, speaker, verify.repair.then_some(verify.timeout));
        if let Some(target) = &verify.target {
            let named = target::parse_text(target)?;
            self.verify_dag(&named, verify.timeout, &mut report)?;
        } else {
            self.verify_all(&mut report)?;
        }
        report.end()
    }

    /// The key is no part of the database; without it nobody could be told who this is.
    pub(super) fn check_identity(&self) -> Result<(), Failure> {
        if self.repo.identity()?.is_some() {
            identity::load_or_create(&self.repo)
                .map_err(|error| failure(FailureKind::Corrupt, error.to_string()))?;
        }
        Ok(())
    }

    fn verify_all(&self, report: &mut Report<'_>) -> Result<(), Failure> {
        let (repo, speaker) = (&self.repo, report.speaker);
        self.check_identity()?;
        let total = repo.blocks().live_bytes();
        reading(speaker, Some(total), |done| -> Result<(), Failure> {
            let repair = report.mender.is_some();
            let checked = repo.check(repair, &|| !speaker.is_gone())?;
            for finding in checked.findings {
                report.checked(&finding, repair)?;
            }
            let mut pass = Pass::new(Arc::clone(repo.blocks()));
            while let Some(examined) = pass.step()? {
                done.fetch_add(examined.bytes, Ordering::Relaxed);
                report.examined(examined)?;
            }
            Ok(())
        })?;
        let mut result = Ok(());
        repo.pins().for_each(&mut |pin| {
            result = match pin.kind {
                PinKind::Recursive => report.missing(&pin.root),
                PinKind::Direct => report.missing_alone(&pin.root),
            };
            result.is_ok()
        })?;
        result
    }

    fn verify_dag(
        &self,
        named: &Named,
        timeout: Duration,
        report: &mut Report<'_>,
    ) -> Result<(), Failure> {
        let speaker = report.speaker;
        let source = Source::on_demand(self, speaker, named, timeout);
        let root = if named.target.path.is_empty() {
            named.target.cid
        } else {
            source.watched(|| Ok(resolve(&source, &named.target)?))?
        };
        reading(speaker, None, |done| -> Result<(), Failure> {
            let mut dag = Dag::new(Arc::clone(self.repo.blocks()), root);
            while let Some(examined) = dag.step()? {
                done.fetch_add(examined.bytes, Ordering::Relaxed);
                report.examined(examined)?;
            }
            Ok(())
        })?;
        if report.mender.is_some() {
            report.missing(&root)?;
        }
        Ok(())
    }

    pub(super) fn scrub_status(&self, speaker: &Speaker) -> Result<(), Failure> {
        let state = ScrubState::of(self.repo.blocks())?;
        let interval = self.config.storage.scrub_interval.get();
        speaker.item(Item::Care(CareItem::Scrub(ScrubStatus {
            interval: interval.map(|interval| interval.as_secs()),
            started: state.started,
            finished: state.finished,
            blocks: state.blocks,
            bytes: state.bytes,
            total: self.repo.blocks().live_bytes(),
            found: state.found,
        })))?;
        Ok(())
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(
        service: &'a Service,
        speaker: &'a Speaker,
        repair: Option<Duration>,
    ) -> Self {
        Self {
            service,
            speaker,
            verified: Verified::default(),
            known: HashSet::new(),
            mender: repair.map(|timeout| Mender {
                service,
                speaker,
                timeout,
                lost: HashMap::new(),
            }),
        }
    }

    pub(super) const fn speaker(&self) -> &'a Speaker {
        self.speaker
    }

    pub(super) fn examined(&mut self, examined: Examined) -> Result<(), Failure> {
        self.verified.blocks += examined.blocks;
        self.verified.bytes += examined.bytes;
        for finding in examined.findings {
            self.tell(&finding)?;
        }
        if self.speaker.is_gone() {
            return Err(failure(FailureKind::Error, "the command went away"));
        }
        Ok(())
    }

    /// The blocks of a pin that are not here, and, where they are mended, what is missing below them.
    fn missing(&mut self, root: &Cid) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let blocks = self.service.repo.blocks();
            let missing = watch(
                self.speaker,
                || None,
                || (),
                || missing(blocks.as_ref(), root, MISSING),
            );
            let missing = match missing {
                Ok(missing) => missing,
                Err(SourceError::Store(error)) => {
                    let finding = Finding {
                        kind: Kind::Links,
                        key: Some(Key::of(root)),
                        reason: error.to_string(),
                    };
                    return self.tell(&finding);
                }
                Err(error) => return Err(error.into()),
            };
            let mut new = false;
            for cid in missing {
                if !self.known.contains(&Key::of(&cid)) {
                    new = true;
                    self.tell_missing(&cid, "it is not here, and something kept needs it")?;
                }
            }
            if !new || self.mender.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The block of a direct pin, where that is not here.
    fn missing_alone(&mut self, root: &Cid) -> Result<(), Failure> {
        if self.service.repo.blocks().has(root)? {
            return Ok(());
        }
        self.tell_missing(root, "it is not here, and it is pinned")
    }

    fn tell_missing(&mut self, cid: &Cid, reason: &str) -> Result<(), Failure> {
        self.tell(&Finding {
            kind: Kind::Missing,
            key: Some(Key::of(cid)),
            reason: reason.into(),
        })
    }

    /// Tells what a check has found.
    pub(super) fn of_check(
        service: &'a Service,
        speaker: &'a Speaker,
        repair: bool,
        checked: &Checked,
    ) -> Result<(), Failure> {
        let mut report = Self::new(service, speaker, None);
        report.verified.blocks = checked.rows;
        for finding in &checked.findings {
            report.checked(finding, repair)?;
        }
        report.verified.found += checked.more;
        report.end()
    }

    /// A finding of a check, which has mended it already where it could.
    fn checked(&mut self, finding: &Finding, repair: bool) -> Result<(), Failure> {
        let fetched = matches!(finding.kind, Kind::Missing | Kind::Dangling);
        if fetched && self.mender.is_some() {
            return self.tell(finding);
        }
        let mended = !fetched && !matches!(finding.kind, Kind::Table | Kind::Pin);
        let why = match finding.kind {
            _ if !repair || mended => None,
            Kind::Missing | Kind::Dangling => Some("`store verify --repair` fetches it"),
            _ => Some("it can only be restored from a backup"),
        };
        self.send(finding, repair.then_some(mended), why.map(str::to_owned))
    }

    /// Tells of a finding, after it was mended if it should be.
    fn tell(&mut self, finding: &Finding) -> Result<(), Failure> {
        if let Some(key) = &finding.key
            && !self.known.insert(key.clone())
        {
            return Ok(());
        }
        let mender = self.mender.as_mut();
        let result = mender.map(|mender| mender.mend(finding));
        let repaired = result.as_ref().map(Result::is_ok);
        let failure = result.and_then(Result::err);
        self.send(finding, repaired, failure)
    }

    fn send(
        &mut self,
        finding: &Finding,
        repaired: Option<bool>,
        failure: Option<String>,
    ) -> Result<(), Failure> {
        self.verified.found += 1;
        self.verified.repaired += u64::from(repaired == Some(true));
        let key = finding.key.as_ref();
        // Where that cannot be read, the finding itself is worth telling still.
        let found = key.and_then(|key| self.service.repo.pins().whereabouts(key).ok());
        let found = found.unwrap_or_default();
        let hits = found.held.into_iter().filter_map(|held| {
            Some(Hit {
                root: *held.holder.root()?,
                name: held.holder.pin().and_then(|pin| pin.name.clone()),
                path: held.place.path,
                offset: held.place.offset,
            })
        });
        let found = Found {
            kind: finding.kind.name().into(),
            cid: found.chain.last().copied().or_else(|| finding.raw_cid()),
            reason: finding.reason.clone(),
            pins: hits.collect(),
            repaired,
            failure,
        };
        self.speaker.item(Item::Care(CareItem::Finding(found)))?;
        Ok(())
    }

    /// Tells how it went. What is wrong and was not mended is a failure.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        if let Some(mender) = self.mender.take() {
            mender.end()?;
        }
        let verified = self.verified;
        self.speaker
            .item(Item::Care(CareItem::Verified(verified)))?;
        let left = verified.found - verified.repaired;
        if left == 0 {
            return Ok(());
        }
        let what = match left {
            1 => "one thing is not as it should be".to_owned(),
            left => format!("{left} things are not as they should be"),
        };
        Err(if verified.repaired > 0 || self.known.is_empty() {
            failure(FailureKind::Corrupt, what)
                .with_hint("what could not be mended is listed with its reason")
        } else {
            failure(FailureKind::Corrupt, what).with_hint(
                "`--repair` fetches what is rotten or missing from others, and mends the rest; check the disk",
            )
        })
    }
}

/// Mends what is found.
struct Mender<'a> {
    service: &'a Service,
    speaker: &'a Speaker,
    timeout: Duration,
    /// Roots of which nobody had anything, and why: they are not asked for again and again.
    lost: HashMap<Cid, String>,
}

impl Mender<'_> {
    fn mend(&mut self, finding: &Finding) -> Result<(), String> {
        let key = finding
            .key
            .as_ref()
            .ok_or("it can only be restored from a backup")?;
        match finding.kind {
            Kind::Rot | Kind::Missing | Kind::Dangling => self.fetch(key),
            Kind::Orphan | Kind::Links => {
                let repo = &self.service.repo;
                let mended = repo.mend(key).map_err(|error| error.to_string())?;
                if mended { Ok(()) } else { self.fetch(key) }
            }
            Kind::Sums | Kind::Log => Ok(()),
            Kind::Table | Kind::Pin => Err("it can only be restored from a backup".into()),
        }
    }

    /// Fetches a block from those who have the root above it. One that nothing keeps, and nobody has,
    /// is forgotten.
    fn fetch(&mut self, key: &Key) -> Result<(), String> {
        let repo = &self.service.repo;
        let found = repo.pins().whereabouts(key);
        let found = found.map_err(|error| error.to_string())?;
        let (Some(root), Some(cid)) = (found.chain.first(), found.chain.last()) else {
            return Err("it has no CID that could be asked for".into());
        };
        if found.held.is_empty() && found.chain.len() == 1 {
            return repo
                .forget(key)
                .map_err(|error| error.to_string())
                .map(|_| tracing::info!(%cid, "nothing needs it: it was removed"));
        }
        if let Some(why) = self.lost.get(root) {
            return Err(why.clone());
        }
        let content = Content {
            target: root.to_string(),
            addresses: Vec::new(),
            timeout: self.timeout,
        };
        let named = target::parse(&content).map_err(|failure| failure.message)?;
        let source = Source::on_demand(self.service, self.speaker, &named, self.timeout);
        let fetched = source.watched(|| {
            // From the root down: those who are asked are told where it stands.
            for cid in &found.chain {
                source.block(cid)?;
            }
            Ok(())
        });
        fetched.map_err(|failure: Failure| {
            if matches!(failure.kind, FailureKind::NotFound | FailureKind::Stalled) {
                self.lost.insert(*root, failure.message.clone());
            }
            failure.message
        })
    }

    /// Makes durable what was fetched.
    fn end(self) -> Result<(), Failure> {
        Ok(self.service.repo.blocks().commit()?)
    }
}

/// Does `work` while the client hears how many bytes it has read, of `total` if that is known.
pub(super) fn reading<T>(
    speaker: &Speaker,
    total: Option<u64>,
    work: impl FnOnce(&AtomicU64) -> T,
) -> T {
    let done = AtomicU64::new(0);
    let tick = || {
        Some(Event::Progress(Progress {
            bytes: done.load(Ordering::Relaxed),
            total,
            ..Progress::default()
        }))
    };
    watch(speaker, tick, || (), || work(&done))
}
