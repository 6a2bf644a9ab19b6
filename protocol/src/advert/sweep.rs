//! How far the sweep is, and when the next begins.
//!
//! Owns: the position, the interval, the open load. Refuses: to send.

use std::time::{Duration, Instant};

use super::config::AdvertConfig;
use super::events::{Progress, Sweeping};
use super::message::TTL_S_MAX;
use super::position::{Position, Region};
use crate::peer::PeerKey;

/// How long the machine waits after keys could not be loaded.
const LOAD_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Sweep {
    /// Where it goes on; nothing between two sweeps.
    next: Option<Position>,
    /// When this began, or the last one if none is under way: so long before that instant.
    began: (Instant, Duration),
    /// How long the last one took.
    took: Option<Duration>,
    interval: Duration,
    interval_min: Duration,
    interval_max: Duration,
    /// Whether the next is to begin as early as may be.
    is_early: bool,
    /// Whether the owner was told to list the keys.
    pub(super) is_listed: bool,
    pub(super) step: Step,
}

/// What the sweep is at.
#[derive(Debug)]
pub(super) enum Step {
    /// The keys that come next must be loaded.
    Idle,
    /// They are being loaded: of this region, whose peers these are.
    Loading(Region, Vec<(Position, PeerKey)>),
    /// Loading failed; try again then.
    Pausing(Instant),
    /// They are being sent; then it goes on from here, or is through.
    Sending(Option<Position>),
}

impl Sweep {
    pub(super) fn new(now: Instant, config: &AdvertConfig, resume: Option<Progress>) -> Self {
        let (next, began_ago) = match resume {
            Some(progress) => (progress.next, progress.began_ago),
            None => (Some(Position::FIRST), Duration::ZERO),
        };
        let mut sweep = Self {
            next,
            began: (now, began_ago),
            took: None,
            interval: config.interval,
            interval_min: config.interval_min,
            interval_max: config.interval_max.max(config.interval_min),
            is_early: false,
            is_listed: false,
            step: Step::Idle,
        };
        sweep.adapt(config.interval);
        sweep
    }

    /// Chooses the interval.
    pub(super) fn adapt(&mut self, interval: Duration) {
        self.interval = interval.clamp(self.interval_min, self.interval_max);
    }

    /// Lets the next sweep begin as soon as the shortest interval is over.
    pub(super) fn hasten(&mut self) {
        self.is_early = true;
    }

    /// Where the sweep goes on at `now`, if it is due or under way.
    pub(super) fn position(&mut self, now: Instant) -> Option<Position> {
        if self.next.is_none() && self.age(now) >= self.wait() {
            self.next = Some(Position::FIRST);
            self.began = (now, Duration::ZERO);
            self.is_early = false;
            self.is_listed = false;
        }
        self.next
    }

    /// What is on its way has arrived, or is kept elsewhere to be tried again.
    pub(super) fn advance(&mut self, now: Instant, next: Option<Position>) -> Progress {
        self.next = next;
        self.step = Step::Idle;
        if next.is_none() {
            self.took = Some(self.age(now));
        }
        Progress {
            next,
            began_ago: self.age(now),
        }
    }

    /// A load failed.
    pub(super) fn pause(&mut self, now: Instant) {
        self.is_listed = false;
        self.step = Step::Pausing(now + LOAD_PAUSE);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match (&self.step, self.next) {
            (Step::Pausing(until), _) => Some(*until),
            (_, None) => self
                .began
                .0
                .checked_add(self.wait().saturating_sub(self.began.1)),
            _ => None,
        }
    }

    /// For how many seconds records hold: until the sweep after the next.
    pub(super) fn ttl_s(&self) -> u32 {
        let took = self.took.unwrap_or_default();
        let ttl = self.interval.max(took).saturating_mul(2);
        let seconds = ttl.as_secs().clamp(1, u64::from(TTL_S_MAX));
        u32::try_from(seconds).expect("it was just bounded")
    }

    /// How far it is.
    pub(super) fn sweeping(&self, now: Instant) -> Sweeping {
        let between = self.next.is_none();
        Sweeping {
            done: self.next.map_or(1.0, |next| next.fraction()),
            began_ago: self.age(now),
            took: self.took,
            next_in: between.then(|| self.wait().saturating_sub(self.age(now))),
            interval: self.interval,
        }
    }

    fn age(&self, now: Instant) -> Duration {
        let (since, before) = self.began;
        before.saturating_add(now.saturating_duration_since(since))
    }

    fn wait(&self) -> Duration {
        if self.is_early {
            self.interval_min
        } else {
            self.interval
        }
    }
}
