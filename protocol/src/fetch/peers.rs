//! The neighbours of a fetch.
//!
//! Owns: what each offers, how it does, and which to keep when there are too many. Refuses:
//! to know runs; it counts bytes and requests.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use super::config::FetchConfig;
use super::events::Distance;
use super::offers::{Share, Shares, Slots};
use super::run::Run;
use super::window::Pace;
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::limits::{
    BUSY_RETRY_MS_MAX, FRAME_PAYLOAD_BYTES_MAX, REQUESTS_OPEN_MAX, RUN_BYTES_MAX,
};

/// However small the window, the next request is opened when no more than this is to come, so
/// that the next answer begins when one ends. More would keep runs waiting at a slow peer that
/// others could bring.
const EXPECTED_BYTES_MIN: u64 = FRAME_PAYLOAD_BYTES_MAX as u64;
/// The most runs asked of a peer at once: the rest of what a connection may have open is for
/// pages, and for answers whose end is still on its way.
const REQUESTS_MAX: usize = REQUESTS_OPEN_MAX * 3 / 4;
/// Nobody waits for more turns than this.
const TURNS_MAX: u32 = 8;
/// Whoever has waited takes the turns of others for the time of so many: one of them may fetch
/// slowly, or not at all, and is not to be waited for at every run.
const TURNS_TAKEN: u32 = 20;
/// A peer whose work was taken back is not asked again for so long.
const REST_AFTER_STALL: Duration = Duration::from_secs(10);

/// Whoever was asked for something and delivers nothing for so long keeps it from nobody.
const UNPRODUCTIVE: Duration = Duration::from_secs(3);
/// Whoever is busy rests for at least so long: meanwhile others are asked.
pub(super) const REST_MIN: Duration = Duration::from_millis(100);

/// One neighbour.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: PeerKey,
    pub(super) distance: Distance,
    pub(super) offered: RangeSet,
    /// The same by run, as the ledger counted it.
    pub(super) shares: Shares,
    /// Whether it serves, and does not fetch itself.
    pub(super) is_seed: bool,
    pub(super) pace: Pace,
    /// Requests that are open, and what is still expected from them.
    pub(super) requests: usize,
    pub(super) expected_bytes: u64,
    /// Open requests that it takes before it says busy, as far as is known.
    requests_max: usize,
    /// Not to be asked before.
    pub(super) rest_until: Option<Instant>,
    /// When something came from it, or it was first asked after a pause.
    pub(super) heard: Instant,
    pub(super) stalled: bool,
    /// When it could be asked for nothing but what is another node's turn to ask for.
    pub(super) spare_since: Option<Instant>,
    /// At which chance, and when, there was nothing to ask of it, though it has room.
    pub(super) idle_since: Option<(u64, Instant)>,
}

impl Peer {
    pub(super) fn new(
        now: Instant,
        key: PeerKey,
        distance: Distance,
        offered: RangeSet,
        is_seed: bool,
        config: &FetchConfig,
    ) -> Self {
        Self {
            key,
            distance,
            offered,
            shares: Shares::default(),
            is_seed,
            pace: Pace::new(now, config),
            requests: 0,
            expected_bytes: 0,
            requests_max: REQUESTS_MAX,
            rest_until: None,
            heard: now,
            stalled: false,
            spare_since: None,
            idle_since: None,
        }
    }

    /// How much of a run it offers.
    pub(super) fn share_of(&self, run: &Run) -> Share {
        match self.offered.within(run.range()).next() {
            None => Share::Nothing,
            Some(first) if first == run.range() => Share::All,
            Some(_) => Share::Some,
        }
    }

    /// Whether it offers some of these positions.
    pub(super) fn offers_of(&self, ranges: &RangeSet) -> bool {
        let mut offered = ranges.iter().flat_map(|range| self.offered.within(range));
        offered.next().is_some()
    }

