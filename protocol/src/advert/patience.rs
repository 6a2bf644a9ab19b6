//! How long to wait for an answer before somebody else is asked as well.
//!
//! Owns: what the answers so far took, smoothed as TCP does (RFC 6298), and the bounds beside
//! it. Refuses: to give anybody up; that is a matter of seconds.

use std::ops::RangeInclusive;
use std::time::Duration;

/// So many times what an answer took lately one may take before it is late.
const ROUND_TRIPS: u32 = 4;
/// The same, of a lookup, which takes several round trips, each to whoever is slowest.
const LOOKUP_ROUND_TRIPS: u32 = 12;

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Patience {
    bounds: RangeInclusive<Duration>,
    smoothed: Option<Duration>,
}

impl Patience {
    /// Nothing is known yet. An answer is late after a time within `bounds`.
    pub(super) fn new(bounds: RangeInclusive<Duration>) -> Self {
        Self {
            bounds,
            smoothed: None,
        }
    }

    /// An answer took so long.
    pub(super) fn learn(&mut self, took: Duration) {
        let smoothed = |before: Duration| (before * 7 + took) / 8;
        self.smoothed = Some(self.smoothed.map_or(took, smoothed));
    }

    /// After how long a question's answer is late.
    pub(super) fn question(&self) -> Duration {
        self.times(ROUND_TRIPS)
    }

    /// After how long a lookup's is.
    pub(super) fn lookup(&self) -> Duration {
        self.times(LOOKUP_ROUND_TRIPS)
    }

    fn times(&self, count: u32) -> Duration {
        let (least, most) = (*self.bounds.start(), *self.bounds.end());
        match self.smoothed {
            Some(smoothed) => (smoothed * count).clamp(least, most),
            // Halfway, as people count: by factors.
            None => least.mul_f64((most.as_secs_f64() / least.as_secs_f64()).sqrt()),
        }
    }
}
