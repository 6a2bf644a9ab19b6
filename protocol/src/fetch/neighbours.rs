//! What is done when peers come, go, and change.
//!
//! Owns: who becomes a neighbour and who stops being one. Refuses: what comes from them.

use std::time::{Duration, Instant};

use super::events::{DropReason, Output};
use super::machine::{Fetch, OffersChanged};
use super::peers::Peer;
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::RequestId;

impl Fetch {
    pub(super) fn join(&mut self, peer: Peer) {
        let (key, distance) = (peer.key, peer.distance);
        self.leave(key);
        let refuse = |why| Output::Drop { peer: key, why };
        if self.quarantine.is_unwelcome(&key) {
            self.outputs.push_back(refuse(DropReason::BadChunks));
            return;
        }
        if self.ledger.peers.len() >= self.config.neighbours_max {
            let Some(worse) = self.ledger.peers.worse_than(distance) else {
                self.outputs.push_back(refuse(DropReason::TooMany));
                return;
            };
            self.drop_peer(worse, DropReason::TooMany);
        }
        self.ledger.peers.insert(peer);
        self.offers_changed = OffersChanged::All;
        self.others_came = true;
    }

    pub(super) fn offer(&mut self, key: PeerKey, change: impl FnOnce(&mut RangeSet)) {
        if let Some(peer) = self.ledger.peers.at_mut(&key) {
            let before = peer.offered.clone();
            change(&mut peer.offered);
            let changed = peer.offered.subtract(&before);
            let changed = changed.union(&before.subtract(&peer.offered));
            self.offers_changed.note(&changed);
        }
    }

    pub(super) fn leave(&mut self, key: PeerKey) {
        for id in self.ledger.requests_of(key) {
            self.ledger.close(id);
        }
        self.ledger.peers.remove(&key);
        self.offers_changed = OffersChanged::All;
    }

    pub(super) fn drop_peer(&mut self, key: PeerKey, why: DropReason) {
        self.leave(key);
        self.outputs.push_back(Output::Drop { peer: key, why });
    }

    pub(super) fn hear(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.ledger.peers.at_mut(&key) else {
            return;
        };
        peer.heard = now;
        if std::mem::take(&mut peer.stalled) {
            self.ledger.refresh_all(key);
        }
    }

    pub(super) fn excuse(&mut self, now: Instant, key: PeerKey, id: RequestId, retry: Duration) {
        self.hear(now, key);
        self.ledger.close_of(key, id);
        if let Some(peer) = self.ledger.peers.at_mut(&key) {
            peer.excuse(now, retry);
        }
    }

    /// Takes note of who has been silent for too long, and of who has rested.
    pub(super) fn notice_stalls(&mut self, now: Instant) {
        let mut stalled = Vec::new();
        for peer in self.ledger.peers.iter_mut() {
            if peer.rest_until.is_some_and(|until| until <= now) {
                peer.rest_until = None;
                self.chances += 1;
            }
            if peer.stalls_at(&self.config).is_some_and(|at| at <= now) {
                peer.stall();
                self.chances += 1;
                stalled.push(peer.key);
            }
        }
        for key in stalled {
            self.ledger.refresh_all(key);
        }
    }
}
