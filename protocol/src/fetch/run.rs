//! The runs that are wanted and not yet whole.
//!
//! Owns: what of each run is missing, and what of that is free to be asked for. Refuses: to
//! know peers; it is told which requests count.

use std::collections::BTreeMap;
use std::ops::Range;

use super::events::ChunkEnds;
use super::offers::{Share, Slots};
use super::peers::Peer;
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
    /// Where its chunks end; nothing if any position may be such an end.
    ends: ChunkEnds,
    /// What was not delivered.
    pub(super) missing: RangeSet,
    /// What is missing and not asked of a peer that answers.
    pub(super) free: RangeSet,
    /// The open requests for parts of it.
    pub(super) requests: Vec<RequestId>,
    /// Breaks ties between equally rare runs.
    pub(super) tie: u64,
    /// How many peers offer some of it,
    offering: usize,
    /// how many of those fetch it too,
    spreading: usize,
    /// and how many peers lack some of it and come before this node. Everybody who lacks it comes
    /// to the same order (rendezvous hashing: Thaler and Ravishankar 1998).
    before: usize,
    /// What draws peers to it, and how strongly this node is drawn, if it has a key.
    place: u64,
    mine: Option<u64>,
}

impl WantedRun {
    /// How many peers offer some of it.
    pub(super) fn rarity(&self) -> usize {
        self.offering
    }

    /// How many others are to be given time before this node asks a seed for it: those of who
    /// lack it too that come before, and at least one where some of it has arrived elsewhere.
    pub(super) fn turn(&self) -> usize {
        let spreads = self.spreading > 0 && self.mine.is_some();
        self.before.max(usize::from(spreads))
    }

    /// What of these positions are whole chunks. A part of one can be neither sent nor verified:
    /// whoever is asked for it ends without a word, as if it had lost it.
    pub(super) fn whole_chunks(&self, ranges: RangeSet) -> RangeSet {
        if self.ends.is_empty() || ranges.contains_range(self.run.range()) {
            return ranges;
        }
        let (start, ends) = (self.run.start, &self.ends);
        let behind =
            |position: u64| match ends.partition_point(|end| start + u64::from(*end) < position) {
                _ if position <= start => start,
                at => ends
                    .get(at)
                    .map_or(self.run.end, |end| start + u64::from(*end)),
            };
        let before = |position: u64| {
            let count = ends.partition_point(|end| start + u64::from(*end) <= position);
            count
                .checked_sub(1)
                .map_or(start, |at| start + u64::from(ends[at]))
        };
        let whole = ranges
            .iter()
            .map(|range| behind(range.start)..before(range.end));
        whole.filter(|range| range.start < range.end).collect()
    }

    /// Counts a peer who offers so much of it.
    pub(super) fn count(&mut self, peer: &Peer, share: Share) {
        let [offering, spreading, before] = self.counts(peer, share);
        self.offering += offering;
        self.spreading += spreading;
        self.before += before;
    }

    /// Does not count it any more.
    pub(super) fn uncount(&mut self, peer: &Peer, share: Share) {
        let [offering, spreading, before] = self.counts(peer, share);
        self.offering -= offering;
        self.spreading -= spreading;
        self.before -= before;
    }

    /// Whether it is a peer's turn to ask for it before it is this node's.
    pub(super) fn comes_before(&self, peer: &Peer) -> bool {
        self.mine
            .is_some_and(|mine| weight(&peer.key, self.place) > mine)
    }

    /// What a peer is counted for.
    fn counts(&self, peer: &Peer, share: Share) -> [usize; 3] {
        let offers = share != Share::Nothing;
        let is_before = share != Share::All && self.comes_before(peer);
        [offers, offers && !peer.is_seed, is_before].map(usize::from)
    }
}

/// All wanted runs, each in a slot of its own, which is used again when it is gone.
#[derive(Debug, Default)]
pub(super) struct Runs {
    slots: Vec<Option<WantedRun>>,
    vacant: Vec<usize>,
    by_start: BTreeMap<u64, usize>,
    starts: BTreeMap<RunId, u64>,
    /// The slots of runs of which something is free.
    free: Slots,
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.by_start.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// Adds a run and gives its slot. One that overlaps another is our own planner's mistake.
    pub(super) fn insert(
        &mut self,
        run: Run,
        ends: ChunkEnds,
        seed: u64,
        me: Option<PeerKey>,
    ) -> usize {
        let neighbour = self.overlapping(run.range()).next();
        assert!(neighbour.is_none(), "{run:?} overlaps a wanted run");
        let place = scatter(run.start / SHARE_BYTES);
        let wanted = WantedRun {
            run,
            ends,
            missing: RangeSet::of(run.range()),
            free: RangeSet::of(run.range()),
            requests: Vec::new(),
            tie: scatter(seed ^ scatter(run.id.0)),
            offering: 0,
            spreading: 0,
            before: 0,
            place,
            mine: me.map(|me| weight(&me, place)),
        };
        let slot = self.vacant.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(wanted);
        self.by_start.insert(run.start, slot);
        self.starts.insert(run.id, run.start);
        self.free.set(slot, true);
        slot
    }

