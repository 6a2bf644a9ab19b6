//! Runs, requests and peers, and what ties them together.
//!
//! Owns: the invariant that every missing position is free or expected from an open
//! request to a peer that answers, that each peer's counts are those of its requests, and that
//! each run's are those of what peers offer.
//! Refuses: to decide anything, or to tell anybody.

use std::ops::Range;
use std::time::Instant;

use super::events::ChunkEnds;
use super::peers::{Peer, Peers};
use super::picker::Pick;
use super::requests::{Request, Requests};
use super::run::{Run, RunId, Runs};
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::RequestId;

/// The tables of a fetch.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) runs: Runs,
    pub(super) requests: Requests,
    pub(super) peers: Peers,
}

impl Ledger {
    /// Opens a request for what was picked for `key`.
    pub(super) fn open(&mut self, now: Instant, key: PeerKey, pick: &Pick) -> (RequestId, RunId) {
        let id = self.requests.open(Request {
            peer: key,
            run: pick.run,
            ranges: pick.ranges.clone(),
        });
        let wanted = self.runs.at_mut(pick.run).expect("picked from the table");
        wanted.requests.push(id);
        let run = wanted.run.id;
        let peer = self.peers.at_mut(&key).expect("picked for a neighbour");
        peer.ask(now, pick.ranges.total_bytes());
        self.refresh(pick.run);
        (id, run)
    }

    /// Closes a request; what had not come is free again.
    pub(super) fn close(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.close(id)?;
        if let Some(peer) = self.peers.at_mut(&request.peer) {
            peer.close(request.ranges.total_bytes());
        }
        if let Some(wanted) = self.runs.at_mut(request.run) {
            wanted.requests.retain(|open| *open != id);
        }
        self.refresh(request.run);
        Some(request)
    }

    /// Closes a request if it is `key`'s.
    pub(super) fn close_of(&mut self, key: PeerKey, id: RequestId) -> Option<Request> {
        let theirs = self.requests.at(id)?.peer == key;
        theirs.then(|| self.close(id))?
    }

    /// Expects `range` no longer from a request.
    pub(super) fn expect_no_longer(&mut self, id: RequestId, range: Range<u64>) {
        let bytes = self.requests.take(id, range);
        let key = self.requests.at(id).map(|request| request.peer);
        if let Some(peer) = key.and_then(|key| self.peers.at_mut(&key)) {
            peer.expected_bytes -= bytes;
        }
    }

    /// The open requests to a peer.
    pub(super) fn requests_of(&self, key: PeerKey) -> Vec<RequestId> {
        let theirs = self.requests.iter().filter(|(_, r)| r.peer == key);
        theirs.map(|(id, _)| id).collect()
    }

    /// The open requests to stalled peers for some of `ranges` of a run, and whose they are.
    pub(super) fn stalled_on(&self, run: u64, ranges: &RangeSet) -> Vec<(RequestId, PeerKey)> {
        let Some(wanted) = self.runs.at(run) else {
            return Vec::new();
        };
        let open = wanted.requests.iter();
        open.filter_map(|id| Some((*id, self.requests.at(*id)?)))
            .filter(|(_, r)| self.peers.at(&r.peer).is_some_and(|peer| peer.stalled))
            .filter(|(_, r)| !r.ranges.intersect(ranges).is_empty())
            .map(|(id, r)| (id, r.peer))
            .collect()
    }

    /// Works out anew what of a run is free.
    pub(super) fn refresh(&mut self, start: u64) {
        let answers = |r: &Request| self.peers.at(&r.peer).is_some_and(|peer| !peer.stalled);
        self.runs.refresh(start, &self.requests, answers);
    }

    /// The same for all runs that a peer was asked for.
    pub(super) fn refresh_all(&mut self, key: PeerKey) {
        for id in self.requests_of(key) {
            let run = self.requests.at(id).map(|request| request.run);
            run.into_iter().for_each(|start| self.refresh(start));
        }
    }

    /// Takes up a run, and counts who offers it.
    pub(super) fn want(&mut self, run: Run, ends: ChunkEnds, seed: u64, me: Option<PeerKey>) {
        let slot = self.runs.insert(run, ends, seed, me);
        let wanted = self.runs.in_slot(slot).expect("it was just put there");
        for peer in self.peers.iter_mut() {
            let share = peer.share_of(&run);
            peer.shares.set(slot, share);
            wanted.count(peer, share);
        }
    }

    /// Takes up a peer, and counts what it offers.
    pub(super) fn join(&mut self, mut peer: Peer) {
        for (slot, wanted) in self.runs.by_slot() {
            let share = peer.share_of(&wanted.run);
            peer.shares.set(slot, share);
            wanted.count(&peer, share);
        }
        self.peers.insert(peer);
    }

    /// Forgets a peer, and all that was asked of it.
    pub(super) fn leave(&mut self, key: PeerKey) {
        for id in self.requests_of(key) {
            self.close(id);
        }
        let Some(peer) = self.peers.remove(&key) else {
            return;
        };
        for (slot, wanted) in self.runs.by_slot() {
            wanted.uncount(&peer, peer.shares.of(slot));
        }
    }

    /// Takes note that a peer offers this, where that is something else than before at the
    /// positions that `changed`.
    pub(super) fn offer(
        &mut self,
        key: PeerKey,
        offered: RangeSet,
        changed: impl IntoIterator<Item = Range<u64>>,
    ) {
        let Some(peer) = self.peers.at_mut(&key) else {
            return;
        };
        peer.offered = offered;
        count_anew(&mut self.runs, peer, changed);
    }

    /// Takes note that a peer offers this as well.
    pub(super) fn offer_more(&mut self, key: PeerKey, new: &RangeSet) {
        let Some(peer) = self.peers.at_mut(&key) else {
            return;
        };
        new.iter().for_each(|range| peer.offered.insert(range));
        count_anew(&mut self.runs, peer, new.iter());
    }
}

/// Counts what a peer offers now of the runs with positions that `changed`.
fn count_anew(runs: &mut Runs, peer: &mut Peer, changed: impl IntoIterator<Item = Range<u64>>) {
    for range in changed {
        runs.for_each_within(range, |slot, wanted| {
            let (before, share) = (peer.shares.of(slot), peer.share_of(&wanted.run));
            if share != before {
                wanted.uncount(peer, before);
                wanted.count(peer, share);
                peer.shares.set(slot, share);
            }
        });
    }
}
