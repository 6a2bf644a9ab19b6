//! What can be chosen about advertising and searching.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::peer::PeerKey;

/// So many of the connected members have to do with a key before it is known who is closest to
/// it. Where all are connected with all, as in most teams, those who are told and those who are
/// asked are the same.
const MET_MAX: usize = 8;

/// What can be chosen about advertising.
#[derive(Debug, Clone)]
pub struct AdvertConfig {
    /// How many peers each key is sent to: those closest to it.
    pub copies: usize,
    /// How many peers a lookup gives, if there are so many. Kademlia's bucket size.
    pub lookup_peers: usize,
    /// The most keys that are announced at once; others wait for the sweep.
    pub announced_max: usize,
    /// So many members that are connected are told of an announced key while it is looked up who
    /// is closest to it: as many as a search asks meanwhile ([`SearchConfig::met_max`]).
    pub greeted_max: usize,
    /// The most announced keys that they are told of at a time.
    pub greeted_keys_max: usize,
    /// The most new keys that are collected; if more come, a sweep begins early instead.
    pub new_keys_max: usize,
    /// How long new keys are collected before they are sent, if none were sent lately,
    pub new_keys_delay: Duration,
    /// and so long after the last were sent at the earliest.
    pub new_keys_pause: Duration,
    /// The most keys of the sweep that are in memory. Each costs 16 bytes, and 16 more for
    /// each of its copies that is on its way.
    pub loaded_keys_max: usize,
    /// The most keys in one batch.
    pub batch_keys_max: usize,
    /// The most batches that are on their way, each to another peer, those left out that take
    /// long;
    pub open_max: usize,
    /// and the most with those.
    pub open_all_max: usize,
    /// A batch takes long that is not acknowledged for this time: others need not wait for it.
    pub ack_soon: Duration,
    /// While so many announced and new keys wait to be sent, each copy counted, no more are
    /// planned.
    pub urgent_keys_max: usize,
    /// Bytes a second that are sent at most, on average over some batches.
    pub bytes_per_s: u64,
    /// A batch that is not acknowledged for so long has failed.
    pub ack_timeout: Duration,
    /// A lookup that is not answered for so long has failed.
    pub lookup_timeout: Duration,
    /// A batch that failed is sent again after this, then after four times this, and so on.
    pub retry: Duration,
    /// So often a batch is sent before it is given up until the next sweep.
    pub attempts_max: u32,
    /// The most keys, counted once for each copy, that wait to be sent again. Each costs 16
    /// bytes. What is more is given up until the next sweep.
    pub retry_keys_max: usize,
    /// For how long a region's peers are believed to be those that a lookup told.
    pub region_age_max: Duration,
    /// From the beginning of one sweep to that of the next, until churn is known.
    pub interval: Duration,
    /// The shortest such time.
    pub interval_min: Duration,
    /// The longest such time. Twice this is what receivers keep at most.
    pub interval_max: Duration,
    /// This node: it needs not be told what it has.
    pub me: Option<PeerKey>,
    /// Lookups ask for made-up keys, which follow from this; give each node its own.
    pub seed: u64,
}

impl Default for AdvertConfig {
    fn default() -> Self {
        Self {
            copies: 20,
            lookup_peers: 20,
            announced_max: 1000,
            greeted_max: MET_MAX,
            greeted_keys_max: 16,
            new_keys_max: 16_384,
            new_keys_delay: Duration::from_millis(200),
            new_keys_pause: Duration::from_secs(120),
            loaded_keys_max: 16_384,
            batch_keys_max: super::BATCH_KEYS_MAX,
            open_max: 4,
            open_all_max: 16,
            ack_soon: Duration::from_secs(2),
            urgent_keys_max: 4096,
            bytes_per_s: 256 << 10,
            ack_timeout: Duration::from_secs(30),
            lookup_timeout: Duration::from_secs(60),
            retry: Duration::from_secs(30),
            attempts_max: 4,
            retry_keys_max: 65_536,
            region_age_max: Duration::from_secs(1800),
            interval: Duration::from_secs(12 * 3600),
            interval_min: Duration::from_secs(3600),
            interval_max: Duration::from_secs(24 * 3600),
            me: None,
            seed: 0,
        }
    }
}

/// What can be chosen about a search.
#[derive(Debug, Clone)]
pub struct SearchConfig {
    /// So many different providers are enough.
    pub wanted: usize,
    /// How many peers are asked at a time (Kademlia's α).
    pub parallel: usize,
    /// The most peers that are asked in all.
    pub asked_max: usize,
    /// The most keys whose surroundings are looked up; further keys are only asked for.
    pub lookups_max: usize,
    /// The most peers that are asked because they are connected, not because a lookup named
    /// them.
    pub met_max: usize,
    /// Who does not answer for so long is silent: the next is asked as well. How long it is
    /// within these bounds follows from what answers take.
    pub hedge: RangeInclusive<Duration>,
    /// A peer or lookup that does not answer for so long never will.
    pub timeout: Duration,
    /// This node is not asked.
    pub me: Option<PeerKey>,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            wanted: 16,
            parallel: 3,
            asked_max: 64,
            lookups_max: 8,
            met_max: MET_MAX,
            hedge: Duration::from_millis(50)..=Duration::from_secs(2),
            timeout: Duration::from_secs(10),
            me: None,
        }
    }
}
