//! How far a download is: what stands behind and below its bar, and the same for programs.

use serde::Serialize;
use store_node::api::message::{Event, Giver, Phase, Progress};

use crate::output::{count, size};

/// Peers with a line of their own.
const LINES: usize = 8;
/// The end of a peer's id is what tells it from others: their beginnings are the same.
const ID: usize = 8;

/// What a command tells programs while it works, one object a line: told apart from its results by the
/// name of their only field.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// How far it is.
    Progress(Download),
    /// What it waits for.
    Waiting {
        /// For what.
        phase: Phase,
        /// More, for people.
        detail: String,
    },
}

/// How far a download is.
#[derive(Debug, Serialize)]
pub(crate) struct Download {
    /// Bytes that are here.
    bytes: u64,
    /// Bytes in all, where that is known.
    total: Option<u64>,
    /// Bytes per second from peers.
    rate: u64,
    /// Seconds that are left at this rate.
    eta: Option<u64>,
    /// Those that gave something, who gave most first.
    peers: Vec<Share>,
    /// Per cent of each part of the content, in its order, that are here.
    strip: Vec<u8>,
}

/// What one peer gave.
#[derive(Debug, Serialize)]
struct Share {
    #[serde(flatten)]
    giver: Giver,
    /// Per cent of what came from all.
    share: f64,
}

impl Told {
    /// What programs are told of an event; nothing of those that are no news about a download.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Progress(progress) => {
                let share = |giver: &Giver| Share {
                    giver: *giver,
                    share: (share(giver, &progress.givers) * 10.0).round() / 10.0,
                };
                Some(Self::Progress(Download {
                    bytes: progress.bytes,
                    total: progress.total,
                    rate: progress.rate,
                    eta: left(progress, progress.total),
                    peers: progress.givers.iter().map(share).collect(),
                    strip: progress.strip.clone(),
                }))
            }
            Event::Waiting { phase, detail } => Some(Self::Waiting {
                phase: *phase,
                detail: detail.clone(),
            }),
            _ => None,
        }
    }
}

/// The rest of the bar's line, and those below it: the strip, and a line for each peer.
pub(super) fn lines(progress: &Progress, total: Option<u64>) -> String {
    let Progress { givers, strip, .. } = progress;
    let mut first = vec![String::new(), format!("{}/s", size(progress.rate))];
    first.extend(left(progress, total).map(|seconds| format!("{} left", time(seconds))));
    first.push(format!("from {}", count(givers.len() as u64, "peer")));
    first.extend((progress.files > 0).then(|| count(progress.files, "content")));
    let mut lines = vec![first.join("  ")];
    if !strip.is_empty() {
        let cells: String = strip.iter().copied().map(cell).collect();
        lines.push(format!("  {cells}"));
    }
    lines.extend(givers.iter().take(LINES).map(|giver| {
        let (rate, share) = (size(giver.rate), share(giver, givers));
        format!("  {}  {rate:>10}/s  {share:>5.1} %", short(giver))
    }));
    let more = givers.len().saturating_sub(LINES);
    lines.extend((more > 0).then(|| format!("  and {more} more")));
    lines.join("\n")
}

/// Seconds that are left at the present rate.
fn left(progress: &Progress, total: Option<u64>) -> Option<u64> {
    let missing = total?.saturating_sub(progress.bytes);
    if missing == 0 {
        return Some(0);
    }
    (progress.rate > 0).then(|| missing.div_ceil(progress.rate))
}

fn time(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

/// Per cent of what all gave that came from this one.
fn share(giver: &Giver, all: &[Giver]) -> f64 {
    let sum = all
        .iter()
        .fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let share = giver.bytes as f64 * 100.0 / sum.max(1) as f64;
    share
}

fn short(giver: &Giver) -> String {
    let id = giver.peer.to_string();
    let from = id.len().saturating_sub(ID);
    format!("…{}", &id[from..])
}

/// A cell of the strip.
const fn cell(percent: u8) -> char {
    match percent {
        0 => '·',
        1..=33 => '░',
        34..=66 => '▒',
        67..=99 => '▓',
        _ => '█',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same peer in each run.
    fn giver(byte: u8, bytes: u64, rate: u64) -> Giver {
        let mut id = vec![0x12, 0x20];
        id.extend([byte; 32]);
        let peer = libp2p::PeerId::from_bytes(&id).unwrap();
        Giver { peer, bytes, rate }
    }

    fn progress(givers: Vec<Giver>) -> Progress {
        Progress {
            bytes: 1 << 20,
            total: Some(91 << 20),
            rate: 1 << 20,
            givers,
            strip: vec![0, 10, 50, 99, 100],
            ..Progress::default()
        }
    }

    #[test]
    fn each_peer_has_a_line_with_its_rate_and_share() {
        let (a, b) = (giver(1, 750, 2048), giver(2, 250, 0));
        let text = lines(&progress(vec![a, b]), Some(91 << 20));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "  1.00 MiB/s  1:30 left  from 2 peers");
        assert_eq!(lines[1], "  ·░▒▓█");
        let id = a.peer.to_string();
        let end = &id[id.len() - ID..];
        assert_eq!(lines[2], format!("  …{end}    2.00 KiB/s   75.0 %"));
        assert!(lines[3].ends_with("0 B/s   25.0 %"), "{}", lines[3]);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn of_many_peers_the_rest_is_a_number() {
        let givers = (1..=11).map(|n| giver(n, 100, 1)).collect();
        let text = lines(&progress(givers), None);
        assert_eq!(text.lines().count(), 2 + LINES + 1);
        assert_eq!(text.lines().last(), Some("  and 3 more"));
        assert!(!text.contains("left"), "nobody knows: {text}");
        let text = lines(&progress((1..=8).map(|n| giver(n, 100, 1)).collect()), None);
        assert_eq!(text.lines().count(), 2 + LINES);
    }

    #[test]
    fn programs_are_told_the_same() {
        let event = Event::Progress(progress(vec![giver(1, 2, 7), giver(2, 1, 0)]));
        let told = serde_json::to_value(Told::of(&event).unwrap()).unwrap();
        let told = &told["progress"];
        assert_eq!(told["bytes"], 1 << 20);
        assert_eq!(told["total"], 91 << 20);
        assert_eq!(told["rate"], 1 << 20);
        assert_eq!(told["eta"], 90);
        assert_eq!(told["strip"], serde_json::json!([0, 10, 50, 99, 100]));
        assert_eq!(told["peers"][0]["share"], 66.7);
        assert_eq!(told["peers"][0]["rate"], 7);
        assert_eq!(told["peers"][0]["peer"], giver(1, 0, 0).peer.to_string());
        let waiting = Event::Waiting {
            phase: Phase::Connecting,
            detail: "1 peer".into(),
        };
        assert_eq!(
            serde_json::to_value(Told::of(&waiting).unwrap()).unwrap(),
            serde_json::json!({"waiting": {"phase": "connecting", "detail": "1 peer"}})
        );
        assert!(Told::of(&Event::Done).is_none());
    }

    #[test]
    fn times_and_ends_are_said_plainly() {
        let times = [0, 59, 61, 3600, 86_399].map(time);
        assert_eq!(times, ["0 s", "59 s", "1:01", "1:00:00", "23:59:59"]);
        let done = Progress {
            bytes: 5,
            total: Some(5),
            ..Progress::default()
        };
        assert_eq!(left(&done, done.total), Some(0));
        assert_eq!(left(&done, Some(6)), None, "nothing comes");
    }
}
