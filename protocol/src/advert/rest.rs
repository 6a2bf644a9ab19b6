//! Peers that are left alone for a while.
//!
//! Owns: for how long, and the bound of how many are remembered. Refuses: what becomes of
//! what they should have been sent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::peer::PeerKey;

/// The most peers that are remembered; beyond them the one whose rest ends first is forgotten.
const RESTING_MAX: usize = 1024;
/// The longest rest after failures.
const REST_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Resting {
    peers: BTreeMap<PeerKey, Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    failures: u32,
}

impl Resting {
    /// Until when a peer is left alone, if it is.
    pub(super) fn until(&self, now: Instant, peer: &PeerKey) -> Option<Instant> {
        let rest = self.peers.get(peer)?;
        (rest.until > now).then_some(rest.until)
    }

    /// A peer failed again: it rests for `first`, then for four times as long, and so on.
    pub(super) fn fail(&mut self, now: Instant, peer: PeerKey, first: Duration) {
        let failures = self.peers.get(&peer).map_or(0, |rest| rest.failures);
        let time = first.saturating_mul(4u32.saturating_pow(failures));
        self.put(peer, now + time.min(REST_MAX), failures.saturating_add(1));
    }

    /// A peer asked to be left alone.
    pub(super) fn wish(&mut self, now: Instant, peer: PeerKey, time: Duration) {
        self.put(peer, now + time.min(REST_MAX), 0);
    }

    /// A peer answered as it should.
    pub(super) fn praise(&mut self, peer: &PeerKey) {
        self.peers.remove(peer);
    }

    fn put(&mut self, peer: PeerKey, until: Instant, failures: u32) {
        self.peers.insert(peer, Rest { until, failures });
        if self.peers.len() > RESTING_MAX {
            let first = self.peers.iter().min_by_key(|(_, rest)| rest.until);
            let first = *first.expect("there are many").0;
            self.peers.remove(&first);
        }
    }
}
