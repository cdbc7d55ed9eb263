//! [`Scrubber`]: the background scrub of a node, on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use store::cid::Key;
use store::repo::Repo;
use store::scrub::{Finding, Kind, Scrub, ScrubState};

use crate::metrics::Metrics;

/// After an error of the whole database: it may be one that ends, such as a full disk.
const AFTER_ERROR: Duration = Duration::from_secs(600);

/// What the scrub counts.
#[derive(Clone, Debug, Default)]
struct ScrubMetrics {
    blocks: Counter,
    bytes: Counter,
    found: Counter,
    done: Gauge,
    finished: Gauge,
}

/// A scrub that runs.
#[derive(Debug)]
pub(crate) struct Scrubber {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Scrubber {
    /// Starts one that looks at all of `repo` once in `interval`, and tells of rotten blocks, 512 at most at once.
    /// `None` where there is no thread for it, which is no reason not to run.
    pub(crate) fn start(
        repo: &Arc<Repo>,
        interval: Duration,
        metrics: &Metrics,
        tell: impl Fn(Vec<Key>) + Send + 'static,
    ) -> Option<Self> {
        let numbers = ScrubMetrics::default();
        numbers.register(metrics);
        let (stop, stopped) = sync_channel(1);
        let repo = Arc::clone(repo);
        let run = move || {
            let mut scrub = match Scrub::new(Arc::clone(repo.blocks()), interval) {
                Ok(scrub) => scrub,
                Err(error) => {
                    tracing::warn!(%error, "nothing is scrubbed");
                    return;
                }
            };
            numbers.show(scrub.state());
            let mut pause = scrub.pause();
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = match scrub.step() {
                    Ok(examined) => {
                        numbers.blocks.inc_by(examined.blocks);
                        numbers.bytes.inc_by(examined.bytes);
                        numbers.found.inc_by(examined.findings.len() as u64);
                        numbers.show(scrub.state());
                        let rotten = examined.findings.into_iter().filter(is_rot);
                        let rotten: Vec<Key> = rotten.filter_map(|it| it.key).collect();
                        if !rotten.is_empty() {
                            tell(rotten);
                        }
                        scrub.pause()
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the scrub pauses");
                        AFTER_ERROR
                    }
                };
            }
        };
        let thread = thread::Builder::new().name("scrub".into()).spawn(run);
        match thread {
            Ok(thread) => Some(Self { stop, thread }),
            Err(error) => {
                tracing::warn!(%error, "nothing is scrubbed");
                None
            }
        }
    }

    /// Ends it, and waits for that: a step is a few megabytes.
    pub(crate) fn stop(self) {
        // It has ended by itself otherwise.
        let _ = self.stop.try_send(());
        if self.thread.join().is_err() {
            tracing::warn!("the scrub panicked");
        }
    }
}

/// Whether others may have what is wrong with it.
fn is_rot(finding: &Finding) -> bool {
    matches!(finding.kind, Kind::Rot | Kind::Missing | Kind::Dangling)
}

impl ScrubMetrics {
    fn register(&self, metrics: &Metrics) {
        metrics.register(|to| {
            to.register(
                "scrub_blocks",
                "Blocks that the scrub has looked at",
                self.blocks.clone(),
            );
            to.register("scrub_bytes", "Their bytes", self.bytes.clone());
            to.register(
                "scrub_findings",
                "What the scrub has found wrong",
                self.found.clone(),
            );
            to.register(
                "scrub_pass_bytes",
                "Bytes that this pass has looked at",
                self.done.clone(),
            );
            to.register(
                "scrub_finished_seconds",
                "When the last pass ended, in seconds since 1970; 0: never",
                self.finished.clone(),
            );
        });
    }

    fn show(&self, state: &ScrubState) {
        self.done.set(state.bytes.cast_signed());
        self.finished.set(state.finished.cast_signed());
    }
}
