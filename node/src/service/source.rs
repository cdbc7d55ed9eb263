//! [`Source`]: blocks from this machine while it has them, and from others from the
//! first one on that it has not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store::Cid;
use store::block::Block;
use store::blockstore::{Lease, StoreError};
use store::dag::source::Local;
use store::dag::{BlockSource, SourceError};
use store::wire::Urgency;

use super::Service;
use super::target::Named;
use crate::api::conversation::{Speaker, watch};
use crate::api::message::{Event, Failure, Giver, Phase, Progress};
use crate::exchange::landing::Landing;
use crate::exchange::{Mode, Session, SessionOptions, SessionProgress, SessionSource, session};

/// A session of which all has been read may take so long to end before it is asked what it got.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Where the blocks of one command's content come from.
pub(super) struct Source<'a> {
    service: &'a Service,
    speaker: &'a Speaker,
    root: Cid,
    options: SessionOptions,
    /// Nothing below the root is removed while it is read or fetched.
    _lease: Lease,
    /// Opened by the first block that is missing here.
    session: Mutex<Option<Open>>,
    /// Why the network could not be joined: an error that a [`SourceError`] cannot carry.
    failure: Mutex<Option<Failure>>,
    /// What was rotten here, and so was asked of others: if they do not have it, that is what to tell.
    rotten: Mutex<Option<StoreError>>,
}

struct Open {
    session: Session,
    blocks: Arc<SessionSource>,
}

impl<'a> Source<'a> {
    /// For all of a content. Below a path it is read as it is needed: others are known for the root.
    pub(super) fn whole(
        service: &'a Service,
        speaker: &'a Speaker,
        named: &Named,
        stall: Duration,
    ) -> Self {
        let mode = if named.target.path.is_empty() {
            Mode::Whole
        } else {
            Mode::OnDemand
        };
        Self::new(service, speaker, named, mode, stall)
    }

    /// For parts of a content: nothing is fetched that is not read.
    pub(super) fn on_demand(
        service: &'a Service,
        speaker: &'a Speaker,
        named: &Named,
        stall: Duration,
    ) -> Self {
        Self::new(service, speaker, named, Mode::OnDemand, stall)
    }

    fn new(
        service: &'a Service,
        speaker: &'a Speaker,
        named: &Named,
        mode: Mode,
        stall: Duration,
    ) -> Self {
        let urgency = match mode {
            Mode::Whole => Urgency::Download,
            Mode::OnDemand => Urgency::Reader,
        };
        let options = SessionOptions {
            addresses: named.addresses.clone(),
            mode,
            urgency,
            stall,
            landing: None,
        };
        let (session, failure, rotten) = (Mutex::default(), Mutex::default(), Mutex::default());
        let lease = service.repo.lease();
        lease.root(&named.target.cid);
        Self {
            service,
            speaker,
            root: named.target.cid,
            options,
            _lease: lease,
            session,
            failure,
            rotten,
        }
    }

    /// Leaves go to the file that `landing` is about, if it comes to that.
    pub(super) fn landing(mut self, landing: Arc<Landing>) -> Self {
        self.options.landing = Some(landing);
        self
    }

    /// Waits until others have sent all that is missing here.
    pub(super) fn finish(&self) -> Result<(), SourceError> {
        self.others()?.finish()
    }

    /// Does `work`, which reads from this source, while the client is told what is waited for; ends it
    /// when the client goes.
    pub(super) fn watched<T>(
        &self,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let result = watch(self.speaker, || self.tick(), || self.cancel(), work);
        let result = result.and_then(|value| self.last_word().map(|()| value));
        self.explained(result)
    }

    /// Does `work`, which reads from this source, as one of several for the same client; ends it when
    /// the client goes.
    pub(super) fn attended<T>(
        &self,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let result = watch(self.speaker, || None, || self.cancel(), work);
        self.explained(result)
    }

