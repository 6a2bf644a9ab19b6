//! The fetch machine: takes what happens into the tables, and says what to do.
//!
//! Owns: what each input means. Refuses: preferences, which are the picker's, and the
//! consistency of the tables, which is the ledger's.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::config::FetchConfig;
use super::events::{Distance, DropReason, Input, Output, State};
use super::ledger::Ledger;
use super::peers::Peer;
use super::picker::{Pick, Picker};
use super::quarantine::Quarantine;
use super::run::Run;
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::{Outcome, RequestId};

/// Runs that are looked ahead for each peer, up to the configured bound in all.
const LOOKAHEAD_RUNS_PER_PEER: usize = 64;

/// The machine. See the [module](super) for how it decides.
#[derive(Debug)]
pub struct Fetch {
    config: FetchConfig,
    ledger: Ledger,
    quarantine: Quarantine,
    urgent: Vec<Range<u64>>,
    no_more_runs: bool,
    offers_changed: bool,
    outputs: VecDeque<Output>,
    state: State,
    repeated_bytes: u64,
}

impl Fetch {
    /// A machine that wants nothing and knows nobody.
    pub fn new(config: FetchConfig) -> Self {
        Self {
            ledger: Ledger::default(),
            quarantine: Quarantine::new(config.bad_chunks_max),
            urgent: Vec::new(),
            no_more_runs: false,
            offers_changed: false,
            outputs: VecDeque::new(),
            state: State::Idle,
            repeated_bytes: 0,
            config,
        }
    }