    /// Whether it can be asked at all.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        !self.stalled && self.rest_until.is_none_or(|until| until <= now)
    }

    /// Whether it may be asked for more. For a reader who waits, for one run more.
    pub(super) fn has_room(&self, now: Instant, urgent: bool) -> bool {
        let more = u64::from(urgent);
        let requests_max = (self.requests_max + more as usize).min(REQUESTS_MAX);
        if !self.is_live(now) || self.requests >= requests_max {
            return false;
        }
        let window = || self.pace.window().max(EXPECTED_BYTES_MIN) + more * RUN_BYTES_MAX;
        self.requests == 0 || self.expected_bytes < window()
    }

    pub(super) fn ask(&mut self, now: Instant, bytes: u64) {
        if self.requests == 0 {
            self.heard = now;
            self.pace.start(now);
        }
        self.requests += 1;
        self.expected_bytes += bytes;
    }

    /// A request of it is over; `bytes` of it never came.
    pub(super) fn close(&mut self, bytes: u64) {
        self.requests -= 1;
        self.expected_bytes -= bytes;
    }

    /// It answered one to the end: it takes one more.
    pub(super) fn praise(&mut self) {
        self.requests_max = (self.requests_max + 1).min(REQUESTS_MAX);
    }

    /// It turned a request down.
    pub(super) fn excuse(&mut self, now: Instant, retry: Duration) {
        self.requests_max = self.requests.max(1);
        let longest = Duration::from_millis(BUSY_RETRY_MS_MAX.into());
        self.rest_until = Some(now + retry.clamp(REST_MIN, longest));
    }

    /// It has been silent for too long.
    pub(super) fn stall(&mut self, config: &FetchConfig) {
        self.stalled = true;
        self.pace.stall(config);
    }

    /// Another peer took over what was asked of it.
    pub(super) fn rest(&mut self, now: Instant) {
        self.stalled = false;
        self.rest_until = Some(now + REST_AFTER_STALL);
    }

    /// It could be asked for nothing but what is another node's turn to ask for.
    pub(super) fn note_spare_time(&mut self, now: Instant) {
        let taken = self.turn() * TURNS_TAKEN;
        let is_over = |since: &Instant| *since + taken <= now;
        if self.spare_since.as_ref().is_none_or(is_over) {
            self.spare_since = Some(now);
        }
    }

    /// For how many turns of others this node has waited: it may ask for what so many others are
    /// to ask for before.
    pub(super) fn turns_over(&self, now: Instant) -> usize {
        let turn = self.turn();
        let is_on = |since: &Instant| now < *since + turn * TURNS_TAKEN;
        let Some(since) = self.spare_since.filter(is_on) else {
            return 0;
        };
        let is_over = |turns: &u32| since + turn * *turns <= now;
        match (1..=TURNS_MAX).take_while(is_over).count() {
            all if all == TURNS_MAX as usize => usize::MAX,
            some => some,
        }
    }

    /// Whether there was nothing to ask of it at this chance, and no turn of another ended since.
    pub(super) fn is_idle(&self, now: Instant, chance: u64) -> bool {
        self.idle_since.is_some_and(|(then, since)| {
            then == chance && self.turn_ends(since).is_none_or(|end| now < end)
        })
    }

    /// How long another's turn lasts.
    fn turn(&self) -> Duration {
        self.pace.turn()
    }

    /// When somebody's turn is over, next after `now`.
    pub(super) fn turn_ends(&self, now: Instant) -> Option<Instant> {
        let since = self.spare_since?;
        let turn = self.turn();
        let turns = now.saturating_duration_since(since).as_millis() / turn.as_millis();
        Some(
            since + turn.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX).saturating_add(1)),
        )
    }

    /// When its silence becomes a stall.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        let waited_for = self.requests > 0 && !self.stalled;
        waited_for.then(|| self.heard + self.pace.patience())
    }

    /// Before this it has neither rested, nor been silent for too long, whatever is heard of it or
    /// measured until then, where silence is no stall before `stall`.
    pub(super) fn due_at_soonest(&self, stall: Duration) -> Option<Instant> {
        let waited_for = self.requests > 0 && !self.stalled;
        let silent = waited_for.then(|| self.heard + stall);
        [self.rest_until, silent].into_iter().flatten().min()
    }

    /// Nearer, answering and faster peers are worth more.
    fn worth(&self) -> (std::cmp::Reverse<Distance>, bool, u64) {
        let rate = self.pace.rate().map_or(u64::MAX, |rate| rate as u64);
        (std::cmp::Reverse(self.distance), !self.stalled, rate)
    }

    /// Whether nothing that can be verified has come from it for a while, though it was asked
    /// for something. It may well be heard of: a frame may come byte by byte.
    pub(super) fn is_unproductive(&self, now: Instant) -> bool {
        self.requests > 0 && self.pace.time_so_far(now) >= UNPRODUCTIVE
    }

    /// Whether it keeps what it offers from `other`: it is nearer, does send something, and is
    /// not known to be slower.
    pub(super) fn goes_before(&self, other: &Peer, now: Instant) -> bool {
        let slower = || match (self.pace.rate(), other.pace.rate()) {
            (Some(mine), Some(theirs)) => mine < theirs,
            _ => false,
        };
        self.distance < other.distance && !slower() && !self.is_unproductive(now)
    }
}

/// All neighbours, sorted by key. Something happens far more often than it concerns a given
/// neighbour: what was found out about one is kept in a few bytes until it is changed.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// The first bytes of the keys, which order them as the keys do.
    prefixes: Vec<u64>,
    sorted: Vec<Peer>,
    nearest: Option<Distance>,
    seeds: Slots,
    /// Those of whom nothing is to be asked until something changes about them, or about all.
    settled: Slots,
    /// When each rested, or becomes stalled; of those who are in `timed`.
    times: Vec<Option<Instant>>,
    timed: Slots,
}

impl Peers {
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn at(&self, key: &PeerKey) -> Option<&Peer> {
        self.sorted.get(self.find(key).ok()?)
    }

