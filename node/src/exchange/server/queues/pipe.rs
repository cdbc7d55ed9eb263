//! [`Pipe`]: what was read for one asker and waits to be written, and how fast it takes it.

use std::time::Duration;

use crate::exchange::scheduler::Time;

/// What is read at once, about: large enough for the disk, small enough that turns are short.
pub(super) const PIECE: u64 = 1 << 20;
/// No less is read at once, however slow the asker: a read costs some 100 µs.
const LEAST_PIECE: u64 = 64 << 10;
/// How long what was read may wait at the asker's rate. More would only wait here instead of on the
/// disk, and could not be cancelled: it is less than the 300 ms and a round trip that an asker has asked for
/// in advance.
const DEPTH: Duration = Duration::from_millis(200);
/// What may wait before the asker's rate is known: it may share a slow uplink with many.
const FIRST_ROOM: u64 = 256 << 10;
/// A rate is measured over this long, or this much.
const SAMPLE: Duration = Duration::from_millis(250);
const SAMPLE_BYTES: u64 = 4 << 20;
/// Who takes nothing for so long is not there.
const STUCK: Duration = Duration::from_secs(60);
/// Where memory is short, whoever needs longer than this for what it holds has to go.
const DRIP: Duration = Duration::from_secs(10);
/// What waits for one that takes nothing for so long does not keep others waiting.
const STALLED: Duration = Duration::from_secs(1);
/// It is watched for as long before that is said, and its pace counts no longer than a window.
const WATCHED: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(10);

/// Bytes per second, while there is something to take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    rate: Option<u64>,
    bytes: u64,
    busy: Duration,
    since: Option<Time>,
}

impl Meter {
    /// There is something to take from now on.
    pub(super) const fn begin(&mut self, now: Time) {
        if self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// So much was taken; `is_empty`: and nothing is left. The rate since the last sample, where this completes one.
    pub(super) fn took(&mut self, now: Time, bytes: u64, is_empty: bool) -> Option<u64> {
        self.bytes += bytes;
        if let Some(since) = self.since {
            self.busy += now.saturating_sub(since);
            self.since = Some(now);
        }
        if is_empty {
            self.since = None;
        }
        if self.busy < SAMPLE && self.bytes < SAMPLE_BYTES {
            return None;
        }
        let micros = u64::try_from(self.busy.as_micros()).unwrap_or(u64::MAX);
        let sample = self.bytes.saturating_mul(1_000_000) / micros.max(1);
        self.rate = Some(self.rate.map_or(sample, |rate| rate / 2 + sample / 2));
        (self.bytes, self.busy) = (0, Duration::ZERO);
        Some(sample)
    }

    /// Bytes per second; `None` until enough was taken.
    pub(super) const fn rate(&self) -> Option<u64> {
        self.rate
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Bytes that reads under way are expected to bring.
    reading: u64,
    unwritten: u64,
    meter: Meter,
    /// When it last took something, or was empty.
    progress: Time,
    window_began: Time,
    window_bytes: u64,
}

impl Pipe {
    pub(super) fn new(now: Time) -> Self {
        Self {
            reading: 0,
            unwritten: 0,
            meter: Meter::default(),
            progress: now,
            window_began: now,
            window_bytes: 0,
        }
    }

    pub(super) const fn reading(&mut self, now: Time, bytes: u64) {
        if self.is_empty() {
            self.progress = now;
        }
        self.reading += bytes;
    }

    /// A read is done that was expected to bring `charge` bytes.
    pub(super) fn landed(&mut self, now: Time, charge: u64, bytes: u64) {
        self.reading -= charge;
        if bytes == 0 {
            return;
        }
        if self.unwritten == 0 {
            self.meter.begin(now);
            self.progress = now;
            self.window_began = now;
            self.window_bytes = 0;
        }
        self.unwritten += bytes;
    }

    /// So many bytes have left it; `taken`: by way of the connection. How many of them were in it.
    pub(super) fn freed(&mut self, now: Time, bytes: u64, taken: bool) -> u64 {
        let bytes = bytes.min(self.unwritten);
        self.unwritten -= bytes;
        if taken && bytes > 0 {
            self.meter.took(now, bytes, self.unwritten == 0);
            self.progress = now;
            self.window_bytes += bytes;
        } else if self.unwritten == 0 {
            self.meter.took(now, 0, true);
        }
        bytes
    }

    /// What may be in it, of at most `limit`.
    fn room(&self, limit: u64) -> u64 {
        let Some(rate) = self.meter.rate() else {
            return FIRST_ROOM.min(limit);
        };
        let millis = u64::try_from(DEPTH.as_millis()).unwrap_or(u64::MAX);
        (rate.saturating_mul(millis) / 1000).min(limit)
    }

    pub(super) const fn held(&self) -> u64 {
        self.reading + self.unwritten
    }

    /// Whether something may be read into it: an empty one takes any piece.
    pub(super) fn has_room(&self, limit: u64) -> bool {
        let room = self.room(limit);
        self.is_empty() || self.held() + PIECE.min(room / 2) <= room
    }

    /// The most to read into it at once.
    pub(super) fn piece(&self, limit: u64) -> u64 {
        let room = self.room(limit).saturating_sub(self.held());
        room.clamp(LEAST_PIECE, PIECE)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.held() == 0
    }

    pub(super) const fn unwritten(&self) -> u64 {
        self.unwritten
    }

    pub(super) const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether its asker has taken nothing for so long that it is not there.
    pub(super) fn is_stuck(&self, now: Time) -> bool {
        self.unwritten > 0 && now >= self.progress + STUCK
    }

    /// Whether its asker takes so slowly that others should have its memory.
    pub(super) fn is_drip(&self, now: Time) -> bool {
        let watched = now.saturating_sub(self.window_began);
        // What it takes in `DRIP` at the pace at which it took since it is watched.
        let takes = u128::from(self.window_bytes) * DRIP.as_millis();
        watched >= WATCHED && takes < u128::from(self.unwritten) * watched.as_millis()
    }

    /// Bytes in it that are not about to leave: its asker has taken nothing for a second, or drips.
    pub(super) fn stalled(&self, now: Time) -> u64 {
        let stalls = now >= self.progress + STALLED || self.is_drip(now);
        if stalls { self.unwritten } else { 0 }
    }

    /// Begins a new window, if one is over.
    pub(super) fn looked_at(&mut self, now: Time) {
        if now >= self.window_began + WINDOW {
            self.window_began = now;
            self.window_bytes = 0;
        }
    }
}
