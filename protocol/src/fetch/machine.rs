//! The fetch machine: takes what happens into the tables, and says what to do.
//!
//! Owns: the face of the machine, and what it means that bytes come, or do not. Peers are in
//! `neighbours`, requests in `assign`. Refuses: preferences, which are the picker's, and
//! the consistency of the tables, which is the ledger's.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::config::FetchConfig;
use super::events::{ChunkEnds, DropReason, Input, Output, State};
use super::ledger::Ledger;
use super::peers::Peer;
use super::quarantine::Quarantine;
use super::run::Run;
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::RequestId;

/// Runs that are looked ahead for each peer, up to the configured bound in all.
const LOOKAHEAD_RUNS_PER_PEER: usize = 64;

/// The machine. See the [module](super) for how it decides.
#[derive(Debug)]
pub struct Fetch {
    pub(super) config: FetchConfig,
    pub(super) ledger: Ledger,
    pub(super) quarantine: Quarantine,
    pub(super) urgent: Vec<Range<u64>>,
    pub(super) no_more_runs: bool,
    /// Counts what happens after which there may be something to ask of any peer that had
    /// nothing, such as work that becomes free.
    pub(super) chances: u64,
    /// How many there were when work was given out last.
    pub(super) chances_seen: u64,
    /// Whether somebody joined since work was given out last.
    pub(super) others_came: bool,
    /// When to look again for what to ask for twice, and whether something came before that.
    pub(super) rescue_again: Option<Instant>,
    pub(super) rescue_is_due: bool,
    pub(super) outputs: VecDeque<Output>,
    state: State,
    repeated_bytes: u64,
    /// When something changes about a peer though nothing happens.
    next_time: Option<Instant>,
    /// Until then nobody can have been silent for too long, or have rested.
    pub(super) quiet_until: Option<Instant>,
}

impl Fetch {
    /// A machine that wants nothing and knows nobody.
    pub fn new(config: FetchConfig) -> Self {
        Self {
            ledger: Ledger::default(),
            quarantine: Quarantine::new(config.bad_chunks_max),
            urgent: Vec::new(),
            no_more_runs: false,
            chances: 0,
            chances_seen: 0,
            others_came: false,
            rescue_again: None,
            rescue_is_due: false,
            next_time: None,
            quiet_until: None,
            outputs: VecDeque::new(),
            state: State::Idle,
            repeated_bytes: 0,
            config,
        }
    }

    /// Takes note of what happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Wanted(run) => self.want(run, Arc::default()),
            Input::WantedChunks(run, ends) => self.want(run, ends),
            Input::Unwanted(run) => {
                if let Some(start) = self.ledger.runs.start_of(run) {
                    self.forget(start, None);
                }
            }
            Input::NoMoreRuns => {
                self.no_more_runs = true;
                self.chances += 1;
            }
            Input::Urgent(ranges) => {
                self.urgent = ranges;
                self.chances += 1;
            }
            Input::PeerJoined {
                peer,
                distance,
                offered,
                is_seed,
            } => {
                let config = &self.config;
                let peer = Peer::new(now, peer, distance, offered, is_seed, config);
                self.join(peer);
            }
            Input::PeerOffers { peer, offered } => self.offer(peer, offered),
            Input::PeerOffersMore { peer, added } => self.offer_more(peer, &added),
            Input::PeerLeft { peer } => self.leave(peer),
            Input::RoundTrip { peer, time } => {
                if let Some(peer) = self.ledger.peers.at_mut(&peer) {
                    peer.pace.measure_round_trip(time, &self.config);
                }
            }
            Input::Heard { peer } => self.hear(now, peer),
            Input::Delivered { peer, range } => self.deliver(now, peer, range),
            Input::BadChunk { peer, range } => self.reject(now, peer, range),
            Input::Ended { peer, request } => self.end(now, peer, request),
            Input::Spoilt { peer, request } => {
                self.hear(now, peer);
                self.ledger.close_of(peer, request);
                self.chances += 1;
            }
            Input::Busy {
                peer,
                request,
                retry,
            } => self.excuse(now, peer, request, retry),
            Input::Timeout => self.chances += 1,
        }
        self.notice_stalls(now);
        self.assign(now);
        self.say_state(now);
        let rescue_again = self.rescue_again.filter(|_| self.rescue_is_due);
        let next_time = self.ledger.peers.next_time(now);
        self.next_time = next_time.into_iter().chain(rescue_again).min();
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
        self.next_time
    }

    /// Whether further runs are welcome.
    pub fn wants_runs(&self) -> bool {
        let several = LOOKAHEAD_RUNS_PER_PEER * self.ledger.peers.len().max(1);
        self.ledger.runs.len() < self.config.lookahead_runs.min(several)
    }

    /// How the fetch is going.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The positions that are waited for because nobody here can send them: nothing unless the
    /// state is to wait for a peer, an offer or an intact copy. Whoever finds them elsewhere
    /// tells so by [`Input::Delivered`], as coming from any peer, known or not.
    pub fn stranded(&self) -> RangeSet {
        self.ledger.stranded(&self.state)
    }

    /// How many bytes came more than once, because two peers were asked for them.
    pub fn repeated_bytes(&self) -> u64 {
        self.repeated_bytes
    }

    fn want(&mut self, run: Run, ends: ChunkEnds) {
        if run.bytes() == 0 {
            self.outputs.push_back(Output::RunDone(run.id));
            return;
        }
        self.no_more_runs = false;
        self.chances += 1;
        self.ledger
            .want(run, ends, self.config.seed, self.config.me);
    }

    fn deliver(&mut self, now: Instant, key: PeerKey, range: Range<u64>) {
        self.hear(now, key);
        if let Some(peer) = self.ledger.peers.at_mut(&key) {
            let bytes = range.end - range.start;
            peer.pace.deliver(now, bytes, &self.config);
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
            let request = self.ledger.requests.at(id);
            if request.is_some_and(|r| r.ranges.is_empty() && r.peer != from) {
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
            let theirs = self.ledger.requests.at(id).map(|request| request.peer);
            if theirs != done {
                self.cancel(id);
                continue;
            }
            self.ledger.close(id);
            if let Some(peer) = done.and_then(|key| self.ledger.peers.at_mut(&key)) {
                peer.praise();
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
        self.chances += 1;
    }

    fn end(&mut self, now: Instant, key: PeerKey, id: RequestId) {
        self.hear(now, key);
        let Some(request) = self.ledger.close_of(key, id) else {
            return;
        };
        let Some(peer) = self.ledger.peers.at_mut(&key) else {
            return;
        };
        if request.ranges.is_empty() {
            peer.praise();
            return;
        }
        self.chances += 1;
        let offered = peer.offered.subtract(&request.ranges);
        self.ledger.offer(key, offered, request.ranges.iter());
    }

    fn say_state(&mut self, now: Instant) {
        let state = self.ledger.state(now);
        if state != self.state {
            self.state = state.clone();
            self.outputs.push_back(Output::State(state));
        }
    }

    pub(super) fn cancel(&mut self, id: RequestId) {
        if let Some(request) = self.ledger.close(id) {
            let peer = request.peer;
            self.outputs.push_back(Output::Cancel { peer, request: id });
        }
    }
}
