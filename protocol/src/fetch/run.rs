//! The runs that are wanted and not yet whole.
//!
//! Owns: what of each run is missing, and what of that is free to be asked for. Refuses: to
//! know peers; it is told which requests count.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::peers::Peers;
use super::requests::{Request, Requests};
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::RequestId;

/// Runs are shared out by stretches of this length, wherever each node's own runs begin.
const SHARE_BYTES: u64 = 1 << 20;

/// The number of a run, chosen by whoever plans runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// A contiguous stretch of positions that begins and ends where chunks do, at most
/// `limits::RUN_BYTES_MAX` long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// First position.
    pub start: u64,
    /// Position behind the last.
    pub end: u64,
}

impl Run {
    /// Its positions.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// A run that is not whole.
#[derive(Debug)]
pub(super) struct WantedRun {
    pub(super) run: Run,
    /// What was not delivered.
    pub(super) missing: RangeSet,
    /// What is missing and not asked of a peer that answers.
    pub(super) free: RangeSet,
    /// The open requests for parts of it.
    pub(super) requests: Vec<RequestId>,
    /// How many peers offer some of it.
    pub(super) rarity: usize,
    /// How many others are to be given time before this node asks a seed for it: those of who
    /// lack it too that come before, and at least one where some of it has arrived elsewhere.
    pub(super) turn: usize,
    /// Breaks ties between equally rare runs.
    pub(super) tie: u64,
}

impl WantedRun {
    /// Looks at what peers offer of it. Everybody who lacks it comes to the same order of
    /// turns (rendezvous hashing: Thaler and Ravishankar 1998).
    pub(super) fn count_offers(&mut self, peers: &Peers, me: Option<PeerKey>) {
        let place = scatter(self.run.start / SHARE_BYTES);
        let mine = me.map(|me| weight(&me, place));
        let (mut offering, mut before, mut spreads) = (0, 0, false);
        for peer in peers.iter() {
            let offered = peer.offered.within(self.run.range()).next();
            if offered.is_some() {
                offering += 1;
                spreads |= !peer.is_seed;
            }
            let lacks = offered != Some(self.run.range());
            let comes_before = || mine.is_some_and(|mine| weight(&peer.key, place) > mine);
            before += usize::from(lacks && comes_before());
        }
        self.rarity = offering;
        self.turn = before.max(usize::from(spreads && me.is_some()));
    }
}

/// All wanted runs, by their first position.
#[derive(Debug, Default)]
pub(super) struct Runs {
    by_start: BTreeMap<u64, WantedRun>,
    starts: BTreeMap<RunId, u64>,
    free: BTreeSet<u64>,
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.by_start.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// Adds a run. One that overlaps another is our own planner's mistake.
    pub(super) fn insert(&mut self, run: Run, seed: u64) {
        let neighbour = self.overlapping(run.range()).next();
        assert!(neighbour.is_none(), "{run:?} overlaps a wanted run");
        let wanted = WantedRun {
            run,
            missing: RangeSet::of(run.range()),
            free: RangeSet::of(run.range()),
            requests: Vec::new(),
            rarity: 0,
            turn: 0,
            tie: scatter(seed ^ scatter(run.id.0)),
        };
        self.by_start.insert(run.start, wanted);
        self.starts.insert(run.id, run.start);
        self.free.insert(run.start);
    }

    pub(super) fn start_of(&self, id: RunId) -> Option<u64> {
        self.starts.get(&id).copied()
    }

    pub(super) fn at(&self, start: u64) -> Option<&WantedRun> {
        self.by_start.get(&start)
    }

    pub(super) fn at_mut(&mut self, start: u64) -> Option<&mut WantedRun> {
        self.by_start.get_mut(&start)
    }

    pub(super) fn remove(&mut self, start: u64) -> Option<WantedRun> {
        let wanted = self.by_start.remove(&start)?;
        self.starts.remove(&wanted.run.id);
        self.free.remove(&start);
        Some(wanted)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &WantedRun> {
        self.by_start.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut WantedRun> {
        self.by_start.values_mut()
    }

    /// The first positions of the runs that reach into `range`, last first.
    pub(super) fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        self.by_start
            .range(..range.end)
            .rev()
            .take_while(move |(_, wanted)| wanted.run.end > range.start)
            .map(|(start, _)| *start)
    }

    /// The runs of which something is free, in order.
    pub(super) fn free(&self) -> impl Iterator<Item = &WantedRun> {
        self.free
            .iter()
            .filter_map(|start| self.by_start.get(start))
    }

    /// Works out anew what of the run is free, where `counts` says which requests keep
    /// their ranges from others.
    pub(super) fn refresh(
        &mut self,
        start: u64,
        requests: &Requests,
        counts: impl Fn(&Request) -> bool,
    ) {
        let Some(wanted) = self.by_start.get_mut(&start) else {
            return;
        };
        let mut free = wanted.missing.clone();
        let open = wanted.requests.iter().filter_map(|id| requests.at(*id));
        for request in open.filter(|request| counts(request)) {
            free = free.subtract(&request.ranges);
        }
        if free.is_empty() {
            self.free.remove(&start);
        } else {
            self.free.insert(start);
        }
        wanted.free = free;
    }
}

/// How strongly a peer is drawn to a place.
fn weight(peer: &PeerKey, place: u64) -> u64 {
    let (first, _) = peer
        .as_bytes()
        .split_first_chunk()
        .expect("keys are longer");
    scatter(u64::from_le_bytes(*first) ^ place)
}

/// Mixes a number so that neighbours end up far apart (splitmix64, Steele et al. 2014).
fn scatter(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
