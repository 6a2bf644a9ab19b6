//! Who one is, what one may do, and goodbye.
//!
//! Owns: the messages that open and close a connection and keep it alive. Refuses: claims
//! of identity; the transport has authenticated both keys before the first byte.

use bincode::{Decode, Encode};

use super::limits::{AGENT_BYTES_MAX, DETAIL_BYTES_MAX, LISTEN_ADDRESSES_MAX, WIRE_VERSION};
use crate::access::{Address, Grant, Nonce, Presentation, Scope};
use crate::bounded::{List, Text};
use crate::id::GrantId;
use crate::snapshot::Snapshot;

/// The first frame of either side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Always [`WIRE_VERSION`]; stands first in every version, so that another is recognised.
    pub version: u16,
    /// What this node can do beyond the obligatory.
    pub features: Features,
    /// What the other side signs when it presents a grant.
    pub nonce: Nonce,
    /// The software and its version, for logs and `peers`.
    pub agent: Text<AGENT_BYTES_MAX>,
    /// Where this node listens for data connections, if it does.
    pub listen: List<Address, LISTEN_ADDRESSES_MAX>,
}

impl Hello {
    /// A Hello of this version.
    pub fn new(
        features: Features,
        nonce: Nonce,
        agent: &str,
        listen: List<Address, LISTEN_ADDRESSES_MAX>,
    ) -> Self {
        Self {
            version: WIRE_VERSION,
            features,
            nonce,
            agent: Text::cut(agent),
            listen,
        }
    }
}

/// Abilities, as a set of bits. Unknown bits are ignored: a feature is in force on a
/// connection when both sides have named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
pub struct Features(pub u64);

impl Features {
    /// None.
    pub const NONE: Features = Features(0);
    /// Pushes and understands [`super::HaveUpdate`].
    pub const HAVE_UPDATES: Features = Features(1);
    /// Reads payloads compressed by zstd.
    pub const ZSTD: Features = Features(1 << 1);
    /// Reads payloads compressed by zstd against a base.
    pub const ZSTD_WITH_BASE: Features = Features(1 << 2);
    /// Tells and understands [`super::Neighbours`].
    pub const NEIGHBOURS: Features = Features(1 << 3);
    /// Belongs to a team, or could: understands [`super::Enter`] and [`super::Redeem`] and
    /// what comes of them. Says nothing of whether there is a team.
    pub const TEAM: Features = Features(1 << 4);

    /// What both have.
    #[must_use]
    pub const fn common(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }

    /// What either has.
    #[must_use]
    pub const fn and(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Asks to be let in with a grant. A connection may present several.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Present {
    /// The grant, and the holder's proof for this connection.
    pub presentation: Presentation,
}

/// The grant is honoured on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Admitted {
    /// Which grant.
    pub grant: GrantId,
    /// The record of the snapshot that it covers.
    pub snapshot: Snapshot,
    /// Whether all of it is on offer; if not, [`super::HaveRequest`] says what is.
    pub offers_all: bool,
}

impl Admitted {
    /// Whether the snapshot is the one that `grant` covers. Nothing else of this message
    /// can be checked, so a client closes the connection if it is not.
    pub fn answers(&self, grant: &Grant) -> bool {
        match grant.scope {
            Scope::Snapshot(id) => self.snapshot.id() == id,
        }
    }
}

/// The grant is not honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// Which grant.
    pub grant: GrantId,
    /// Why.
    pub reason: RefusedReason,
}

/// Why a grant is not honoured; never says whether the snapshot exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum RefusedReason {
    /// Not valid, not from an issuer that this node honours, or not for anything here.
    NotPermitted,
    /// Its time is over, by this node's clock.
    Expired,
    /// Its time has not come, by this node's clock.
    NotYet,
    /// Too many peers are connected; the grant is fine.
    Full {
        /// When to try again, in milliseconds.
        retry_ms: u32,
    },
    /// This node made the grant, or used it, and does not share what it is for at the moment:
    /// it may have just started.
    NotNow,
}

/// The last frame: nothing that follows it is read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Bye {
    /// Why.
    pub reason: ByeReason,
    /// A sentence for the log of the other side; may be empty.
    pub detail: Text<DETAIL_BYTES_MAX>,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ByeReason {
    /// Nothing more is wanted.
    Done,
    /// The node stops; it may come back.
    ShuttingDown,
    /// No valid grant in time.
    NotAdmitted,
    /// Silent for too long, or too slow within a frame.
    TooSlow,
    /// The other side broke the protocol.
    Protocol,
    /// The other side sent data that failed verification too often.
    BadData,
    /// A right ended while the connection was open.
    Revoked,
    /// There are better neighbours.
    TooMany,
}

/// Asks for a [`Pong`], to measure the path or to keep it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Ping {
    /// Comes back in the answer.
    pub token: u64,
}

/// The answer to a [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Pong {
    /// From the Ping.
    pub token: u64,
}
