//! What advertising is told, and what it says.
//!
//! Owns: [`Input`] and [`Output`] with the words they need. Refuses: to decide anything.

use std::time::Duration;

use super::key::AdvertKey;
use super::message::AdvertAck;
use super::position::Position;
use crate::peer::PeerKey;

/// A lookup's number, unique within one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// A batch's number, unique within one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// These are to be found at once: the snapshots and great files that are here, when the
    /// node starts, and whenever such are added.
    Announce(Vec<AdvertKey>),
    /// The answer to [`Output::Meet`]: the members that are connected, in any order.
    Met {
        /// Who.
        peers: Vec<PeerKey>,
    },
    /// These came since the sweep's keys were listed.
    Added(Vec<AdvertKey>),
    /// The answer to [`Output::Lookup`]: those closest to the target, this node left out. Nobody
    /// means that the network was not reached.
    Located {
        /// Which lookup.
        lookup: LookupId,
        /// Who; if fewer than were asked for, there are no others.
        peers: Vec<PeerKey>,
    },
    /// A lookup came to nothing.
    LookupFailed {
        /// Which.
        lookup: LookupId,
    },
    /// The answer to [`Output::Load`].
    Loaded {
        /// The first of the wanted keys, in the order of their positions.
        keys: Vec<AdvertKey>,
        /// Whether there are no more in the wanted range.
        is_all: bool,
    },
    /// The keys could not be loaded. They are asked for again later.
    LoadFailed,
    /// A peer answered a batch.
    Acked {
        /// Which.
        batch: BatchId,
        /// What it said.
        ack: AdvertAck,
    },
    /// A batch did not arrive, or nobody knows.
    Failed {
        /// Which.
        batch: BatchId,
    },
    /// There are more peers than before, as after a start: what lookups told of the network
    /// does not hold any more, and none is put off because the last came to nothing.
    Grown,
    /// After this time, half of the peers of today are gone, as measured. The interval of
    /// sweeps becomes this, within its bounds, so that half the copies are still there when
    /// the next sweep comes.
    Churn {
        /// The half-life of peers.
        half_life: Duration,
    },
    /// The time of [`Advert::next_timeout`](super::Advert::next_timeout) has come.
    Timeout,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Find the peers closest to a key. It may be made up: it stands for its position.
    Lookup {
        /// The lookup's number.
        lookup: LookupId,
        /// What Kademlia is to hash and look for.
        target: AdvertKey,
    },
    /// Say who is connected: it is not known yet who is closest to what was announced.
    Meet,
    /// A sweep begins, or goes on after a restart: list the keys that are to be advertised.
    /// Every [`Output::Load`] from now on asks for keys of that list.
    List {
        /// The network has room for so many, as far as is known. If there are more, list the
        /// lowest.
        keys_max: Option<u64>,
    },
    /// It turned out that the network has room for clearly more or less: of those listed load
    /// only so many from now on, the lowest.
    Limit {
        /// So many.
        keys_max: u64,
    },
    /// Load keys, in order of their positions. One load is open at a time.
    Load {
        /// From this position on,
        from: Position,
        /// up to and including this one,
        to: Position,
        /// but no more than so many.
        keys_max: usize,
    },
    /// Send a peer keys of this node.
    Send {
        /// The batch's number.
        batch: BatchId,
        /// Whom.
        peer: PeerKey,
        /// Which keys, in order of their positions.
        keys: Vec<AdvertKey>,
        /// For how long they hold, in seconds.
        ttl_s: u32,
    },
    /// Remember how far the sweep is, with the time by the wall clock, so that a restart goes on there.
    Progress(Progress),
}

/// How far the sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// All keys before this position have been sent; nothing if the sweep is through.
    pub next: Option<Position>,
    /// How long ago the sweep began. (After a restart: add the time that has gone by since.)
    pub began_ago: Duration,
}

/// How far the sweep is, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sweeping {
    /// Which part of the space of positions is through, from 0 to 1; 1 between two sweeps.
    pub done: f64,
    /// How long ago it began, or the last one if none is under way.
    pub began_ago: Duration,
    /// How long the last one took, if one came to its end since the machine was made.
    pub took: Option<Duration>,
    /// When the next begins, from now on; nothing while one is under way.
    pub next_in: Option<Duration>,
    /// From the beginning of one to that of the next.
    pub interval: Duration,
}

/// What has been done since the machine was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Lookups.
    pub lookups: u64,
    /// Batches, those that were sent again included.
    pub batches: u64,
    /// Keys in them.
    pub keys: u64,
    /// Keys that peers did not take.
    pub refused: u64,
    /// Keys that were given up, counted once for each copy, until the next sweep.
    pub given_up: u64,
    /// Sweeps that came to their end.
    pub sweeps: u64,
}
