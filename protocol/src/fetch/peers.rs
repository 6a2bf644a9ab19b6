//! The neighbours of a fetch.
//!
//! Owns: what each offers, how it does, and which to keep when there are too many. Refuses:
//! to know runs; it counts bytes and requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::config::FetchConfig;
use super::events::Distance;
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
/// Whoever's turn it is not waits so long for each of those before it,
const TURN: Duration = Duration::from_millis(500);
/// or, where a run takes longer, as long as the peer needs for so many bytes: whoever's turn it
/// is has two of them under way,
const TURN_BYTES: u64 = 8 << 20;
/// and never longer than this.
const TURN_MAX: Duration = Duration::from_secs(5);
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
const REST_MIN: Duration = Duration::from_millis(100);

/// One neighbour.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: PeerKey,
    pub(super) distance: Distance,
    pub(super) offered: RangeSet,
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
    ) -> Self {
        Self {
            key,
            distance,
            offered,
            is_seed,
            pace: Pace::new(now),
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

    /// Whether it can be asked at all.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        !self.stalled && self.rest_until.is_none_or(|until| until <= now)
    }

    /// Whether it may be asked for more. For a reader who waits, for one run more.
    pub(super) fn has_room(&self, now: Instant, config: &FetchConfig, urgent: bool) -> bool {
        let more = u64::from(urgent);
        let requests_max = (self.requests_max + more as usize).min(REQUESTS_MAX);
        if !self.is_live(now) || self.requests >= requests_max {
            return false;
        }
        let window = || self.pace.window(config).max(EXPECTED_BYTES_MIN) + more * RUN_BYTES_MAX;
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
    pub(super) fn stall(&mut self) {
        self.stalled = true;
        self.pace.stall();
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

    /// Whether this node may ask it for what `turn` others are to ask for before.
    pub(super) fn may_be_asked_out_of_turn(&self, now: Instant, turn: usize) -> bool {
        let turns = u32::try_from(turn).map_or(TURNS_MAX, |turn| turn.min(TURNS_MAX));
        let turn_time = self.turn();
        let is_on = |since: Instant| now < since + turn_time * TURNS_TAKEN;
        let may = |since: Instant| since + turn_time * turns <= now && is_on(since);
        turn == 0 || self.spare_since.is_some_and(may)
    }

    /// Whether there was nothing to ask of it at this chance, and no turn of another ended since.
    pub(super) fn is_idle(&self, now: Instant, chance: u64) -> bool {
        self.idle_since.is_some_and(|(then, since)| {
            then == chance && self.turn_ends(since).is_none_or(|end| now < end)
        })
    }

    /// How long another's turn lasts.
    fn turn(&self) -> Duration {
        let time = self.pace.time_for(TURN_BYTES).unwrap_or(TURN);
        time.clamp(TURN, TURN_MAX)
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
    pub(super) fn stalls_at(&self, config: &FetchConfig) -> Option<Instant> {
        let waited_for = self.requests > 0 && !self.stalled;
        waited_for.then(|| self.heard + self.pace.patience(config))
    }

    /// The same, if that may be before `time`.
    pub(super) fn stalls_before(&self, time: Instant, config: &FetchConfig) -> Option<Instant> {
        let may = self.heard + config.stall <= time;
        let at = may.then(|| self.stalls_at(config)).flatten();
        at.filter(|at| *at <= time)
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
        let slower = match (self.pace.rate(), other.pace.rate()) {
            (Some(mine), Some(theirs)) => mine < theirs,
            _ => false,
        };
        self.distance < other.distance && !slower && !self.is_unproductive(now)
    }
}

/// All neighbours.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_key: BTreeMap<PeerKey, Peer>,
}

impl Peers {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn at(&self, key: &PeerKey) -> Option<&Peer> {
        self.by_key.get(key)
    }

    pub(super) fn at_mut(&mut self, key: &PeerKey) -> Option<&mut Peer> {
        self.by_key.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.by_key.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.by_key.values_mut()
    }

    pub(super) fn insert(&mut self, peer: Peer) {
        self.by_key.insert(peer.key, peer);
    }

    pub(super) fn remove(&mut self, key: &PeerKey) -> Option<Peer> {
        self.by_key.remove(key)
    }

    /// The neighbour to give up for a newcomer at `distance`: the worst, if it is farther.
    pub(super) fn worse_than(&self, distance: Distance) -> Option<PeerKey> {
        let worst = self.by_key.values().min_by_key(|peer| peer.worth())?;
        (worst.distance > distance || worst.stalled).then_some(worst.key)
    }

    /// Those for whom `is_asked` holds, in the order in which they are asked: near before far,
    /// then fast before slow.
    pub(super) fn by_preference(&self, is_asked: impl Fn(&Peer) -> bool) -> Vec<PeerKey> {
        let mut peers: Vec<_> = self.iter().filter(|peer| is_asked(peer)).collect();
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.worth()));
        peers.into_iter().map(|peer| peer.key).collect()
    }
}
