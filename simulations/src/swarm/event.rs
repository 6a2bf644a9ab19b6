//! What can happen, and when it does.
//!
//! Owns: the one heap of a world. What is due at the same moment happens in the order in which
//! it was put there, so that a seed gives one course of events.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_protocol::have::RangeSet;
use shoal_protocol::wire::RequestId;

use super::connection::ConnectionId;
use super::setup::Fault;

/// A life of a node: from one start to the next crash. What was due in an earlier one is void.
pub(super) type Epoch = u32;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A node begins to fetch.
    Begin(usize),
    /// A node tries to reach another.
    Dial {
        from: usize,
        to: usize,
        epoch: Epoch,
    },
    /// Somebody presents its right.
    Enter(ConnectionId),
    /// A word of the one who dialled arrives.
    Told(ConnectionId, Word),
    /// An uplink has sent what it was at.
    UplinkFree(usize),
    /// The line between two sites has.
    LineFree(usize, usize),
    /// What is first on its way to the one who dialled arrives.
    Arrive(ConnectionId),
    /// Bytes are on the disk.
    Written(ConnectionId, Piece),
    /// One end of a connection finds it closed.
    Closed(ConnectionId, End),
    /// A fetch machine wants to be woken.
    Wake(usize, Epoch),
    /// It is time to record what is here.
    Checkpoint(usize, Epoch),
    /// It is recorded.
    Recorded(usize, Epoch, Box<RangeSet>),
    /// A node that has everything leaves.
    Leave(usize, Epoch),
    /// A fault.
    Fault(Fault),
    /// A node that crashed is there again.
    Restart(usize),
    /// The right to the snapshot ends, by the clock of a node.
    RightsEnd(usize),
    /// Nothing was heard of a connection for so long that both ends give it up.
    Silent(ConnectionId),
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The one who dialled.
    Client,
    /// The other.
    Server,
}

/// Consecutive chunks of an answer.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) request: RequestId,
    pub(super) start: u64,
    pub(super) end: u64,
    /// When its first byte is there.
    pub(super) first: Instant,
    /// When its last is.
    pub(super) last: Instant,
}

impl Piece {
    pub(super) fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// A message without bulk.
#[derive(Debug, Clone)]
pub(super) enum Word {
    /// Let in; it is said whether everything is on offer.
    Admitted { offers_all: bool },
    /// Not let in.
    Refused { is_full: bool },
    /// What is on offer, and what of it came to what was told before, if anything was. Nearly
    /// everybody is told the same.
    Offer {
        all: Arc<RangeSet>,
        more: Option<Arc<RangeSet>>,
    },
    /// Others who fetch the same.
    Neighbours(Vec<usize>),
    /// An answer is over.
    Ended(RequestId),
    /// A request is turned down.
    Busy(RequestId, Duration),
    /// What is asked for.
    Request {
        request: RequestId,
        ranges: RangeSet,
        priority: u8,
    },
    /// It is not wanted any more.
    Cancel(RequestId),
    /// What do you offer? Tell me of changes too.
    OfferWanted,
}

/// When something happens, and where it is written what. Entries are moved about, and are small.
#[derive(Clone, Copy)]
struct Entry {
    at: Instant,
    number: u64,
    place: usize,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What is going to happen, soonest first.
#[derive(Default)]
pub(super) struct Heap {
    entries: BinaryHeap<Reverse<Entry>>,
    events: Vec<Option<Event>>,
    vacant: Vec<usize>,
    count: u64,
}

impl Heap {
    pub(super) fn put(&mut self, at: Instant, event: Event) {
        self.count += 1;
        let number = self.count;
        let place = self.vacant.pop().unwrap_or(self.events.len());
        match self.events.get_mut(place) {
            Some(vacant) => *vacant = Some(event),
            None => self.events.push(Some(event)),
        }
        self.entries.push(Reverse(Entry { at, number, place }));
    }

    pub(super) fn take(&mut self) -> Option<(Instant, Event)> {
        let Reverse(Entry { at, place, .. }) = self.entries.pop()?;
        self.vacant.push(place);
        Some((at, self.events[place].take()?))
    }

    /// How many events there were and are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
