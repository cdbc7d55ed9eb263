//! How far a command is, on stderr when that is a terminal, else nowhere: bytes, rate, time left; or what
//! it waits for. A download also shows which parts of it are there, and what each peer gives.

mod download;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use store_node::api::message::{CopiesMade, Event, Phase, Progress};

pub(crate) use self::download::Told;

/// How often the spinner turns, and the clock beside it.
const TICK: Duration = Duration::from_millis(100);
/// With a total that is known.
const BAR: &str = "{msg:<11} {bar:28.cyan/dim} {binary_bytes}/{binary_total_bytes}  \
                   {binary_bytes_per_sec}  {eta} left{prefix}";
/// A download with a total that is known: its rate is what the session measures.
const DOWNLOAD: &str = "{msg:<11} {bar:28.cyan/dim} {binary_bytes}/{binary_total_bytes}{prefix}";
/// A download without.
const DOWNLOAD_COUNT: &str = "{spinner} {msg} {binary_bytes}{prefix}";
/// Without.
const COUNT: &str = "{spinner} {msg} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}{prefix}";
/// While there is nothing to count.
const WAIT: &str = "{spinner} {msg}  {elapsed}";

/// How many bytes there are in all, once this side knows; 0 before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Total(Arc<AtomicU64>);

impl Total {
    /// So many.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

/// The line on the terminal.
pub(crate) struct Display {
    /// What is done: "adding".
    doing: &'static str,
    hidden: bool,
    /// Whoever does the work says how far it is; else it is what we received.
    told: bool,
    total: Total,
    bar: Option<ProgressBar>,
    shown: Shown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Wait,
    Count,
    Bar,
    DownloadCount,
    Download,
}

impl Display {
    /// Nothing is shown before there is something to say, which short commands never have.
    pub(crate) fn new(doing: &'static str) -> Self {
        let hidden = ProgressDrawTarget::stderr().is_hidden();
        Self {
            doing,
            hidden,
            told: false,
            total: Total::default(),
            bar: None,
            shown: Shown::Nothing,
        }
    }

    /// Where to say how many bytes there are in all.
    pub(crate) fn total(&self) -> Total {
        self.total.clone()
    }

    /// From now on nothing is shown: results follow.
    pub(crate) fn hide(&mut self) {
        self.clear();
        self.hidden = true;
    }

    /// Shows how much has been received, unless whoever sends it says how far it is.
    pub(crate) fn received(&mut self, bytes: u64) {
        if !self.hidden && !self.told {
            self.progress(&Progress {
                bytes,
                ..Progress::default()
            });
        }
    }

    /// Shows what an event says about how far it is.
    pub(crate) fn show(&mut self, event: &Event) {
        if self.hidden {
            return;
        }
        match event {
            Event::Progress(progress) => {
                self.told = true;
                self.progress(progress);
            }
            Event::Waiting { phase, detail } => self.waiting(*phase, detail),
            _ => {}
        }
    }

    /// Takes the line away: what follows is a result.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.shown = Shown::Nothing;
    }

    fn progress(&mut self, progress: &Progress) {
        let total = progress.total.or_else(|| self.total.get());
        let downloads = !progress.givers.is_empty();
        let copies = progress.copies;
        let shown = match (downloads, total.is_some()) {
            (true, true) => Shown::Download,
            (true, false) => Shown::DownloadCount,
            (false, true) => Shown::Bar,
            (false, false) => Shown::Count,
        };
        let doing = if copies.is_some() {
            "copying"
        } else {
            self.doing
        };
        let bar = self.line(shown);
        bar.set_message(doing);
        if let Some(total) = total {
            bar.set_length(total.max(progress.bytes));
        }
        bar.set_prefix(if downloads {
            download::lines(progress, total)
        } else {
            match (progress.peers, progress.files) {
                (0, 0) => copies.map(made).unwrap_or_default(),
                (0, files) => format!("  {files} files"),
                (1, _) => "  from 1 peer".into(),
                (peers, _) => format!("  from {peers} peers"),
            }
        });
        bar.set_position(progress.bytes);
    }

