//! Which part of which run to ask of a given peer.
//!
//! Owns: the order of preference. Refuses: to change anything; it looks at the tables and
//! answers. What is asked for twice at the end is [`rescue`](super::rescue)'s.

use std::ops::Range;
use std::time::Instant;

use super::peers::{Peer, Peers};
use super::quarantine::Quarantine;
use super::requests::Requests;
use super::run::{Runs, WantedRun};
use crate::have::RangeSet;
use crate::wire::limits::RUN_RANGES_MAX;

/// What the picker looks at.
pub(super) struct Picker<'a> {
    pub(super) now: Instant,
    pub(super) runs: &'a Runs,
    pub(super) requests: &'a Requests,
    pub(super) peers: &'a Peers,
    pub(super) quarantine: &'a Quarantine,
    /// What readers wait for, in their order.
    pub(super) urgent: &'a [Range<u64>],
}

/// What to ask for.
#[derive(Debug)]
pub(super) struct Pick {
    /// First position of the run.
    pub(super) run: u64,
    pub(super) ranges: RangeSet,
    pub(super) urgent: bool,
}

impl Picker<'_> {
    /// What a reader waits for and `peer` offers.
    pub(super) fn urgent(&self, peer: &Peer) -> Option<Pick> {
        let mut runs = self.urgent.iter().flat_map(|range| {
            let mut starts: Vec<_> = self.runs.overlapping(range.clone()).collect();
            starts.reverse();
            starts
        });
        runs.find_map(|start| {
            let ranges = self.askable(peer, self.runs.at(start)?);
            (!ranges.is_empty()).then(|| pick(start, ranges, true))
        })
    }

    /// The best run that is free and that `peer` offers.
    pub(super) fn best(&self, peer: &Peer) -> Option<Pick> {
        if self.peers.len() == 1 {
            return self.runs.free().find_map(|wanted| self.offer(peer, wanted));
        }
        let order = |wanted: &&WantedRun| {
            let start = wanted.run.start;
            (wanted.rarity(), wanted.turn(), wanted.tie, start)
        };
        let turns = self.turns(peer);
        let offered = || self.runs.free_within(peer.shares.some());
        let runs = || offered().filter(|wanted| wanted.turn() <= turns);
        let first = runs().min_by_key(order)?;
        self.offer(peer, first).or_else(|| {
            let mut rest: Vec<_> = runs().collect();
            rest.sort_unstable_by_key(order);
            rest.into_iter().find_map(|wanted| self.offer(peer, wanted))
        })
    }

    /// How many turns of others are over. Runs with more of them are left for those to ask a
    /// seed for, from whom they can be had soon: else the seed would send them to everybody.
    fn turns(&self, peer: &Peer) -> usize {
        match peer.is_seed {
            true => peer.turns_over(self.now),
            false => usize::MAX,
        }
    }

    /// Whether there is something that `peer` offers and that is left for others.
    pub(super) fn leaves_for_others(&self, peer: &Peer) -> bool {
        if !peer.is_seed || self.peers.len() == 1 {
            return false;
        }
        let turns = self.turns(peer);
        let offered = self.runs.free_within(peer.shares.some());
        let mut deferred = offered.filter(|wanted| wanted.turn() > turns);
        let is_all = !self.peers.has_nearer(peer) && self.quarantine.of(&peer.key).is_empty();
        deferred.any(|wanted| match is_all {
            true => peer.offers_of(&wanted.free),
            false => self.offer(peer, wanted).is_some(),
        })
    }

    fn offer(&self, peer: &Peer, wanted: &WantedRun) -> Option<Pick> {
        let ranges = self.askable(peer, wanted);
        (!ranges.is_empty()).then(|| pick(wanted.run.start, ranges, false))
    }

    /// What of a run can be asked of `peer`: free, on offer, not found wrong before, and
    /// not a nearer peer's to deliver.
    fn askable(&self, peer: &Peer, wanted: &WantedRun) -> RangeSet {
        let offered = peer.offered.within(wanted.run.range()).next();
        if wanted.free.is_empty() || offered.is_none() {
            return RangeSet::new();
        }
        let mut ranges = self.trusted(peer, wanted, &wanted.free);
        if ranges.is_empty() || !self.peers.has_nearer(peer) {
            return ranges;
        }
        let nearer = self
            .peers
            .iter()
            .filter(|other| other.goes_before(peer, self.now));
        for other in nearer.filter(|other| other.is_live(self.now)) {
            if ranges.is_empty() {
                break;
            }
            ranges = ranges.subtract(&self.trusted(other, wanted, &ranges));
        }
        ranges
    }

    /// What of `ranges` of a run a peer offers, in whole chunks, and did not send wrong before.
    pub(super) fn trusted(&self, peer: &Peer, wanted: &WantedRun, ranges: &RangeSet) -> RangeSet {
        let offered = wanted.whole_chunks(ranges.intersect(&peer.offered));
        match self.quarantine.of(&peer.key) {
            bad if bad.is_empty() => offered,
            bad => offered.subtract(bad),
        }
    }

    /// Whether something can be asked for, of anybody.
    pub(super) fn is_anything_left(&self) -> bool {
        self.runs.is_any_free(|wanted| wanted.rarity() > 0)
    }
}

/// A request names a bounded number of ranges; the rest is asked for next time.
pub(super) fn pick(run: u64, ranges: RangeSet, urgent: bool) -> Pick {
    let ranges = match ranges.range_count() {
        0..=RUN_RANGES_MAX => ranges,
        _ => ranges.iter().take(RUN_RANGES_MAX).collect(),
    };
    Pick {
        run,
        ranges,
        urgent,
    }
}
