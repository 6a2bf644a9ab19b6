//! What a control plane is told when it starts.
//!
//! Owns: the numbers that a node chooses for itself, each with what it can cost. What is part
//! of the protocol (sizes of requests) is in [`super::names`].

use std::time::Duration;

use libp2p::Multiaddr;

use super::peers::PeerContact;

/// How a control plane is set up.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// The private name of the team: nodes with another one share no DHT with this one.
    pub network: [u8; 32],
    /// Where to listen, `/ip4/…/tcp/…` and `/ip4/…/udp/…/quic-v1`; port 0 takes any that is
    /// free. With none, the node is reached through relays only.
    pub listen: Vec<Multiaddr>,
    /// Addresses at which this node is known to be reachable from elsewhere. Only a node that
    /// has one relays for others: from here, from AutoNAT, or since members came to an address
    /// of the internet that is its own.
    pub advertise: Vec<Multiaddr>,
    /// Whom to dial, for ever, while there are too few neighbours. With or without `/p2p/…`.
    pub bootstrap: Vec<Multiaddr>,
    /// Peers of an earlier run ([`super::ControlHandle::known_peers`]); dialled like the above.
    pub known: Vec<PeerContact>,
    /// Whether mDNS is on from the start. It carries PeerId and addresses, and skips loopback.
    pub mdns: bool,
    /// What this node calls its software; members are told.
    pub agent: String,
    /// Bounds.
    pub limits: Limits,
    /// What is relayed for other members, and whether this node lets itself be relayed to.
    pub relay: RelayLimits,
}

impl ControlConfig {
    /// The port of the control plane of a node that stays up, TCP and UDP.
    pub const PORT: u16 = 4748;

    /// A configuration for this team that listens nowhere and knows nobody.
    pub fn new(network: [u8; 32]) -> Self {
        Self {
            network,
            listen: Vec::new(),
            advertise: Vec::new(),
            bootstrap: Vec::new(),
            known: Vec::new(),
            mdns: false,
            agent: concat!("shoal/", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: Limits::default(),
            relay: RelayLimits::default(),
        }
    }
}

/// Bounds of a control plane.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most connections. An idle one costs about 100 KiB; one whose peer floods it, up to
    /// 16 MiB of stream windows.
    pub connections_max: u32,
    /// The most connections of one peer.
    pub connections_per_peer_max: u32,
    /// The most incoming connections of one IPv4 address or IPv6 /64 network, members and
    /// strangers together, those in their handshake included.
    pub connections_per_address_max: usize,
    /// The most connections in their handshake, each way.
    pub pending_max: u32,
    /// No connection is made or accepted while the process is larger than this.
    pub memory_bytes_max: usize,
    /// How many connections are kept open although they are idle.
    pub kept_max: usize,
    /// How long the others may be idle.
    pub idle: Duration,
    /// Below this many neighbours, whoever is known is dialled.
    pub neighbours_wanted: usize,
    /// The most connections of peers that are not members; one more, and the oldest goes.
    pub strangers_max: usize,
    /// The same, of one address.
    pub strangers_per_address_max: usize,
    /// How long a stranger may stay.
    pub stranger: Duration,
    /// How long one may stay whose request for admission was answered, to read the answer.
    pub admitting: Duration,
    /// The most requests for admission of one address in a minute.
    pub admissions_per_minute_max: u32,
    /// The most incoming requests at work, of all peers.
    pub requests_max: usize,
    /// The most incoming requests at work, of one peer. More are told to come back.
    pub requests_per_peer_max: usize,
    /// The most bytes of requests of members in memory, and of answers to this node's own:
    /// either may cost this much.
    pub request_bytes_max: usize,
    /// How long a request may take, answer included.
    pub request: Duration,
    /// The most requests of this node under way.
    pub outgoing_max: usize,
    /// The most lookups in the DHT under way.
    pub lookups_max: usize,
    /// How long one of them may take.
    pub lookup: Duration,
    /// The most data streams that wait to be taken; one more is refused.
    pub streams_waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_peer_max: 8,
            connections_per_address_max: 96,
            pending_max: 96,
            memory_bytes_max: 4 << 30,
            kept_max: 32,
            idle: Duration::from_secs(120),
            neighbours_wanted: 16,
            strangers_max: 32,
            strangers_per_address_max: 8,
            stranger: Duration::from_secs(5),
            admitting: Duration::from_secs(20),
            admissions_per_minute_max: 12,
            requests_max: 64,
            requests_per_peer_max: 8,
            request_bytes_max: 32 << 20,
            request: Duration::from_secs(20),
            outgoing_max: 256,
            lookups_max: 64,
            lookup: Duration::from_secs(20),
            streams_waiting_max: 16,
        }
    }
}

/// What is relayed for other members. A circuit ends at its bytes or its duration, whichever
/// comes first; a peer's budget is its circuits an hour times the bytes of each.
#[derive(Debug, Clone)]
pub struct RelayLimits {
    /// Whether this node relays at all, while it is reachable.
    pub serve: bool,
    /// Whether this node lets itself be relayed to, while it is not reachable.
    pub reserve: bool,
    /// The most bytes of a circuit, both ways together.
    pub circuit_bytes_max: u64,
    /// How long a circuit may last.
    pub circuit: Duration,
    /// The most circuits at a time.
    pub circuits_max: usize,
    /// The most circuits at a time of one peer, at either end.
    pub circuits_per_peer_max: usize,
    /// The most circuits that one peer may open in an hour.
    pub circuits_per_peer_hour_max: u32,
    /// The most peers that may be relayed to.
    pub reservations_max: usize,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            serve: true,
            reserve: true,
            circuit_bytes_max: 256 << 20,
            circuit: Duration::from_secs(600),
            circuits_max: 64,
            circuits_per_peer_max: 4,
            circuits_per_peer_hour_max: 60,
            reservations_max: 128,
        }
    }
}
