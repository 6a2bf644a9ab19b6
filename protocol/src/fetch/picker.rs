//! Which part of which run to ask of a given peer.
//!
//! Owns: the order of preference, and the rule for asking twice at the end. Refuses: to
//! change anything; it looks at the tables and answers.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::peers::{Peer, Peers};
use super::quarantine::Quarantine;
use super::requests::Requests;
use super::run::{Runs, WantedRun};
use crate::have::RangeSet;
use crate::wire::limits::RUN_RANGES_MAX;

/// Asking twice must save at least this much time.
const RESCUE_MIN: Duration = Duration::from_millis(100);
/// What an idle peer is taken to need while nothing is known of it.
const UNMEASURED: Duration = Duration::from_secs(1);
/// The most peers that are asked for the same bytes.
const COPIES_MAX: usize = 2;

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
    fn trusted(&self, peer: &Peer, wanted: &WantedRun, ranges: &RangeSet) -> RangeSet {
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

    /// What to ask of `peer` although another was asked, because that one will take longer:
    /// the last request of whoever needs the most time.
    pub(super) fn rescue(&self, peer: &Peer) -> Option<Pick> {
        let is_helped = |time: Duration, late: Duration| time + time / 2 + RESCUE_MIN < late;
        // Most of the time nobody takes so long, and then this is all.
        let least = self.time_for(peer, 0)?;
        let others = self.peers.iter().filter(|other| other.key != peer.key);
        let others = others.filter(|other| other.requests > 0);
        let late: BTreeMap<_, _> = others
            .map(|other| (other.key, self.time_left(other)))
            .filter(|(_, late)| is_helped(least, *late))
            .collect();
        if late.is_empty() {
            return None;
        }
        let open = self.requests.iter();
        let mut open: Vec<_> = open
            .filter_map(|(id, request)| Some((*late.get(&request.peer)?, id, request)))
            .collect();
        open.sort_unstable_by_key(|(late, id, _)| Reverse((*late, *id)));
        open.into_iter().find_map(|(late, _, request)| {
            let wanted = self.runs.at(request.run)?;
            let ranges = self.trusted(peer, wanted, &request.ranges);
            let time = self.time_for(peer, ranges.total_bytes())?;
            let helps = is_helped(time, late)
                && !ranges.is_empty()
                && self.copies(peer, wanted, &ranges) < COPIES_MAX;
            helps.then(|| pick(request.run, ranges, false))
        })
    }

    /// How long a peer will take for all that was asked of it.
    fn time_left(&self, peer: &Peer) -> Duration {
        (peer.pace).time_left_for(self.now, peer.expected_bytes)
    }

    /// How long `peer` will take for so much more. One that was never measured is given a
    /// try when it has nothing else to do.
    fn time_for(&self, peer: &Peer, bytes: u64) -> Option<Duration> {
        let measured = peer.pace.time_for(peer.expected_bytes + bytes);
        measured.or((peer.requests == 0).then_some(UNMEASURED))
    }

    /// How many peers were asked for some of `ranges` and do send something; too many if `peer`
    /// is one of those who were asked.
    fn copies(&self, peer: &Peer, wanted: &WantedRun, ranges: &RangeSet) -> usize {
        let open = wanted
            .requests
            .iter()
            .filter_map(|id| self.requests.at(*id));
        let holders = open.filter(|request| !request.ranges.intersect(ranges).is_empty());
        holders
            .map(|request| {
                let holder = self.peers.at(&request.peer);
                let sends = holder.is_some_and(|holder| !holder.is_unproductive(self.now));
                match request.peer == peer.key {
                    true => COPIES_MAX,
                    false => usize::from(sends),
                }
            })
            .sum()
    }
}

/// A request names a bounded number of ranges; the rest is asked for next time.
fn pick(run: u64, ranges: RangeSet, urgent: bool) -> Pick {
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
