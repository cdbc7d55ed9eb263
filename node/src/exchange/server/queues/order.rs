//! What goes into the queues and what comes out of them.

use std::sync::Arc;
use std::time::Duration;

use store::wire::Urgency;

/// A request under way, by the number that the caller gave it. Numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::exchange) struct Ticket(pub(in crate::exchange) u64);

/// What the queues hold at most.
#[derive(Clone, Copy, Debug)]
pub(in crate::exchange) struct Bounds {
    /// Reads under way. RocksDB reads cold blobs at twice the speed with four threads as with one, and
    /// no faster with more.
    pub(in crate::exchange) reads: usize,
    /// Bytes read and not yet written, for one asker: enough that a fast connection never runs dry
    /// between two reads.
    pub(in crate::exchange) pipe: u64,
    /// The same, for all askers.
    pub(in crate::exchange) memory: u64,
    /// Requests of one asker.
    pub(in crate::exchange) requests: usize,
    /// Leaves that these ask for: twice what the largest request may name.
    pub(in crate::exchange) leaves: u64,
    /// Bytes that these come to, as far as can be told: twice an asker's largest window.
    pub(in crate::exchange) bytes: u64,
    /// Bytes that these requests themselves take in memory.
    pub(in crate::exchange) weight: u64,
    /// Askers.
    pub(in crate::exchange) askers: usize,
    /// Bytes that the requests of all take in memory.
    pub(in crate::exchange) weight_of_all: u64,
    /// Upload slots; `None`: everybody is served.
    pub(in crate::exchange) slots: Option<usize>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            reads: 4,
            pipe: 2 << 20,
            memory: 64 << 20,
            requests: 128,
            leaves: 8192,
            bytes: 64 << 20,
            weight: 1 << 20,
            // More than there are connections, by default.
            askers: 1024,
            weight_of_all: 32 << 20,
            slots: None,
        }
    }
}

/// Leaves side by side under one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exchange) struct Run {
    /// A number made of the node's name. Two nodes of one number are taken for one: some leaf is then
    /// given later than it could be.
    pub(in crate::exchange) node: u64,
    pub(in crate::exchange) first: u32,
    pub(in crate::exchange) count: u32,
}

/// A request, as the queues see it.
#[derive(Clone, Debug)]
pub(in crate::exchange) struct Order {
    pub(in crate::exchange) ticket: Ticket,
    pub(in crate::exchange) urgency: Urgency,
    /// Leaves that it names; at least 1.
    pub(in crate::exchange) leaves: u32,
    /// Which these are, if it asks for leaves.
    pub(in crate::exchange) runs: Arc<[Run]>,
    /// The most bytes of blocks that may come; 0 where the answer has none.
    pub(in crate::exchange) bytes: u64,
    /// Bytes that the request takes in memory.
    pub(in crate::exchange) weight: u64,
    /// Set if it must be read at once, for an answer that is one message: how many bytes its asker is
    /// charged for at least, since it takes work besides.
    pub(in crate::exchange) whole: Option<u64>,
}

impl Order {
    /// Whether its answer brings no blocks, so that it is not to wait behind any.
    pub(super) const fn is_light(&self) -> bool {
        self.whole.is_some() && self.bytes == 0
    }
}

/// What has happened.
#[derive(Clone, Debug)]
pub(in crate::exchange) enum Event<P> {
    /// Somebody asks.
    Asked { asker: P, order: Order },
    /// It no longer wants the leaves from this one on.
    Cancel { ticket: Ticket, from: u32 },
    /// Nobody waits for the answer any more.
    Forget { ticket: Ticket },
    /// The read of a ticket is done: so many leaves are settled, of so many bytes.
    Read {
        ticket: Ticket,
        leaves: u32,
        bytes: u64,
    },
    /// The read of a ticket failed, and the asker has been told.
    Failed { ticket: Ticket },
    /// The asker's connection has taken so many bytes of what was read.
    Written { asker: P, bytes: u64 },
    /// So many bytes of what was read were thrown away.
    Freed { asker: P, bytes: u64 },
    /// A peer gave us so many good bytes.
    Gave { peer: P, bytes: u64 },
    /// An asker has gone: nothing is wanted, and nothing is held.
    Gone(P),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exchange) enum Action<P> {
    /// Read leaves of a ticket: `count` from `from` on, not beyond `max_bytes`, but the first in any
    /// case. To be followed by [`Event::Read`] or [`Event::Failed`].
    Read {
        asker: P,
        ticket: Ticket,
        from: u32,
        count: u32,
        max_bytes: u64,
    },
    /// The ticket is over; the asker may come back for the rest.
    Busy {
        asker: P,
        ticket: Ticket,
        retry: Duration,
    },
    /// The ticket is over; its leaves from this one on are not answered.
    Cut { asker: P, ticket: Ticket, from: u32 },
    /// The asker takes nothing: close its streams. To be followed by [`Event::Gone`].
    Close { asker: P },
}
