//! [`Asker`]: what one peer asked for and has not got.

use std::collections::VecDeque;
use std::sync::Arc;

use store::wire::Urgency;

use super::given::Name;
use super::pipe::{PIECE, Pipe};
use super::{Order, PIECE_LEAVES, Run, Ticket};
use crate::exchange::scheduler::Time;

/// What an asker may read in one of its turns.
pub(super) const QUANTUM: i64 = PIECE.cast_signed();
/// The same while the uplink is what is waited for and not the disk: turns are short, and few wait at once.
pub(super) const SHORT_QUANTUM: i64 = QUANTUM / 4;
/// The size of a leaf before any was read for an asker: `add --chunker size-262144` makes such ones, and
/// the default of 1 MiB is learned with the first read.
pub(super) const FIRST_LEAF: u64 = 256 << 10;
/// How long an asker without requests is remembered: else whoever asks for one thing at a time were new,
/// and first, each time.
const REMEMBERED: Time = Time::from_secs(60);

/// Extents remembered for which an asker was sent away: what it asks for next, and 1 KiB.
const SENT_AWAY: usize = 64;

/// One request.
#[derive(Debug)]
pub(super) struct Request<P> {
    pub(super) asker: P,
    urgency: Urgency,
    next: u32,
    /// Where it ends, since the asker cancelled what is behind.
    end: u32,
    total: u32,
    /// Bytes that may still come.
    bytes: u64,
    weight: u64,
    /// See [`Order::runs`].
    runs: Arc<[Run]>,
    /// See [`Order::whole`].
    whole: Option<u64>,
    /// One piece of it is read, and no more.
    crumb: bool,
}

impl<P> Request<P> {
    pub(super) fn new(asker: P, order: &Order, crumb: bool) -> Self {
        Self {
            asker,
            urgency: order.urgency,
            next: 0,
            end: order.leaves,
            total: order.leaves,
            bytes: order.bytes,
            weight: order.weight,
            runs: Arc::clone(&order.runs),
            whole: order.whole,
            crumb,
        }
    }

    /// Drops the leaves from this one on, and says how many these were.
    pub(super) fn cut(&mut self, from: u32) -> u32 {
        let before = self.end;
        self.end = self.end.min(from.max(self.next));
        before - self.end
    }

    /// So many leaves are settled, of so many bytes. How many of them were still wanted.
    pub(super) fn advance(&mut self, leaves: u32, bytes: u64) -> u32 {
        let wanted = self.unread().min(leaves);
        self.next = self.next.saturating_add(leaves).min(self.total);
        self.end = self.end.max(self.next);
        self.bytes = self.bytes.saturating_sub(bytes);
        wanted
    }

    pub(super) fn is_over(&self) -> bool {
        self.next >= self.end || self.bytes == 0 || (self.is_whole() && self.next > 0)
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Whether a reader waits for it.
    pub(super) const fn is_urgent(&self) -> bool {
        matches!(self.urgency, Urgency::Reader)
    }

    /// The names of its leaves from `from` on, where they are known.
    pub(super) fn names(&self, from: u32) -> impl Iterator<Item = Name> {
        let mut skip = from;
        self.runs.iter().flat_map(move |run| {
            let skipped = skip.min(run.count);
            skip -= skipped;
            let (node, first) = (run.node, run.first);
            (skipped..run.count).map(move |i| (node, first.saturating_add(i)))
        })
    }

    /// What a read of it costs at least, in bytes.
    pub(super) fn least(&self) -> u64 {
        self.whole.unwrap_or_default()
    }

    pub(super) const fn make_crumb(&mut self) {
        self.crumb = true;
    }

    pub(super) const fn is_crumb(&self) -> bool {
        self.crumb
    }

    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    pub(super) const fn total(&self) -> u32 {
        self.total
    }

    pub(super) const fn unread(&self) -> u32 {
        self.end - self.next
    }

    pub(super) const fn weight(&self) -> u64 {
        self.weight
    }
}

/// What to read at once.
pub(super) struct Piece {
    pub(super) count: u32,
    pub(super) max_bytes: u64,
    /// What that will come to, as far as can be told.
    pub(super) expected: u64,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Asker {
    /// By urgency, each first come, first served.
    lines: [VecDeque<Ticket>; 3],
    requests: usize,
    /// Not read.
    leaves: u64,
    weight: u64,
    /// What a leaf of its requests has on the average.
    leaf: u64,
    pub(super) pipe: Pipe,
    /// What it may read before the next one's turn; negative: what it has had in advance.
    deficit: i64,
    is_new: bool,
    idle_since: Time,
    /// Since when others go first, and how many turns they had before.
    pub(super) put_off: Option<(Time, u64)>,
    /// What it was told to look for elsewhere, the oldest first.
    sent_away: VecDeque<Run>,
}

impl Asker {
    pub(super) fn new(now: Time) -> Self {
        Self {
            lines: Default::default(),
            requests: 0,
            leaves: 0,
            weight: 0,
            leaf: FIRST_LEAF,
            pipe: Pipe::new(now),
            deficit: 0,
            is_new: true,
            idle_since: now,
            put_off: None,
            sent_away: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, order: &Order) {
        self.lines[order.urgency as usize].push_back(order.ticket);
        self.requests += 1;
        self.leaves += u64::from(order.leaves);
        self.weight += order.weight;
    }

    pub(super) fn remove<P>(&mut self, now: Time, ticket: Ticket, request: &Request<P>) {
        // Mostly the first; there are no more than `Bounds::requests`.
        let line = &mut self.lines[request.urgency as usize];
        line.retain(|queued| *queued != ticket);
        self.requests -= 1;
        self.leaves -= u64::from(request.unread());
        self.weight -= request.weight;
        if self.requests == 0 {
            // A turn that was not used is not saved.
            self.deficit = self.deficit.min(0);
            self.idle_since = now;
        }
    }

    /// So many leaves will not be read, or have been.
    pub(super) fn unqueue(&mut self, leaves: u32) {
        self.leaves -= u64::from(leaves);
    }

    /// Its requests, the most urgent first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Ticket> {
        self.lines.iter().flatten().copied()
    }

