//! One connection: somebody dialled, and the other serves.
//!
//! Owns: the answers that are under way, and what is on its way to the one who dialled, in the
//! order in which it arrives. Refuses: to decide when; that is the network's.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_protocol::have::RangeSet;
use shoal_protocol::wire::RequestId;

use super::event::{End, Piece, Word};
use super::relaying::Circuit;

/// What is read and sent at once, as in the product.
pub(super) const PIECE_BYTES_MAX: u64 = 512 << 10;
/// Pieces that a connection has on its way at once: what the kernel keeps of a stream, and the
/// frames that are queued and written.
pub(super) const PIECES_ON_THEIR_WAY: usize = 3;

/// A connection's number; they are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) usize);

/// An answer that the serving machine started.
#[derive(Debug)]
pub(super) struct Answer {
    /// By which number the machine knows the request.
    pub(super) number: RequestId,
    /// And the one who asked.
    pub(super) request: RequestId,
    pub(super) ranges: VecDeque<Range<u64>>,
    pub(super) sent: u64,
    pub(super) is_stopped: bool,
}

/// Something on its way to the one who dialled.
#[derive(Debug)]
pub(super) enum Item {
    Piece(Piece),
    /// A word, and whether it arrives by itself. Else it comes right behind what is before it.
    Word(Word, bool),
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: usize,
    pub(super) server: usize,
    /// Whether the one who dialled has not left, as far as it knows itself;
    pub(super) client_is_there: bool,
    /// the same of the other.
    pub(super) server_is_there: bool,
    pub(super) answers: VecDeque<Answer>,
    pub(super) on_its_way: VecDeque<Item>,
    pub(super) pieces: usize,
    /// Whether it waits for its turn at the uplink.
    pub(super) is_ready: bool,
    /// Pieces that wait at the line between the sites.
    pub(super) at_line: VecDeque<(Piece, Instant)>,
    /// What it goes through where its ends cannot reach each other.
    pub(super) circuit: Option<Circuit>,
    pub(super) last_arrival: Instant,
    /// What the client was told is on offer; nothing until it asked.
    pub(super) told: Option<Arc<RangeSet>>,
    /// The same, as the client has heard of it.
    pub(super) offered: Arc<RangeSet>,
    pub(super) round_trip: Duration,
    /// Bytes that arrived.
    pub(super) received: u64,
    /// The same when the client looked last.
    pub(super) heard: u64,
    /// Requests that are open, and the bytes that are still to come, as far as the client knows.
    pub(super) open: BTreeMap<RequestId, u64>,
    /// When the last bytes are on the client's disk.
    pub(super) written: Instant,
}

impl Connection {
    pub(super) fn new(now: Instant, client: usize, server: usize, round_trip: Duration) -> Self {
        Self {
            client,
            server,
            client_is_there: true,
            server_is_there: true,
            answers: VecDeque::new(),
            on_its_way: VecDeque::new(),
            pieces: 0,
            is_ready: false,
            at_line: VecDeque::new(),
            circuit: None,
            last_arrival: now,
            told: None,
            offered: Arc::default(),
            round_trip,
            received: 0,
            heard: 0,
            open: BTreeMap::new(),
            written: now,
        }
    }

    /// One end is gone. Forgets what only that end needed.
    pub(super) fn leave(&mut self, end: End) {
        match end {
            End::Client => {
                self.client_is_there = false;
                self.offered = Arc::default();
            }
            End::Server => {
                self.server_is_there = false;
                self.answers = VecDeque::new();
                self.told = None;
            }
        }
    }

    /// Bytes that are asked for and did not come.
    pub(super) fn expected(&self) -> u64 {
        self.open.values().sum()
    }

    /// A piece came.
    pub(super) fn came(&mut self, piece: &Piece) {
        if let Some(left) = self.open.get_mut(&piece.request) {
            *left = left.saturating_sub(piece.bytes());
        }
    }

    /// Bytes that arrived by now, those of the piece included that is arriving.
    pub(super) fn received_by(&self, now: Instant) -> u64 {
        let Some(Item::Piece(piece)) = self.on_its_way.front() else {
            return self.received;
        };
        let all = (piece.last - piece.first).as_secs_f64();
        let gone = now.saturating_duration_since(piece.first).as_secs_f64();
        match all > 0.0 {
            true => self.received + ((gone / all).min(1.0) * piece.bytes() as f64) as u64,
            false => self.received,
        }
    }
}
