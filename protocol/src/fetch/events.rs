//! What a fetch is told, and what it says.
//!
//! Owns: [`Input`] and [`Output`] with the words they need. Refuses: to decide anything.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::run::{Run, RunId};
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::RequestId;

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

/// Where the chunks of a run end, in order, as distances from its first position. The last is
/// the run's length.
pub type ChunkEnds = Arc<[u32]>;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// This run is to be fetched. Runs must not overlap.
    Wanted(Run),
    /// The same, where it is known at which positions its chunks end: no peer is asked for a
    /// part of one, whatever it says that it has.
    WantedChunks(Run, ChunkEnds),
    /// This run is not wanted any more (it was found on disk).
    Unwanted(RunId),
    /// No further runs are to be expected: what is left is the end, where a run may be asked
    /// of two peers. A further [`Input::Wanted`] (bytes were wrong) takes that back.
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
        /// Whether that is all there is: it serves, and does not fetch itself.
        is_seed: bool,
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
    /// Bytes of a run came from a peer, though not yet a whole frame: it is slow, not dead.
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
    /// A peer ended its answer. Comes behind the Delivered and BadChunk of everything that
    /// the answer had: what is still missing then counts as not on offer, whatever the peer says
    /// of it. (Answers that the machine cancelled are not open any more.)
    Ended {
        /// Who.
        peer: PeerKey,
        /// Which request.
        request: RequestId,
    },
    /// A peer ended its answer, and what of it is missing was of no use, through nobody's fault:
    /// it is asked for again, of anybody.
    Spoilt {
        /// Who.
        peer: PeerKey,
        /// Which request.
        request: RequestId,
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
    /// The time of `Fetch::next_timeout` has come.
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