    fn explained<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        // A failure to join explains the cancelled read that it led to.
        let failure = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match failure {
            Some(failure) => Err(failure),
            None => result,
        }
    }

    /// Notes that the content is here, at least in part, and is used now: what is not pinned stays
    /// as cache by that, the longer the later it was used.
    pub(super) fn note_use(&self) -> Result<(), Failure> {
        let repo = &self.service.repo;
        if repo.pins().get(&self.root)?.is_none() {
            repo.cached().touch(&self.root)?;
        }
        Ok(())
    }

    /// Whether the client has gone.
    pub(super) fn is_gone(&self) -> bool {
        self.speaker.is_gone()
    }

    /// Whether anything was asked of others.
    pub(super) fn has_fetched(&self) -> bool {
        self.session().is_some()
    }

    fn session(&self) -> MutexGuard<'_, Option<Open>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session's blocks; joins the network and opens the session at first.
    fn others(&self) -> Result<Arc<SessionSource>, SourceError> {
        if self.speaker.is_gone() {
            return Err(SourceError::Cancelled);
        }
        if let Some(open) = self.session().as_ref() {
            return Ok(Arc::clone(&open.blocks));
        }
        // Not under the session's lock: joining takes a while, and `tick` must not wait for it.
        let joined = self.service.join().map_err(|failure| {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            SourceError::Cancelled
        })?;
        let session = joined.open(self.root, self.options.clone());
        let blocks = Arc::new(session.source());
        *self.session() = Some(Open {
            session,
            blocks: Arc::clone(&blocks),
        });
        // The client may have gone in the meantime, when there was no session to end.
        if self.speaker.is_gone() {
            self.cancel();
        }
        Ok(blocks)
    }

    fn tick(&self) -> Option<Event> {
        let progress = self.progress()?;
        let waiting = |phase| Event::Waiting {
            phase,
            detail: peers(progress.peers),
        };
        Some(match progress.phase {
            session::Phase::LookingForProviders => waiting(Phase::LookingForProviders),
            session::Phase::Connecting => waiting(Phase::Connecting),
            session::Phase::WaitingForBlocks => waiting(Phase::WaitingForBlocks),
            session::Phase::Downloading | session::Phase::Done => Event::Progress(progress.into()),
        })
    }

    fn progress(&self) -> Option<SessionProgress> {
        let session = self.session();
        Some(session.as_ref()?.session.progress().borrow().clone())
    }

    /// Tells the client what came in all, and from whom, where anything was asked of others.
    fn last_word(&self) -> Result<(), Failure> {
        let whole = match self.session().as_ref() {
            Some(open) if self.options.mode == Mode::Whole => Some(Arc::clone(&open.blocks)),
            _ => None,
        };
        // All has been read, so it is about to end. It knows by then what it got.
        if let Some(blocks) = whole {
            blocks.wait_for_end(LAST_WORD);
        }
        if let Some(progress) = self.progress().filter(|told| told.bytes_fetched > 0) {
            self.speaker.send(&Event::Progress(progress.into()))?;
        }
        Ok(())
    }

    /// Ends the session: whoever waits for one of its blocks gets [`SourceError::Cancelled`].
    fn cancel(&self) {
        self.session().take();
    }
}

impl BlockSource for Source<'_> {
    fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        self.ask(cids, SessionSource::blocks)
    }

    fn first_blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        self.ask(cids, SessionSource::first_blocks)
    }
}

impl Source<'_> {
    /// From this machine's disk, while all is there that is asked for; else as `fetch` gets it from others.
    fn ask(
        &self,
        cids: &[Cid],
        fetch: impl FnOnce(&SessionSource, &[Cid]) -> Result<Vec<Block>, SourceError>,
    ) -> Result<Vec<Block>, SourceError> {
        if self.speaker.is_gone() {
            return Err(SourceError::Cancelled);
        }
        if !self.has_fetched() {
            match Local(self.service.repo.blocks().as_ref()).blocks(cids) {
                Err(SourceError::NotFound { .. }) => {}
                // A rotten block counts as missing.
                Err(SourceError::Store(error @ StoreError::Corrupt { .. })) => {
                    *self.rotten.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
                other => return other,
            }
        }
        fetch(&*self.others()?, cids).map_err(|error| match error {
            SourceError::NotFound { .. } | SourceError::Stalled { .. } => {
                let rotten = self
                    .rotten
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                rotten.map_or_else(|| self.naming_files(error), SourceError::Store)
            }
            other => other,
        })
    }

    /// The same error, with the files in which the block was.
    fn naming_files(&self, error: SourceError) -> SourceError {
        let SourceError::NotFound { cid, tried } = error else {
            return error;
        };
        let files = self.service.repo.blocks().lost_with(&cid);
        let mut reasons: Vec<String> = files
            .unwrap_or_default()
            .iter()
            .map(|file| {
                let path = file.origin.path.as_path().display();
                format!("`{path}` has changed since it was added")
            })
            .collect();
        reasons.extend((!tried.is_empty()).then_some(tried));
        SourceError::NotFound {
            cid,
            tried: reasons.join("; "),
        }
    }
}

impl From<SessionProgress> for Progress {
    fn from(progress: SessionProgress) -> Self {
        let givers = progress.sources.iter().map(|source| Giver {
            peer: source.peer,
            bytes: source.bytes,
            rate: source.rate,
        });
        Self {
            bytes: progress.bytes_done,
            total: progress.bytes_total_hint,
            files: 0,
            peers: progress.peers,
            rate: progress.rate,
            givers: givers.collect(),
            copies: None,
            strip: progress.strip,
        }
    }
}

fn peers(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "1 peer".into(),
        count => format!("{count} peers"),
    }
}
