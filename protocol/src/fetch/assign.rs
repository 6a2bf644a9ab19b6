//! How work is given out.
//!
//! Owns: the round in which every peer with room gets something, and the taking back from
//! those that stalled. Refuses: what is best for whom, which is the picker's.

use std::time::Instant;

use super::events::Output;
use super::machine::Fetch;
use super::peers::Peer;
use super::picker::{Pick, Picker};
use super::requests::Request;
use super::rescue::{RESCUE_AGAIN, Rescue};

impl Fetch {
    /// Gives every peer with room something to do, one run at a time so that all get some.
    pub(super) fn assign(&mut self, now: Instant) {
        if std::mem::take(&mut self.others_came) {
            self.yield_turns();
        }
        let may_rescue = self.rescue_again.is_none_or(|again| again <= now);
        let mut rescue = Rescue::new(may_rescue);
        let mut waiting = self.with_chance(now, may_rescue);
        while !waiting.is_empty() {
            waiting.retain(|index| match self.pick(now, *index, &mut rescue) {
                Some(pick) => {
                    self.ask(now, *index, pick);
                    rescue.forget();
                    true
                }
                None => {
                    self.note_no_chance(now, *index);
                    false
                }
            });
        }
        if rescue.was_in_vain() {
            self.rescue_again = Some(now + RESCUE_AGAIN);
        }
        self.rescue_is_due = !may_rescue && self.is_end(now);
    }

    /// The indices of the peers that it is worth looking for something to ask of, in order: they have room, and
    /// something happened since they had and there was nothing. At the end that changes with
    /// every byte that comes, also for whoever had nothing to do before the end began.
    fn with_chance(&mut self, now: Instant, may_rescue: bool) -> Vec<usize> {
        let is_end = may_rescue && self.is_end(now);
        let (chances, someone_waits) = (self.chances, !self.urgent.is_empty());
        let has_chance = |peer: &mut Peer| {
            if !is_end && peer.is_idle(now, chances) {
                return false;
            }
            if peer.has_room(now, false) {
                return true;
            }
            let has_more = someone_waits || peer.idle_since.is_some();
            let has_more = has_more && peer.has_room(now, true);
            if has_more && !someone_waits {
                peer.idle_since = None;
            }
            has_more && someone_waits
        };
        let all = is_end || someone_waits || self.chances_seen != chances;
        self.chances_seen = chances;
        self.ledger.peers.by_preference(all, has_chance)
    }

    /// Whether all that is left is asked of somebody.
    fn is_end(&self, now: Instant) -> bool {
        self.no_more_runs && !self.picker(now).is_anything_left()
    }

    /// There is nothing to ask of a peer. If it has room, the time is noted, and if that is only
    /// because it is not this node's turn to ask, since when.
    fn note_no_chance(&mut self, now: Instant, index: usize) {
        let peer = self.ledger.peers.with_index(index);
        let has_room = peer.has_room(now, false);
        let has_spare_time = has_room && self.picker(now).leaves_for_others(peer);
        let peer = self.ledger.peers.with_index_mut(index);
        if has_spare_time {
            peer.note_spare_time(now);
        }
        peer.idle_since = has_room.then_some((self.chances, now));
    }

    /// Takes back what it is another's turn to ask for, now that there are others, as far as
    /// nothing of it came.
    pub(super) fn yield_turns(&mut self) {
        let out_of_turn = |request: &Request| {
            let wanted = self.ledger.runs.at(request.run)?;
            let untouched = request.ranges.total_bytes() == wanted.run.bytes();
            let is_seed = self.ledger.peers.at(&request.peer)?.is_seed;
            (untouched && is_seed && wanted.turn() > 0).then_some(())
        };
        let open = self.ledger.requests.iter();
        let yielded: Vec<_> = open
            .filter_map(|(id, request)| out_of_turn(request).map(|()| id))
            .collect();
        for id in yielded {
            self.cancel(id);
        }
    }

    fn pick(&self, now: Instant, index: usize, rescue: &mut Rescue) -> Option<Pick> {
        let peer = self.ledger.peers.with_index(index);
        let picker = self.picker(now);
        if !self.urgent.is_empty()
            && peer.has_room(now, true)
            && let Some(pick) = picker.urgent(peer)
        {
            return Some(pick);
        }
        if !peer.has_room(now, false) {
            return None;
        }
        let is_end = || self.no_more_runs && !picker.is_anything_left();
        picker.best(peer).or_else(|| {
            let late = is_end().then(|| rescue.late(&picker)).flatten()?;
            picker.rescue(peer, late)
        })
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

    fn ask(&mut self, now: Instant, index: usize, pick: Pick) {
        let key = self.ledger.peers.with_index(index).key;
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
