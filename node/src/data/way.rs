//! What carries a link, and why that.
//!
//! Owns: the words, as `shoal peers` shows them. Refuses: choosing, which `dial` does.

use std::fmt;
use std::time::Duration;

/// What carries a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
    /// A stream of the control plane, directly.
    Stream,
    /// A stream of the control plane, through another member.
    Relayed,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
            Self::Stream => "stream",
            Self::Relayed => "relayed",
        })
    }
}

/// Why a link goes the way it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The peer is on this machine.
    SameHost,
    /// The peer is on the same network as this machine.
    SameNetwork,
    /// The peer answers as fast as one on the same network.
    Near,
    /// The peer is far away.
    Far,
    /// TCP did not get through, for this reason.
    NoTcp(String),
    /// QUIC did not get through, for this reason.
    NoQuic(String),
    /// Nothing gets through directly, for this reason.
    NothingDirect(String),
    /// No other way is switched on.
    Only,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameHost => f.write_str("on this machine"),
            Self::SameNetwork => f.write_str("on the same network"),
            Self::Near => f.write_str("near"),
            Self::Far => f.write_str("far away"),
            Self::NoTcp(why) => write!(f, "TCP does not get through: {why}"),
            Self::NoQuic(why) => write!(f, "far away, and QUIC does not get through: {why}"),
            Self::NothingDirect(why) => write!(f, "nothing gets through directly: {why}"),
            Self::Only => f.write_str("no other way is switched on"),
        }
    }
}

/// How a peer is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// What carries the link.
    pub way: Way,
    /// Why that.
    pub why: Why,
    /// How long connecting took a packet there and back; nothing where that was not measured.
    pub round_trip: Option<Duration>,
}

/// Which ways are switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// TLS over TCP.
    pub tcp: bool,
    /// QUIC.
    pub quic: bool,
    /// Streams of the control plane, among members of a team.
    pub stream: bool,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            tcp: true,
            quic: true,
            stream: true,
        }
    }
}