    pub(super) fn at_mut(&mut self, key: &PeerKey) -> Option<&mut Peer> {
        let index = self.find(key).ok()?;
        Some(self.with_index_mut(index))
    }

    pub(super) fn index_of(&self, key: &PeerKey) -> Option<usize> {
        self.find(key).ok()
    }

    /// The peer with an index, which holds until somebody comes or goes.
    pub(super) fn with_index(&self, index: usize) -> &Peer {
        &self.sorted[index]
    }

    pub(super) fn with_index_mut(&mut self, index: usize) -> &mut Peer {
        self.settled.set(index, false);
        self.timed.set(index, false);
        &mut self.sorted[index]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.sorted.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.forget_findings();
        self.sorted.iter_mut()
    }

    pub(super) fn insert(&mut self, peer: Peer) {
        match self.find(&peer.key) {
            Ok(index) => self.sorted[index] = peer,
            Err(index) => {
                self.prefixes.insert(index, prefix(&peer.key));
                self.sorted.insert(index, peer);
            }
        }
        self.look_at_all();
    }

    pub(super) fn remove(&mut self, key: &PeerKey) -> Option<Peer> {
        let index = self.find(key).ok()?;
        self.prefixes.remove(index);
        let peer = self.sorted.remove(index);
        self.look_at_all();
        Some(peer)
    }

    fn look_at_all(&mut self) {
        self.forget_findings();
        self.nearest = self.iter().map(|peer| peer.distance).min();
        self.seeds = Slots::default();
        for (index, peer) in self.sorted.iter().enumerate() {
            self.seeds.set(index, peer.is_seed);
        }
    }

    fn forget_findings(&mut self) {
        self.settled.clear();
        self.timed.clear();
    }

    /// The index of a peer, or the one that it would have.
    fn find(&self, key: &PeerKey) -> Result<usize, usize> {
        let prefix = prefix(key);
        let mut index = self.prefixes.partition_point(|other| *other < prefix);
        while let Some(peer) = self.sorted.get(index) {
            match peer.key.cmp(key) {
                Ordering::Less => index += 1,
                Ordering::Equal => return Ok(index),
                Ordering::Greater => break,
            }
        }
        Err(index)
    }

    /// Whether it would be passed over.
    #[cfg(test)]
    pub(super) fn is_settled(&self, index: usize) -> bool {
        self.settled.contains(index)
    }

    /// There may be something to ask of seeds.
    pub(super) fn take_up_seeds(&mut self) {
        for index in self.seeds.iter() {
            self.sorted[index].idle_since = None;
            self.settled.set(index, false);
        }
    }

    /// Whether any neighbour is nearer than this one.
    pub(super) fn has_nearer(&self, peer: &Peer) -> bool {
        self.nearest.is_some_and(|nearest| nearest < peer.distance)
    }

    /// When somebody has rested, becomes stalled, or a turn is over, next after `now`.
    pub(super) fn next_time(&mut self, now: Instant) -> Option<Instant> {
        self.times.resize(self.sorted.len(), None);
        for (index, peer) in self.sorted.iter().enumerate() {
            if !self.timed.contains(index) {
                let times = [peer.rest_until, peer.stalls_at()];
                self.times[index] = times.into_iter().flatten().min();
                self.timed.set(index, true);
            }
        }
        let seeds = self.seeds.iter().map(|index| &self.sorted[index]);
        let turns = seeds.filter_map(|peer| peer.turn_ends(now));
        self.times.iter().flatten().copied().chain(turns).min()
    }

    /// The neighbour to give up for a newcomer at `distance`: the worst, if it is farther.
    pub(super) fn worse_than(&self, distance: Distance) -> Option<PeerKey> {
        let worst = self.sorted.iter().min_by_key(|peer| peer.worth())?;
        (worst.distance > distance || worst.stalled).then_some(worst.key)
    }

    /// The indices of those for whom `is_asked` holds, in the order in which they are asked: near
    /// before far, then fast before slow. Unless it is about `all`, those for whom it did not hold
    /// before are passed over if nothing changed about them.
    pub(super) fn by_preference(
        &mut self,
        all: bool,
        mut is_asked: impl FnMut(&mut Peer) -> bool,
    ) -> Vec<usize> {
        let mut asked = Vec::new();
        for (index, peer) in self.sorted.iter_mut().enumerate() {
            if !all && self.settled.contains(index) {
                continue;
            }
            let is_now = is_asked(peer);
            if is_now {
                asked.push(index);
            }
            // A turn that ends changes something too.
            self.settled
                .set(index, !is_now && peer.spare_since.is_none());
        }
        asked.sort_by_key(|index| std::cmp::Reverse(self.sorted[*index].worth()));
        asked
    }
}

fn prefix(key: &PeerKey) -> u64 {
    let (first, _) = key.as_bytes().split_first_chunk().expect("keys are longer");
    u64::from_be_bytes(*first)
}
