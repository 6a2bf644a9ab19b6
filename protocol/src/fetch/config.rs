//! What can be chosen about fetching.

use std::time::Duration;

use crate::peer::PeerKey;
use crate::wire::limits;

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
    /// This node. Those who fetch the same share the runs out between them by their keys, so
    /// that a source sends each of them something else.
    pub me: Option<PeerKey>,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            window_bytes_initial: 4 << 20,
            window_bytes_max: 32 << 20,
            window_slack: Duration::from_millis(250),
            stall: Duration::from_secs(3),
            neighbours_max: limits::NEIGHBOURS_MAX,
            bad_chunks_max: 3,
            lookahead_runs: 256,
            seed: 0,
            me: None,
        }
    }
}
