//! Decides whom to ask for which part of a snapshot next.
//!
//! Owns: which runs are wanted, what of them is asked of whom, the pace of each peer, whom
//! not to trust. Refuses: bytes, sockets, wall time, and chance (the seed is passed in).
//!
//! One machine fetches one snapshot. Its owner feeds it what happens ([`Input`]), then
//! takes what to do ([`Fetch::poll`]) until there is nothing more, and wakes it by
//! [`Input::Timeout`] at [`Fetch::next_timeout`].

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::limits;
use crate::wire::{Outcome, RequestId};

/// The number of a run, chosen by whoever plans runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// A contiguous stretch of positions that begins and ends where chunks do, at most
/// [`limits::RUN_BYTES_MAX`] long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// First position.
    pub start: u64,
    /// Position behind the last.
    pub end: u64,
}

impl Run {
    /// Its positions.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// How far away a peer is, nearest first. A nearer peer is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distance {
    /// A process on this machine.
    Host,
    /// The same local network.
    Lan,
    /// Anywhere else.
    Wan,
    /// A bucket, which costs money.
    Bucket,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// This run is to be fetched. Runs must not overlap.
    Wanted(Run),
    /// This run is not wanted any more (it was found on disk).
    Unwanted(RunId),
    /// No further runs will be wanted: what is left is the end, where a run may be asked
    /// of two peers.
    NoMoreRuns,
    /// Someone waits for these positions, in this order; replaces what was urgent before.
    Urgent(Vec<Range<u64>>),
    /// A peer was admitted.
    PeerJoined {
        /// Who.
        peer: PeerKey,
        /// How far away.
        distance: Distance,
        /// Which positions it offers.
        offered: RangeSet,
    },
    /// A peer's offer changed; this is all of it.
    PeerOffers {
        /// Who.
        peer: PeerKey,
        /// Which positions it offers now.
        offered: RangeSet,
    },
    /// A peer offers more than before.
    PeerOffersMore {
        /// Who.
        peer: PeerKey,
        /// Which positions it offers too.
        added: RangeSet,
    },
    /// The connection to a peer is gone.
    PeerLeft {
        /// Who.
        peer: PeerKey,
    },
    /// The round-trip time to a peer was measured.
    RoundTrip {
        /// Who.
        peer: PeerKey,
        /// How long.
        time: Duration,
    },
    /// Bytes came from a peer, though not yet a whole frame: it is slow, not dead.
    Heard {
        /// Who.
        peer: PeerKey,
    },
    /// Whole chunks came from a peer, were verified, and are written.
    Delivered {
        /// Who.
        peer: PeerKey,
        /// Their positions.
        range: Range<u64>,
    },
    /// A chunk from a peer failed verification.
    BadChunk {
        /// Who.
        peer: PeerKey,
        /// The chunk's positions.
        range: Range<u64>,
    },
    /// A peer ended its answer.
    Ended {
        /// Who.
        peer: PeerKey,
        /// Which request.
        request: RequestId,
        /// How it went.
        outcome: Outcome,
    },
    /// A peer has too much to do.
    Busy {
        /// Who.
        peer: PeerKey,
        /// Which request it turned down.
        request: RequestId,
        /// When to ask it again.
        retry: Duration,
    },
    /// The time of [`Fetch::next_timeout`] has come.
    Timeout,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask a peer for positions of a run.
    Request {
        /// Whom.
        peer: PeerKey,
        /// The request's number, unique within this machine.
        request: RequestId,
        /// Which run they belong to.
        run: RunId,
        /// Which positions.
        ranges: RangeSet,
        /// Someone waits for them.
        urgent: bool,
    },
    /// Tell a peer that an answer is not wanted any more. What still comes is welcome.
    Cancel {
        /// Whom.
        peer: PeerKey,
        /// Which request.
        request: RequestId,
    },
    /// Disconnect from a peer. It counts as left.
    Drop {
        /// Whom.
        peer: PeerKey,
        /// Why.
        why: DropReason,
    },
    /// Every position of a run was delivered.
    RunDone(RunId),
    /// The state changed.
    State(State),
}

/// Why a peer is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// It sent chunks that failed verification, repeatedly.
    BadChunks,
    /// There are enough neighbours, and all are nearer or faster.
    TooMany,
}

/// How the fetch is going, for whoever watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing is wanted.
    Idle,
    /// Requests are open, and answers come.
    Fetching,
    /// Nothing comes.
    Waiting(Waiting),
}

/// What a fetch waits for when nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Any peer at all.
    Peer,
    /// A peer that offers what is left; those that are here do not.
    Offer {
        /// How much that is, in bytes.
        bytes: u64,
    },
    /// Another peer for chunks that all who offer them sent wrong.
    IntactCopy {
        /// How much that is, in bytes.
        bytes: u64,
    },
    /// Peers that are busy; the soonest asked to be left alone until then.
    BusyPeer {
        /// When it is asked again.
        until: Instant,
    },
    /// A peer that has gone silent with requests open.
    SilentPeer {
        /// Who.
        peer: PeerKey,
        /// Since when.
        since: Instant,
    },
}

/// What can be chosen about fetching.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// Bytes asked of a peer at once before its rate is known.
    pub window_bytes_initial: u64,
    /// The most bytes asked of a peer at once. Costs the other side a queue, not memory.
    pub window_bytes_max: u64,
    /// How much time's worth of bytes is kept asked for, beyond the round trip.
    pub window_slack: Duration,
    /// A peer that delivers nothing for so long, with requests open, is taken for stalled.
    pub stall: Duration,
    /// The most neighbours.
    pub neighbours_max: usize,
    /// So many bad chunks drop a peer.
    pub bad_chunks_max: u32,
    /// Further runs are welcome while fewer than this are not done.
    pub lookahead_runs: usize,
    /// Ties between equally rare runs are broken by this; give each node its own.
    pub seed: u64,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            window_bytes_initial: 16 << 20,
            window_bytes_max: 32 << 20,
            window_slack: Duration::from_millis(250),
            stall: Duration::from_secs(3),
            neighbours_max: limits::NEIGHBOURS_MAX,
            bad_chunks_max: 3,
            lookahead_runs: 256,
            seed: 0,
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Fetch {}

impl Fetch {
    /// A machine that wants nothing and knows nobody.
    pub fn new(_config: FetchConfig) -> Self {
        todo!()
    }

    /// Takes note of what happened at `now`, which never goes back.
    pub fn handle(&mut self, _now: Instant, _input: Input) {
        todo!()
    }

    /// What to do next; nothing until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        todo!()
    }

    /// When to wake the machine if nothing happens.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Whether further runs are welcome.
    pub fn wants_runs(&self) -> bool {
        todo!()
    }

    /// How the fetch is going.
    pub fn state(&self) -> &State {
        todo!()
    }
}
