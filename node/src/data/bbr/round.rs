//! Round trips as packets tell them, and what each brought.
//!
//! Owns: when a round is over, its rate of delivery, and whether it lost more than chance
//! explains. Refuses: to conclude anything from that.

use std::time::{Duration, Instant};

/// No round is shorter: on a short path single wake-ups would be all that is measured.
pub(super) const ROUND_MIN: Duration = Duration::from_millis(10);
/// A round that lost more than this share of its bytes met a full queue (BBR's `LossThresh`)…
const LOSS_SHARE: f64 = 0.02;
/// …if it is as many packets more, which in a short round may be chance.
const LOSS_PACKETS: u64 = 2;

/// The round that is under way.
#[derive(Debug, Clone)]
pub(super) struct Round {
    began: Instant,
    /// When the last packet was sent that had arrived before.
    sent_before: Instant,
    delivered: u64,
    lost: u64,
    is_marked: bool,
    /// Something else than the window held back what was sent.
    is_idle: bool,
    last_sent: Instant,
}

/// What a round brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lap {
    /// Bytes a second that arrived.
    pub(super) rate: u64,
    /// A queue was full, or said that it will be (ECN).
    pub(super) is_lossy: bool,
    /// More could have been sent, so more may be possible.
    pub(super) is_idle: bool,
}

impl Round {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            sent_before: now,
            delivered: 0,
            lost: 0,
            is_marked: false,
            is_idle: true,
            last_sent: now,
        }
    }

    /// Something is sent. After a silence what was before says nothing about what comes.
    pub(super) fn sent(&mut self, now: Instant, round_trip: Duration) {
        if now.duration_since(self.last_sent) > round_trip.max(ROUND_MIN) {
            *self = Self::new(now);
        }
        self.last_sent = now;
    }

    pub(super) fn delivered(&mut self, bytes: u64, is_idle: bool) {
        self.delivered += bytes;
        self.is_idle |= is_idle;
    }

    pub(super) fn lost(&mut self, bytes: u64) {
        self.lost += bytes;
        // No bytes at all is how marks are told.
        self.is_marked |= bytes == 0;
    }

    /// Ends the round if what was sent at `sent`, after it began, has arrived by `now`. Its rate
    /// is no higher than that at which its packets were sent: if they arrive faster, something
    /// has held up their acknowledgements.
    pub(super) fn over(&mut self, now: Instant, sent: Instant, mtu: u64) -> Option<Lap> {
        if sent < self.began || now.duration_since(self.began) < ROUND_MIN {
            return None;
        }
        let lap = self.so_far(now, sent, mtu);
        self.begin(now, sent);
        Some(lap)
    }

    /// What it has brought by `now`, when what was sent at `sent` arrived.
    pub(super) fn so_far(&self, now: Instant, sent: Instant, mtu: u64) -> Lap {
        let took = now.duration_since(self.began);
        let took = took.max(sent.saturating_duration_since(self.sent_before));
        let took = took.max(ROUND_MIN).as_secs_f64();
        let by_chance = (self.delivered + self.lost) as f64 * LOSS_SHARE;
        Lap {
            rate: (self.delivered as f64 / took) as u64,
            is_lossy: self.is_marked || self.lost > by_chance as u64 + LOSS_PACKETS * mtu,
            is_idle: self.is_idle,
        }
    }

    /// Begins another round, of what is sent from here on; what was sent until `sent` has
    /// arrived.
    pub(super) fn begin(&mut self, now: Instant, sent: Instant) {
        *self = Self {
            sent_before: sent,
            last_sent: self.last_sent,
            is_idle: false,
            ..Self::new(now)
        };
    }
}