    fn waiting(&mut self, phase: Phase, detail: &str) {
        let bar = self.line(Shown::Wait);
        bar.set_message(if detail.is_empty() {
            phase.to_string()
        } else {
            format!("{phase}: {detail}")
        });
    }

    /// The line, in the form that is needed now.
    fn line(&mut self, shown: Shown) -> &ProgressBar {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::no_length();
            bar.enable_steady_tick(TICK);
            bar
        });
        if self.shown != shown {
            let template = match shown {
                Shown::Bar => BAR,
                Shown::Count => COUNT,
                Shown::Download => DOWNLOAD,
                Shown::DownloadCount => DOWNLOAD_COUNT,
                Shown::Wait | Shown::Nothing => WAIT,
            };
            bar.set_style(style(template));
            self.shown = shown;
        }
        bar
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}

/// How many parts have their copies.
fn made(copies: CopiesMade) -> String {
    let CopiesMade {
        segments,
        at_quorum,
        at_target,
        ..
    } = copies;
    format!("  {at_quorum} of {segments} at quorum, {at_target} with all copies")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constants, which a test parses")
        .progress_chars("━╸─")
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_parse() {
        for template in [BAR, COUNT, WAIT, DOWNLOAD, DOWNLOAD_COUNT] {
            style(template);
        }
    }

    #[test]
    fn the_line_follows_the_events() {
        let mut display = Display::new("adding");
        display.hidden = false;
        display.show(&Event::Waiting {
            phase: Phase::Connecting,
            detail: "2 known".into(),
        });
        assert_eq!(
            display.bar.as_ref().unwrap().message(),
            "connecting: 2 known"
        );
        display.show(&Event::Progress(Progress {
            bytes: 5,
            total: Some(9),
            ..Progress::default()
        }));
        let bar = display.bar.clone().unwrap();
        assert_eq!(
            (bar.position(), bar.length(), bar.message()),
            (5, Some(9), "adding".into())
        );
        display.clear();
        assert!(display.bar.is_none());
        display.received(7);
        assert!(display.bar.is_none(), "the events say it");
    }

    #[test]
    fn a_download_has_lines_and_leaves_none() {
        let mut display = Display::new("fetching");
        display.hidden = false;
        let id = libp2p::PeerId::random();
        display.show(&Event::Progress(Progress {
            bytes: 5,
            total: Some(10),
            givers: vec![store_node::api::message::Giver {
                peer: id,
                bytes: 5,
                rate: 0,
            }],
            strip: [[100; 32], [0; 32]].concat(),
            ..Progress::default()
        }));
        let bar = display.bar.clone().unwrap();
        let (shown, id) = (bar.prefix(), id.to_string());
        assert!(shown.starts_with("  0 B/s  from 1 peer\n  █"), "{shown}");
        assert!(shown.contains(&id[id.len() - 8..]), "{shown}");
        display.clear();
        assert!(bar.is_finished() && display.bar.is_none());
    }

    #[test]
    fn copies_are_counted_after_what_was_added() {
        let mut display = Display::new("adding");
        display.hidden = false;
        display.total().set(7);
        let copies = CopiesMade {
            segments: 3,
            at_quorum: 2,
            at_target: 1,
            bytes: 5,
            total: 9,
        };
        display.show(&Event::Progress(Progress {
            bytes: 5,
            total: Some(9),
            copies: Some(copies),
            ..Progress::default()
        }));
        let bar = display.bar.as_ref().unwrap();
        assert_eq!((bar.message(), bar.length()), ("copying".into(), Some(9)));
        assert_eq!(bar.prefix(), "  2 of 3 at quorum, 1 with all copies");
    }

    #[test]
    fn a_total_that_this_side_knows_makes_it_a_bar() {
        let mut display = Display::new("fetching");
        display.hidden = false;
        display.received(7);
        assert_eq!(display.bar.as_ref().unwrap().length(), None);
        display.total().set(10);
        display.received(8);
        assert_eq!(display.bar.as_ref().unwrap().length(), Some(10));
        display.hide();
        display.received(9);
        assert!(display.bar.is_none());
    }
}