    pub(super) fn start_of(&self, id: RunId) -> Option<u64> {
        self.starts.get(&id).copied()
    }

    pub(super) fn at(&self, start: u64) -> Option<&WantedRun> {
        self.slots[*self.by_start.get(&start)?].as_ref()
    }

    /// A run and its slot.
    pub(super) fn with_slot(&self, start: u64) -> Option<(usize, &WantedRun)> {
        let slot = *self.by_start.get(&start)?;
        Some((slot, self.slots[slot].as_ref()?))
    }

    pub(super) fn at_mut(&mut self, start: u64) -> Option<&mut WantedRun> {
        self.slots[*self.by_start.get(&start)?].as_mut()
    }

    pub(super) fn remove(&mut self, start: u64) -> Option<WantedRun> {
        let slot = self.by_start.remove(&start)?;
        let wanted = self.slots[slot].take()?;
        self.vacant.push(slot);
        self.starts.remove(&wanted.run.id);
        self.free.set(slot, false);
        Some(wanted)
    }

    /// All runs, in order of position.
    pub(super) fn iter(&self) -> impl Iterator<Item = &WantedRun> {
        let slots = self.by_start.values();
        slots.filter_map(|slot| self.slots[*slot].as_ref())
    }

    /// All runs with their slots, in any order.
    pub(super) fn by_slot(&mut self) -> impl Iterator<Item = (usize, &mut WantedRun)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(slot, wanted)| Some((slot, wanted.as_mut()?)))
    }

    /// The run in a slot.
    pub(super) fn in_slot(&mut self, slot: usize) -> Option<&mut WantedRun> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Goes through the runs that reach into `range`, last first.
    pub(super) fn for_each_within(
        &mut self,
        range: Range<u64>,
        mut each: impl FnMut(usize, &mut WantedRun),
    ) {
        for (_, slot) in self.by_start.range(..range.end).rev() {
            match self.slots[*slot].as_mut() {
                Some(wanted) if wanted.run.end > range.start => each(*slot, wanted),
                _ => break,
            }
        }
    }

    /// The first positions of the runs that reach into `range`, last first.
    pub(super) fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let reaches = move |slot: usize| {
            let wanted = self.slots[slot].as_ref();
            wanted.is_some_and(|wanted| wanted.run.end > range.start)
        };
        let before = self.by_start.range(..range.end).rev();
        let reaching = before.take_while(move |(_, slot)| reaches(**slot));
        reaching.map(|(start, _)| *start)
    }

    /// The runs of which something is free, in order of position.
    pub(super) fn free(&self) -> impl Iterator<Item = &WantedRun> {
        let slots = self.by_start.values();
        let free = slots.filter(|slot| self.free.contains(**slot));
        free.filter_map(|slot| self.slots[*slot].as_ref())
    }

    /// The runs of which something is free and some is on `offer`, in any order.
    pub(super) fn free_within<'a>(
        &'a self,
        offer: &'a Slots,
    ) -> impl Iterator<Item = &'a WantedRun> {
        let slots = self.free.within(offer);
        slots.filter_map(|slot| self.slots[slot].as_ref())
    }

    /// Whether something is free of a run for which `holds` does.
    pub(super) fn is_any_free(&self, mut holds: impl FnMut(&WantedRun) -> bool) -> bool {
        let mut free = self.free.iter();
        free.any(|slot| self.slots[slot].as_ref().is_some_and(&mut holds))
    }

    /// Works out anew what of the run is free, where `counts` says which requests keep
    /// their ranges from others.
    pub(super) fn refresh(
        &mut self,
        start: u64,
        requests: &Requests,
        counts: impl Fn(&Request) -> bool,
    ) {
        let Some(&slot) = self.by_start.get(&start) else {
            return;
        };
        let Some(wanted) = self.slots[slot].as_mut() else {
            return;
        };
        let mut free = wanted.missing.clone();
        let open = wanted.requests.iter().filter_map(|id| requests.at(*id));
        for request in open.filter(|request| counts(request)) {
            free = free.subtract(&request.ranges);
        }
        self.free.set(slot, !free.is_empty());
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
