//! Decides whose request to answer next.
//!
//! Owns: the queues of requests, turns among peers, what was already sent to somebody.
//! Refuses: bytes, sockets, wall time, and questions of right: only requests that are
//! permitted get here.
//!
//! One machine serves all peers of a node. Few answers run at once; among those that wait,
//! peers take turns, and runs that nobody was sent yet go first, so that one uplink feeds a
//! room. What does not fit into the queues is turned down with a time to come back.

use std::time::{Duration, Instant};

use crate::have::RangeSet;
use crate::id::SnapshotId;
use crate::peer::PeerKey;
use crate::wire::{RequestId, limits};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A peer asks for positions that it may read.
    Request {
        /// Who.
        peer: PeerKey,
        /// The peer's number for it.
        request: RequestId,
        /// Of which snapshot.
        snapshot: SnapshotId,
        /// Which positions.
        ranges: RangeSet,
        /// Higher goes first, among the requests of this peer.
        priority: u8,
    },
    /// A started answer is over, with so many bytes on the wire.
    Ended {
        /// Whose.
        peer: PeerKey,
        /// Which.
        request: RequestId,
        /// How many positions were sent.
        bytes: u64,
    },
    /// A peer does not want an answer any more.
    Cancel {
        /// Who.
        peer: PeerKey,
        /// Which.
        request: RequestId,
    },
    /// The connection to a peer is gone; answers to it that were started are over.
    PeerLeft {
        /// Who.
        peer: PeerKey,
    },
    /// The time of [`Serve::next_timeout`] has come.
    Timeout,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Begin to answer, and say [`Input::Ended`] when it is over, however it went.
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
    /// The most requests of one peer that wait.
    pub queued_per_peer_max: usize,
    /// The most requests that wait in all; each costs some hundred bytes.
    pub queued_max: usize,
    /// A request that waited so long goes like one for bytes that nobody was sent.
    pub patience: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            active_max: 8,
            active_per_peer_max: 2,
            queued_per_peer_max: limits::REQUESTS_OPEN_MAX,
            queued_max: 2048,
            patience: Duration::from_secs(2),
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Serve {}

impl Serve {
    /// A machine with nothing to answer.
    pub fn new(_config: ServeConfig) -> Self {
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
}
