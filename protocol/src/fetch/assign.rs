//! How work is given out.
//!
//! Owns: the round in which every peer with room gets something, and the taking back from
//! those that stalled. Refuses: what is best for whom, which is the picker's.

use std::time::Instant;

use super::events::Output;
use super::machine::{Fetch, OffersChanged};
use super::picker::{Pick, Picker};
use super::requests::Request;
use crate::peer::PeerKey;

impl Fetch {
    /// Gives every peer with room something to do, one run at a time so that all get some.
    pub(super) fn assign(&mut self, now: Instant) {
        match std::mem::replace(&mut self.offers_changed, OffersChanged::Nowhere) {
            OffersChanged::Nowhere => {}
            OffersChanged::Within(changed) => {
                self.ledger.count_offers_within(&changed, self.config.me);
            }
            OffersChanged::All => self.ledger.count_all_offers(self.config.me),
        }
        if std::mem::take(&mut self.others_came) {
            self.yield_turns();
        }
        let mut waiting = self.ledger.peers.by_preference();
        let is_end = self.is_end(now);
        waiting.retain(|key| self.has_chance(now, key, is_end));
        while !waiting.is_empty() {
            waiting.retain(|key| match self.pick(now, key) {
                Some(pick) => {
                    self.ask(now, *key, pick);
                    true
                }
                None => {
                    self.note_spare_time(now, key);
                    self.note_no_chance(now, key);
                    false
                }
            });
        }
    }

    /// Whether it is worth looking for something to ask of a peer: it has room, and something
    /// happened since it had and there was nothing. At the end that changes with every byte that
    /// comes, also for whoever had nothing to do before the end began.
    fn has_chance(&self, now: Instant, key: &PeerKey, is_end: bool) -> bool {
        let peer = self.ledger.peers.at(key);
        peer.is_some_and(|peer| {
            let may = is_end || !peer.is_idle(now, self.chances);
            may && peer.has_room(now, &self.config, true)
        })
    }

    /// Whether all that is left is asked of somebody.
    fn is_end(&self, now: Instant) -> bool {
        self.no_more_runs && !self.picker(now).is_anything_left()
    }

    /// There is nothing to ask of a peer that has room.
    fn note_no_chance(&mut self, now: Instant, key: &PeerKey) {
        let chances = self.chances;
        if let Some(peer) = self.ledger.peers.at_mut(key) {
            let has_room = peer.has_room(now, &self.config, false);
            peer.idle_since = has_room.then_some((chances, now));
        }
    }

    /// Notes since when a peer could do more, if only it were this node's turn to ask.
    fn note_spare_time(&mut self, now: Instant, key: &PeerKey) {
        let Some(peer) = self.ledger.peers.at(key) else {
            return;
        };
        let has_room = peer.has_room(now, &self.config, false);
        let spare = has_room && self.picker(now).leaves_for_others(peer);
        if let Some(peer) = self.ledger.peers.at_mut(key).filter(|_| spare) {
            peer.note_spare_time(now);
        }
    }

    /// Takes back what it is another's turn to ask for, now that there are others, as far as
    /// nothing of it came.
    pub(super) fn yield_turns(&mut self) {
        let out_of_turn = |request: &Request| {
            let wanted = self.ledger.runs.at(request.run)?;
            let untouched = request.ranges.total_bytes() == wanted.run.bytes();
            let is_seed = self.ledger.peers.at(&request.peer)?.is_seed;
            (untouched && is_seed && wanted.turn > 0).then_some(())
        };
        let open = self.ledger.requests.iter();
        let yielded: Vec<_> = open
            .filter_map(|(id, request)| out_of_turn(request).map(|()| id))
            .collect();
        for id in yielded {
            self.cancel(id);
        }
    }

    fn pick(&self, now: Instant, key: &PeerKey) -> Option<Pick> {
        let peer = self.ledger.peers.at(key)?;
        let picker = self.picker(now);
        if peer.has_room(now, &self.config, true)
            && let Some(pick) = picker.urgent(peer)
        {
            return Some(pick);
        }
        if !peer.has_room(now, &self.config, false) {
            return None;
        }
        let is_end = || self.no_more_runs && !picker.is_anything_left();
        let rescue = || is_end().then(|| picker.rescue(peer)).flatten();
        picker.best(peer).or_else(rescue)
    }

    fn picker(&self, now: Instant) -> Picker<'_> {
        Picker {
            now,
            runs: &self.ledger.runs,
            requests: &self.ledger.requests,
            peers: &self.ledger.peers,
            quarantine: &self.quarantine,
            urgent: &self.urgent,
        }
    }

    fn ask(&mut self, now: Instant, key: PeerKey, pick: Pick) {
        self.take_back(now, &pick);
        let (request, run) = self.ledger.open(now, key, &pick);
        self.outputs.push_back(Output::Request {
            peer: key,
            request,
            run,
            ranges: pick.ranges,
            urgent: pick.urgent,
        });
    }

    /// Cancels what stalled peers were asked of these ranges. What came from them before
    /// stays, and so does what comes still.
    fn take_back(&mut self, now: Instant, pick: &Pick) {
        for (id, key) in self.ledger.stalled_on(pick.run, &pick.ranges) {
            self.cancel(id);
            let peer = self.ledger.peers.at_mut(&key);
            if let Some(peer) = peer.filter(|peer| peer.requests == 0) {
                peer.rest(now);
            }
        }
    }
}
