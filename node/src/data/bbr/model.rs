//! What is believed of a path: how much it delivers, and how long it is when nothing waits.
//!
//! Owns: forgetting, since paths change. Refuses: to decide what is sent because of it.

use std::time::{Duration, Instant};

use super::round::{Lap, ROUND_MIN};

/// A least round trip that was not seen for so long may be one of another path.
const ROUND_TRIP_LASTS: Duration = Duration::from_secs(10);
/// What waits anyway, as long as nobody complains: the pacer sends for 2 ms at a time, timers
/// come a millisecond late, and every second packet is acknowledged. Also CoDel's target
/// (RFC 8289).
pub(super) const SLACK: Duration = Duration::from_millis(5);
/// What a lossy round leaves at least of the rate before (BBR's `Beta`).
const LOSSY_SHARE: f64 = 0.7;

/// The path.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// The most that a round delivered, in bytes a second, since the last probe, and between
    /// that and the one before.
    most: [u64; 2],
    /// What losses say, until the next probe.
    bound: Option<u64>,
    least: Option<(Duration, Instant)>,
    smoothed: Duration,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            most: [0; 2],
            bound: None,
            least: None,
            smoothed: Duration::ZERO,
        }
    }

    /// A packet and its acknowledgement took `round_trip`.
    pub(super) fn round_trip(&mut self, now: Instant, round_trip: Duration) {
        match &mut self.least {
            Some((least, _)) if round_trip < *least => self.least = Some((round_trip, now)),
            Some((least, seen)) if round_trip <= *least + SLACK => *seen = now,
            Some(_) => {}
            None => (self.least, self.smoothed) = (Some((round_trip, now)), round_trip),
        }
        self.smoothed = (self.smoothed * 7 + round_trip) / 8;
    }

    /// A round is over.
    pub(super) fn lap(&mut self, lap: Lap) {
        if !lap.is_idle || lap.rate > self.rate() {
            self.most[0] = self.most[0].max(lap.rate);
        }
    }

    /// A round lost much of what was sent at no more than the rate that the path had.
    pub(super) fn bound_by(&mut self, lap: Lap) {
        let least = (self.rate() as f64 * LOSSY_SHARE) as u64;
        self.bound = Some(least.max(lap.rate));
    }

    /// More is tried from here on.
    pub(super) fn probe(&mut self) {
        self.bound = None;
        if self.most[0] > 0 {
            self.most = [0, self.most[0]];
        }
    }

    /// What the path delivers, in bytes a second; 0 if nothing was measured yet.
    pub(super) fn rate(&self) -> u64 {
        let most = self.most[0].max(self.most[1]);
        self.bound.map_or(most, |bound| most.min(bound))
    }

    /// How long the path is, and what may wait on it. No shorter than a round can be: on a
    /// short path it is the processors that wait.
    pub(super) fn base(&self) -> Duration {
        (self.least() + SLACK).max(ROUND_MIN)
    }

    /// How long the path is when nothing waits on it.
    pub(super) fn least(&self) -> Duration {
        self.least.map_or(Duration::ZERO, |(least, _)| least)
    }

    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// What a window has to hold for the rate to stay, although others may have packets wait.
    /// Of what waits beyond twice the slack only half is made up for, so that queues do not
    /// grow by it; as with BBR's `cwnd_gain`, twice the path's length is the most.
    pub(super) fn held(&self) -> Duration {
        let base = self.base();
        let beyond = self.smoothed.saturating_sub(base + SLACK);
        (self.smoothed - beyond / 2).clamp(base, 2 * base)
    }

    /// Nothing came within the least round trip for long: it may never again.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.least
            .is_some_and(|(_, seen)| now.duration_since(seen) > ROUND_TRIP_LASTS)
    }

    /// What was seen while the path was as empty as it gets from here.
    pub(super) fn measured(&mut self, now: Instant, least: Duration) {
        self.least = Some((least, now));
    }
}
