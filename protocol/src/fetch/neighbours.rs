//! What is done when peers come, go, and change.
//!
//! Owns: who becomes a neighbour and who stops being one. Refuses: what comes from them.

use std::time::{Duration, Instant};

use super::events::{DropReason, Output};
use super::machine::Fetch;
use super::peers::{Peer, REST_MIN};
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
        self.ledger.join(peer);
        self.chances += 1;
        self.others_came = true;
    }

    /// It offers this, and nothing else.
    pub(super) fn offer(&mut self, key: PeerKey, offered: RangeSet) {
        let Some(peer) = self.ledger.peers.at(&key) else {
            return;
        };
        let less = peer.offered.subtract(&offered);
        let more = offered.subtract(&peer.offered);
        self.ledger
            .offer(key, offered, less.iter().chain(more.iter()));
        if !less.is_empty() {
            // Others may be asked for what was left to it.
            self.chances += 1;
        }
        self.note_offers(key);
    }

    /// It offers this as well.
    pub(super) fn offer_more(&mut self, key: PeerKey, added: &RangeSet) {
        let Some(peer) = self.ledger.peers.at(&key) else {
            return;
        };
        let new = added.subtract(&peer.offered);
        self.ledger.offer_more(key, &new);
        self.note_offers(key);
    }

    /// The offer of a peer changed: there may be something to ask of it, and of a seed, to whom
    /// whoever has got a run comes no more.
    fn note_offers(&mut self, key: PeerKey) {
        if let Some(peer) = self.ledger.peers.at_mut(&key) {
            peer.idle_since = None;
        }
        self.ledger.peers.take_up_seeds();
    }

    pub(super) fn leave(&mut self, key: PeerKey) {
        self.ledger.leave(key);
        self.chances += 1;
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
        self.chances += 1;
        self.ledger.close_of(key, id);
        if let Some(peer) = self.ledger.peers.at_mut(&key) {
            peer.excuse(now, retry);
        }
    }

    /// Takes note of who has been silent for too long, and of who has rested.
    pub(super) fn notice_stalls(&mut self, now: Instant) {
        if self.quiet_until.is_some_and(|until| now < until) {
            return;
        }
        let mut stalled = Vec::new();
        for peer in self.ledger.peers.iter_mut() {
            if peer.rest_until.is_some_and(|until| until <= now) {
                peer.rest_until = None;
                self.chances += 1;
            }
            if peer.stalls_at().is_some_and(|at| at <= now) {
                peer.stall(&self.config);
                self.chances += 1;
                stalled.push(peer.key);
            }
        }
        for key in stalled {
            self.ledger.refresh_all(key);
        }
        // Whoever is asked, heard or sent away later is not due before these have passed.
        let later = now + REST_MIN.min(self.config.stall);
        let peers = self.ledger.peers.iter();
        let due = peers.filter_map(|peer| peer.due_at_soonest(self.config.stall));
        self.quiet_until = Some(due.fold(later, Instant::min));
    }
}
