//! Who sent what that failed verification.
//!
//! Owns: the memory of it, which outlives connections. Refuses: to judge a first time: one
//! bad chunk can be an honest accident of memory or disk. It is not asked of that peer
//! again, and repeated ones make the peer unwelcome.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::have::RangeSet;
use crate::peer::PeerKey;

/// Peers remembered at most; beyond it the one with the fewest bad chunks is forgotten.
const PEERS_MAX: usize = 1024;

#[derive(Debug, Default)]
struct Record {
    bad: RangeSet,
    count: u32,
}

/// What is known against peers.
#[derive(Debug)]
pub(super) struct Quarantine {
    records: BTreeMap<PeerKey, Record>,
    bad_chunks_max: u32,
    nothing: RangeSet,
}

impl Quarantine {
    pub(super) fn new(bad_chunks_max: u32) -> Self {
        Self {
            records: BTreeMap::new(),
            bad_chunks_max,
            nothing: RangeSet::new(),
        }
    }

    /// Remembers a bad chunk.
    pub(super) fn note(&mut self, peer: PeerKey, chunk: Range<u64>) {
        if self.records.len() >= PEERS_MAX && !self.records.contains_key(&peer) {
            let least = self.records.iter().min_by_key(|(_, record)| record.count);
            let least = least.map(|(peer, _)| *peer);
            least.map(|peer| self.records.remove(&peer));
        }
        let record = self.records.entry(peer).or_default();
        record.bad.insert(chunk);
        record.count += 1;
    }

    /// Whether a peer is not to be dealt with any more.
    pub(super) fn is_unwelcome(&self, peer: &PeerKey) -> bool {
        (self.records.get(peer)).is_some_and(|record| record.count >= self.bad_chunks_max)
    }

    /// What not to ask of a peer.
    pub(super) fn of(&self, peer: &PeerKey) -> &RangeSet {
        self.records.get(peer).map_or(&self.nothing, |r| &r.bad)
    }
}