    /// What to read of a request: a piece, no more than the pipe has room for.
    pub(super) fn piece<P>(&self, request: &Request<P>, pipe: u64) -> Piece {
        if request.is_whole() {
            let expected = request.bytes.min(u64::from(request.unread()) * self.leaf);
            return Piece {
                count: request.unread(),
                max_bytes: request.bytes,
                expected,
            };
        }
        let count = request.unread().min(PIECE_LEAVES);
        let max_bytes = self.pipe.piece(pipe).min(request.bytes);
        Piece {
            count,
            max_bytes,
            // One leaf comes, whatever its size.
            expected: max_bytes.min(u64::from(count) * self.leaf),
        }
    }

    /// It is told to look for what a request asks for elsewhere.
    pub(super) fn sent_away<P>(&mut self, request: &Request<P>) {
        self.put_off = None;
        for run in request.runs.iter().take(SENT_AWAY) {
            if self.sent_away.len() == SENT_AWAY {
                self.sent_away.pop_front();
            }
            self.sent_away.push_back(*run);
        }
    }

    /// Whether it was told so of this leaf.
    pub(super) fn was_sent_away_for(&self, (node, child): Name) -> bool {
        let has = |run: &Run| run.node == node && child.wrapping_sub(run.first) < run.count;
        self.sent_away.iter().any(has)
    }

    /// Begins a turn, unless one goes on. `false`: it has had more than a turn in advance.
    pub(super) const fn turn(&mut self, quantum: i64) -> bool {
        if self.deficit <= 0 {
            self.deficit += quantum;
        }
        self.deficit > 0
    }

    pub(super) fn charge(&mut self, now: Time, bytes: u64) {
        (self.is_new, self.put_off) = (false, None);
        self.deficit -= signed(bytes);
        self.pipe.reading(now, bytes);
    }

    /// What was charged turned out to be `bytes`.
    pub(super) fn refund(&mut self, charge: u64, bytes: u64) {
        self.deficit += signed(charge) - signed(bytes);
        if self.requests == 0 {
            self.deficit = self.deficit.min(0);
        }
    }

    /// So many leaves had so many bytes.
    pub(super) fn measured(&mut self, leaves: u32, bytes: u64) {
        // What was not found tells nothing.
        if bytes > 0 && leaves > 0 {
            self.leaf = (self.leaf + bytes / u64::from(leaves)).div_ceil(2);
        }
    }

    /// Bytes that are still to be read, as far as can be told.
    pub(super) const fn expected(&self) -> u64 {
        self.leaves * self.leaf
    }

    pub(super) fn expected_of(&self, order: &Order) -> u64 {
        order.bytes.min(u64::from(order.leaves) * self.leaf)
    }

    pub(super) fn tickets(&self) -> Vec<Ticket> {
        self.waiting().collect()
    }

    pub(super) const fn requests(&self) -> usize {
        self.requests
    }

    pub(super) const fn leaves(&self) -> u64 {
        self.leaves
    }

    pub(super) const fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) const fn deficit(&self) -> i64 {
        self.deficit
    }

    /// Whether nothing was ever read for it.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether it has asked for nothing and holds nothing.
    pub(super) const fn is_idle(&self) -> bool {
        self.requests == 0 && self.pipe.is_empty()
    }

    /// Whether it can be forgotten.
    pub(super) fn is_forgotten(&self, now: Time) -> bool {
        self.is_idle() && now >= self.idle_since + REMEMBERED
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