    /// Takes note of what happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Wanted(run) => self.want(run),
            Input::Unwanted(run) => {
                if let Some(start) = self.ledger.runs.start_of(run) {
                    self.forget(start, None);
                }
            }
            Input::NoMoreRuns => self.no_more_runs = true,
            Input::Urgent(ranges) => self.urgent = ranges,
            Input::PeerJoined {
                peer,
                distance,
                offered,
            } => self.join(now, peer, distance, offered),
            Input::PeerOffers { peer, offered } => self.offer(peer, |now| *now = offered),
            Input::PeerOffersMore { peer, added } => {
                self.offer(peer, |now| *now = now.union(&added));
            }
            Input::PeerLeft { peer } => self.leave(peer),
            Input::RoundTrip { peer, time } => {
                if let Some(peer) = self.ledger.peers.at_mut(&peer) {
                    peer.pace.measure_round_trip(time);
                }
            }
            Input::Heard { peer } => self.hear(now, peer),
            Input::Delivered { peer, range } => self.deliver(now, peer, range),
            Input::BadChunk { peer, range } => self.reject(now, peer, range),
            Input::Ended {
                peer,
                request,
                outcome,
            } => self.end(now, peer, request, outcome),
            Input::Busy {
                peer,
                request,
                retry,
            } => self.excuse(now, peer, request, retry),
            Input::Timeout => {}
        }
        self.notice_stalls(now);
        self.assign(now);
        self.say_state(now);
    }

    /// What to do next; nothing until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to wake the machine if nothing happens.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.ledger.runs.is_empty() {
            return None;
        }
        let stalls = self
            .ledger
            .peers
            .iter()
            .filter_map(|p| p.stalls_at(&self.config));
        let rests = self.ledger.peers.iter().filter_map(|peer| peer.rest_until);
        stalls.chain(rests).min()
    }

    /// Whether further runs are welcome.
    pub fn wants_runs(&self) -> bool {
        let several = LOOKAHEAD_RUNS_PER_PEER * self.ledger.peers.len().max(1);
        !self.no_more_runs && self.ledger.runs.len() < self.config.lookahead_runs.min(several)
    }

    /// How the fetch is going.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How many bytes came more than once, because two peers were asked for them.
    pub fn repeated_bytes(&self) -> u64 {
        self.repeated_bytes
    }

    fn want(&mut self, run: Run) {
        if run.bytes() == 0 {
            self.outputs.push_back(Output::RunDone(run.id));
            return;
        }
        self.ledger.runs.insert(run, self.config.seed);
        self.ledger.count_offers(run.start);
    }

    fn join(&mut self, now: Instant, key: PeerKey, distance: Distance, offered: RangeSet) {
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
        self.ledger
            .peers
            .insert(Peer::new(now, key, distance, offered));
        self.offers_changed = true;
    }

    fn offer(&mut self, key: PeerKey, change: impl FnOnce(&mut RangeSet)) {
        if let Some(peer) = self.ledger.peers.at_mut(&key) {
            change(&mut peer.offered);
            self.offers_changed = true;
        }
    }

    fn leave(&mut self, key: PeerKey) {
        for id in self.ledger.requests_of(key) {
            self.ledger.close(id);
        }
        self.ledger.peers.remove(&key);
        self.offers_changed = true;
    }

    fn drop_peer(&mut self, key: PeerKey, why: DropReason) {
        self.leave(key);
        self.outputs.push_back(Output::Drop { peer: key, why });
    }

    fn hear(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.ledger.peers.at_mut(&key) else {
            return;
        };
        peer.heard = now;
        if std::mem::take(&mut peer.stalled) {
            self.ledger.refresh_all(key);
        }
    }

    fn deliver(&mut self, now: Instant, key: PeerKey, range: Range<u64>) {
        self.hear(now, key);
        if let Some(peer) = self.ledger.peers.at_mut(&key) {
            peer.pace.deliver(now, range.end - range.start);
        }
        let mut new_bytes = 0;
        let starts: Vec<_> = self.ledger.runs.overlapping(range.clone()).collect();
        for start in starts {
            new_bytes += self.fill(start, key, range.clone());
        }
        self.repeated_bytes += (range.end - range.start) - new_bytes;
    }

    /// Takes note that `range` of the run is here; gives back how much of it was missing.
    fn fill(&mut self, start: u64, from: PeerKey, range: Range<u64>) -> u64 {
        let Some(wanted) = self.ledger.runs.at_mut(start) else {
            return 0;
        };
        let before = wanted.missing.total_bytes();
        wanted.missing.remove(range.clone());
        let left = wanted.missing.total_bytes();
        if left == 0 {
            let run = wanted.run.id;
            self.forget(start, Some(from));
            self.outputs.push_back(Output::RunDone(run));
            return before;
        }
        for id in wanted.requests.clone() {
            self.ledger.expect_no_longer(id, range.clone());
            let over = self
                .ledger
                .requests
                .at(id)
                .is_some_and(|r| r.ranges.is_empty());
            if over && self.ledger.requests.at(id).is_some_and(|r| r.peer != from) {
                self.cancel(id);
            }
        }
        self.ledger.refresh(start);
        before - left
    }

    /// Removes a run, and tells all who still work on it to stop, except `done`, who just
    /// delivered the last of it.
    fn forget(&mut self, start: u64, done: Option<PeerKey>) {
        let Some(wanted) = self.ledger.runs.remove(start) else {
            return;
        };
        for id in wanted.requests {
            if self
                .ledger
                .requests
                .at(id)
                .is_some_and(|r| Some(r.peer) == done)
            {
                if let Some(peer) = done.and_then(|key| self.ledger.peers.at_mut(&key)) {
                    peer.praise();
                }
                self.ledger.close(id);
            } else {
                self.cancel(id);
            }
        }
    }

    fn reject(&mut self, now: Instant, key: PeerKey, range: Range<u64>) {
        self.hear(now, key);
        self.quarantine.note(key, range.clone());
        if self.quarantine.is_unwelcome(&key) {
            if self.ledger.peers.at(&key).is_some() {
                self.drop_peer(key, DropReason::BadChunks);
            }
            return;
        }
        for id in self.ledger.requests_of(key) {
            self.ledger.expect_no_longer(id, range.clone());
        }
        self.ledger.refresh_all(key);
    }

    fn end(&mut self, now: Instant, key: PeerKey, id: RequestId, outcome: Outcome) {
        self.hear(now, key);
        let Some(request) = self.ledger.close_of(key, id) else {
            return;
        };
        let Some(peer) = self.ledger.peers.at_mut(&key) else {
            return;
        };
        if request.ranges.is_empty() {
            peer.praise();
        } else if outcome != Outcome::Cancelled {
            peer.offered = peer.offered.subtract(&request.ranges);
            self.offers_changed = true;
        }
    }

    fn excuse(&mut self, now: Instant, key: PeerKey, id: RequestId, retry: Duration) {
        self.hear(now, key);
        self.ledger.close_of(key, id);
        if let Some(peer) = self.ledger.peers.at_mut(&key) {
            peer.excuse(now, retry);
        }
    }

    fn notice_stalls(&mut self, now: Instant) {
        let late = |peer: &&Peer| peer.stalls_at(&self.config).is_some_and(|at| at <= now);
        let stalled: Vec<_> = self
            .ledger
            .peers
            .iter()
            .filter(late)
            .map(|p| p.key)
            .collect();
        for key in stalled {
            let peer = self.ledger.peers.at_mut(&key).expect("just listed");
            peer.stalled = true;
            peer.pace.stall();
            self.ledger.refresh_all(key);
        }
        let rested = |peer: &&Peer| peer.rest_until.is_some_and(|until| until <= now);
        let rested: Vec<_> = self
            .ledger
            .peers
            .iter()
            .filter(rested)
            .map(|p| p.key)
            .collect();
        for key in rested {
            self.ledger
                .peers
                .at_mut(&key)
                .expect("just listed")
                .rest_until = None;
        }
    }

    /// Gives every peer with room something to do, one run at a time so that all get some.
    fn assign(&mut self, now: Instant) {
        if std::mem::take(&mut self.offers_changed) {
            self.ledger.count_all_offers();
        }
        let mut waiting = self.ledger.peers.by_preference();
        while !waiting.is_empty() {
            waiting.retain(|key| match self.pick(now, key) {
                Some(pick) => {
                    self.ask(now, *key, pick);
                    true
                }
                None => false,
            });
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
        let rescue = || self.no_more_runs.then(|| picker.rescue(peer)).flatten();
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
        let wanted = self
            .ledger
            .runs
            .at(pick.run)
            .expect("picked from the table");
        for id in wanted.requests.clone() {
            let Some(request) = self.ledger.requests.at(id) else {
                continue;
            };
            let key = request.peer;
            let stalled = self.ledger.peers.at(&key).is_some_and(|peer| peer.stalled);
            if stalled && !request.ranges.intersect(&pick.ranges).is_empty() {
                self.cancel(id);
                let peer = self.ledger.peers.at_mut(&key).expect("just seen");
                if peer.requests == 0 {
                    peer.rest(now);
                }
            }
        }
    }

    fn say_state(&mut self, now: Instant) {
        let state = self.ledger.state(now);
        if state != self.state {
            self.state = state.clone();
            self.outputs.push_back(Output::State(state));
        }
    }

    fn cancel(&mut self, id: RequestId) {
        if let Some(request) = self.ledger.close(id) {
            let peer = request.peer;
            self.outputs.push_back(Output::Cancel { peer, request: id });
        }
    }
}
