//! What a simulated swarm is made of.
//!
//! Owns: who takes part, on which links, how each behaves, and what happens when. Refuses: to
//! run it; that is the [`World`](super::World)'s.

use std::time::Duration;

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;
/// Chunks are all of this size here. Real ones vary; nothing that is measured depends on it.
pub const CHUNK: u64 = 64 << 10;

/// Bytes a second of so many Mbit/s.
pub fn mbit(rate: f64) -> f64 {
    rate * 1e6 / 8.0
}

/// How a node treats others.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Conduct {
    /// As it should.
    #[default]
    Honest,
    /// Of the chunks that it sends, this share is wrong.
    Liar(f64),
    /// It takes requests, and stops to answer after so many bytes.
    Staller(u64),
    /// It has no right to the snapshot, and asks all the same.
    Stranger,
}

/// What stands between a node and all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nat {
    /// Nothing: whoever knows its address reaches it.
    #[default]
    None,
    /// A NAT that gives a node the same port towards all (endpoint-independent mapping,
    /// RFC 4787): others get in once both have knocked.
    Home,
    /// One that gives it another port towards each (address-dependent mapping).
    Symmetric,
}

/// One node.
#[derive(Debug, Clone)]
pub struct NodeSetup {
    /// In which site it stands.
    pub site: usize,
    /// Bytes a second that it can send.
    pub up: f64,
    /// Bytes a second that it can receive.
    pub down: f64,
    /// Bytes a second that its disk takes.
    pub disk: f64,
    /// Bytes that its disk has room for.
    pub room: u64,
    /// Whether it has everything from the beginning.
    pub is_source: bool,
    /// When it begins to fetch.
    pub starts: Duration,
    /// How it treats others.
    pub conduct: Conduct,
    /// How far its clock is ahead of true time, in seconds.
    pub clock_ahead_s: i64,
    /// What stands between it and the others.
    pub nat: Nat,
}

impl NodeSetup {
    /// An honest node in site 0 with a link of so many bytes a second in both directions.
    pub fn new(rate: f64) -> Self {
        Self {
            site: 0,
            up: rate,
            down: rate,
            disk: 1e9,
            room: u64::MAX,
            is_source: false,
            starts: Duration::ZERO,
            conduct: Conduct::Honest,
            clock_ahead_s: 0,
            nat: Nat::None,
        }
    }

    /// The same with everything already there.
    pub fn source(rate: f64) -> Self {
        Self {
            is_source: true,
            ..Self::new(rate)
        }
    }
}

/// The line between two sites, the same in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Bytes a second, shared by all who send through it.
    pub rate: f64,
    /// How long a packet takes.
    pub delay: Duration,
    /// The share of packets that are lost.
    pub loss: f64,
}

/// Something that happens to the swarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The process of a node is killed, and begins again after the time, if any. What it had
    /// written is on its disk.
    Kill(usize, Option<Duration>),
    /// A node loses power: what was not synced is gone, and nobody is told.
    PowerCut(usize, Option<Duration>),
    /// For so long nothing gets from the first so many nodes to the others, or back.
    Partition(usize, Duration),
    /// A node's disk has so many bytes of room from now on.
    Room(usize, u64),
    /// A node behaves like this from now on.
    Conduct(usize, Conduct),
}

/// A bug, put in so that it can be shown that the checks find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Chunks are written without being verified.
    NoVerification,
    /// A node offers a run when it asks for it, not when it has it.
    OffersTooSoon,
    /// The window of a peer stays as large as it may be, however slow the peer is.
    WindowNeverShrinks,
}

/// Everything that a world follows from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What chance follows from.
    pub seed: u64,
    /// The size of what is fetched.
    pub bytes: u64,
    /// Who takes part. Fetchers know the sources, as by a ticket, and nobody else.
    pub nodes: Vec<NodeSetup>,
    /// How long a packet takes within a site.
    pub delay: Duration,
    /// Lines between sites; all sites are joined by such, each pair by one of its own.
    pub line: Line,
    /// How long a node that has everything goes on serving; for ever, if nothing.
    pub linger: Option<Duration>,
    /// The most connections that a node lets in (`peers_max`).
    pub visitors_max: usize,
    /// How many bytes a relay carries for a connection before that has to be made anew
    /// (`relay.circuit_max`).
    pub circuit_bytes: u64,
    /// What happens when.
    pub faults: Vec<(Duration, Fault)>,
    /// When the right to the snapshot ends, if it does.
    pub rights_end: Option<Duration>,
    /// A bug to be found.
    pub planted: Option<Planted>,
}

impl Setup {
    /// One room: a source and so many receivers, each behind a link of so many bytes a second,
    /// who all begin at once.
    pub fn room(seed: u64, bytes: u64, receivers: usize, rate: f64) -> Self {
        let mut nodes = vec![NodeSetup::source(rate)];
        nodes.resize(receivers + 1, NodeSetup::new(rate));
        Self {
            seed,
            bytes,
            nodes,
            delay: Duration::from_micros(100),
            line: Line {
                rate: mbit(100.0),
                delay: Duration::from_micros(100),
                loss: 0.0,
            },
            linger: Some(Duration::ZERO),
            visitors_max: 256,
            circuit_bytes: 256 * MIB,
            faults: Vec::new(),
            rights_end: None,
            planted: None,
        }
    }

    /// How many sites there are.
    pub fn sites(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| node.site + 1)
            .max()
            .unwrap_or(0)
    }
}
