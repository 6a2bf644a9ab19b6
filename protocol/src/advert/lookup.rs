//! The one lookup that is open, and the pause after one that came to nothing.
//!
//! Owns: the targets, which are made up so that they lie where somebody is to be asked for.
//! Refuses: what the answer means; that is the atlas's.

use std::time::{Duration, Instant};

use super::events::LookupId;
use super::key::{ADVERT_KEY_BYTES, AdvertKey};
use super::position::{Position, Region};

/// Targets agree with the position they stand for in so many bits at least,
const BITS_MIN: u32 = 6;
/// and need not agree in more: making one up takes 2 to the power of this hashes. In a network
/// of some hundred thousand peers and more, a region may take a second lookup therefore.
const BITS_MAX: u32 = 16;
/// The first pause after a failure; each further one is four times as long, up to
const PAUSE: Duration = Duration::from_secs(15);
/// this.
const PAUSE_MAX: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Lookups {
    seed: u64,
    last: u64,
    open: Option<Open>,
    not_before: Option<Instant>,
    failures: u32,
    bits: u32,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    id: LookupId,
    target: AdvertKey,
    deadline: Instant,
}

impl Lookups {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            last: 0,
            open: None,
            not_before: None,
            failures: 0,
            bits: BITS_MIN,
        }
    }

    /// Whom to ask for to learn who lies around `at`; nothing while a lookup is open, or if
    /// it is too early after one that failed.
    pub(super) fn start(
        &mut self,
        now: Instant,
        at: &Position,
        timeout: Duration,
    ) -> Option<(LookupId, AdvertKey)> {
        if self.open.is_some() || self.not_before.is_some_and(|until| until > now) {
            return None;
        }
        self.last += 1;
        let id = LookupId(self.last);
        let target = self.make_up(at);
        let deadline = now + timeout;
        self.open = Some(Open {
            id,
            target,
            deadline,
        });
        Some((id, target))
    }

    /// The position that was looked up, if this is the lookup that is open.
    pub(super) fn target(&self, id: LookupId) -> Option<Position> {
        let open = self.open.filter(|open| open.id == id)?;
        Some(Position::of_key(&open.target))
    }

    /// The open lookup told all peers of a region.
    pub(super) fn succeed(&mut self, charted: &Region) {
        self.open = None;
        self.failures = 0;
        self.not_before = None;
        self.bits = (charted.bits() + 3).clamp(BITS_MIN, BITS_MAX);
    }

    /// A lookup told nothing.
    pub(super) fn fail(&mut self, now: Instant, id: LookupId) {
        if self.open.is_none_or(|open| open.id != id) {
            return;
        }
        self.open = None;
        let pause = PAUSE.saturating_mul(4u32.saturating_pow(self.failures));
        self.not_before = Some(now + pause.min(PAUSE_MAX));
        self.failures = self.failures.saturating_add(1);
    }

    /// There is no reason any more to put the next lookup off.
    pub(super) fn hasten(&mut self) {
        self.not_before = None;
        self.failures = 0;
    }

    /// A lookup whose answer is overdue has failed.
    pub(super) fn expire(&mut self, now: Instant) {
        if let Some(open) = self.open.filter(|open| open.deadline <= now) {
            self.fail(now, open.id);
        }
    }

    /// When something changes here; `wants` says whether a lookup waits for its turn.
    pub(super) fn next_timeout(&self, wants: bool) -> Option<Instant> {
        match self.open {
            Some(open) => Some(open.deadline),
            None => self.not_before.filter(|_| wants),
        }
    }

    /// A key whose position begins like `at`. Kademlia hashes what it is to look for, so one
    /// has to be tried out.
    fn make_up(&self, at: &Position) -> AdvertKey {
        let tries_max = 64u64 << self.bits;
        let attempt = |number: u64| {
            let parts = [self.seed, self.last, number].map(u64::to_le_bytes);
            let hash = blake3::derive_key("shoal 1 lookup target", parts.as_flattened());
            let front = hash.first_chunk::<ADVERT_KEY_BYTES>();
            AdvertKey::from_bytes(*front.expect("32 bytes"))
        };
        let near = |key: &AdvertKey| Position::of_key(key).common_bits(at) >= self.bits;
        (0..tries_max)
            .map(attempt)
            .find(near)
            .unwrap_or_else(|| attempt(0))
    }
}
