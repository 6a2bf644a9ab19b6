//! What to tell whoever watches.
//!
//! Owns: the reading of the tables into one [`State`]. Refuses: to change them.

use std::time::Instant;

use super::events::{State, Waiting};
use super::ledger::Ledger;
use crate::have::RangeSet;

impl Ledger {
    /// How the fetch is going.
    pub(super) fn state(&self, now: Instant) -> State {
        if self.runs.is_empty() {
            return State::Idle;
        }
        if self.peers.iter().any(|p| p.requests > 0 && !p.stalled) {
            return State::Fetching;
        }
        State::Waiting(self.waiting(now))
    }

    /// What is missing and nobody here offers, or only those who sent it wrong: nothing as long
    /// as anything else is waited for.
    pub(super) fn stranded(&self, state: &State) -> RangeSet {
        match state {
            State::Waiting(Waiting::Offer { .. }) => self.unoffered(),
            State::Waiting(Waiting::Peer | Waiting::IntactCopy { .. }) => self.missing(),
            State::Idle | State::Fetching | State::Waiting(_) => RangeSet::default(),
        }
    }

    fn missing(&self) -> RangeSet {
        self.runs.iter().flat_map(|w| w.missing.iter()).collect()
    }

    fn unoffered(&self) -> RangeSet {
        let peers = self.peers.iter();
        peers.fold(self.missing(), |left, peer| left.subtract(&peer.offered))
    }

    fn waiting(&self, now: Instant) -> Waiting {
        let silent = self.peers.iter().filter(|peer| peer.requests > 0);
        if let Some(peer) = silent.min_by_key(|peer| peer.heard) {
            let (peer, since) = (peer.key, peer.heard);
            return Waiting::SilentPeer { peer, since };
        }
        if self.peers.len() == 0 {
            return Waiting::Peer;
        }
        let resting = self.peers.iter().filter(|peer| !peer.is_live(now));
        if let Some(until) = resting.filter_map(|peer| peer.rest_until).min() {
            return Waiting::BusyPeer { until };
        }
        let unoffered = self.unoffered();
        if unoffered.is_empty() {
            let bytes = self.missing().total_bytes();
            return Waiting::IntactCopy { bytes };
        }
        let bytes = unoffered.total_bytes();
        Waiting::Offer { bytes }
    }
}
