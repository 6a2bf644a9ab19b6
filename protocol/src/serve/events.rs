//! What a serving node is told, what it says, and what can be chosen.
//!
//! Owns: [`Input`], [`Output`], [`ServeConfig`]. Refuses: to decide anything.

use std::time::Duration;

use crate::have::RangeSet;
use crate::id::SnapshotId;
use crate::peer::PeerKey;
use crate::wire::{RequestId, limits};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A peer asks for positions that it may read. A number that is open already is a
    /// mistake of the peer, and the second request is not answered.
    Request {
        /// Who.
        peer: PeerKey,
        /// Where it comes from, as coarse as the node counts: a number for each.
        origin: u64,
        /// Its number among all that are open with this peer, over however many
        /// connections.
        request: RequestId,
        /// Of which snapshot.
        snapshot: SnapshotId,
        /// Which positions.
        ranges: RangeSet,
        /// Higher goes first, among the requests of this peer; above zero, nobody's first
        /// copy goes before it.
        priority: u8,
    },
    /// A started answer is over, however it went.
    Ended {
        /// Whose.
        peer: PeerKey,
        /// Which.
        request: RequestId,
        /// How many positions were sent, from the first of its ranges on.
        bytes: u64,
    },
    /// A peer does not want an answer any more.
    Cancel {
        /// Who.
        peer: PeerKey,
        /// Which.
        request: RequestId,
    },
    /// The connection to a peer is gone, and so are all answers to it.
    PeerLeft {
        /// Who.
        peer: PeerKey,
    },
    /// The time of [`Serve::next_timeout`](super::Serve::next_timeout) has come.
    Timeout,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Begin to answer, and say [`Input::Ended`] when it is over.
    Start {
        /// Whom.
        peer: PeerKey,
        /// Which request.
        request: RequestId,
        /// Of which snapshot.
        snapshot: SnapshotId,
        /// Which positions.
        ranges: RangeSet,
    },
    /// Stop a started answer at the next frame, then say [`Input::Ended`].
    Stop {
        /// Whose.
        peer: PeerKey,
        /// Which request.
        request: RequestId,
    },
    /// Turn a request down.
    Busy {
        /// Whose.
        peer: PeerKey,
        /// Which request.
        request: RequestId,
        /// When to ask again.
        retry: Duration,
    },
    /// A request that had not been started was cancelled: say so.
    Cancelled {
        /// Whose.
        peer: PeerKey,
        /// Which request.
        request: RequestId,
    },
}

/// What can be chosen about serving.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// The most answers that run at once. Each costs a buffer or two of a frame's size.
    pub active_max: usize,
    /// The most answers that run at once for one peer: with two, the next is read from disk
    /// while the one before is sent.
    pub active_per_peer_max: usize,
    /// The most answers that run at once for peers of one origin: who takes nothing of what it
    /// asked for, under however many names, leaves the others theirs.
    pub active_per_origin_max: usize,
    /// The most requests of one peer that wait.
    pub queued_per_peer_max: usize,
    /// The most requests that wait in all; each costs some hundred bytes, and at most 4 KiB
    /// for one with as many ranges as a request may have.
    pub queued_max: usize,
    /// The same, of one origin.
    pub queued_per_origin_max: usize,
    /// A request that waited so long goes like one for bytes that nobody was sent.
    pub patience: Duration,
    /// What was sent of a snapshot counts for so long after it was last asked for.
    pub copies_kept: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            active_max: 8,
            active_per_peer_max: 2,
            active_per_origin_max: 4,
            queued_per_peer_max: limits::REQUESTS_OPEN_MAX,
            queued_max: 2048,
            queued_per_origin_max: 1024,
            patience: Duration::from_secs(2),
            copies_kept: Duration::from_secs(600),
        }
    }
}
