//! A limit on how many bytes go by in a second.
//!
//! Owns: the time at which the next byte may go (GCRA, ITU-T I.371: one time instead of a
//! bucket that is filled). Bytes that went are counted afterwards, so whoever asks may be a
//! piece early, and waits for it the next time. Refuses: to wait; it says until when.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may go at once after a pause, as a time: enough that timers need not be exact.
const BURST: Duration = Duration::from_millis(50);
/// The slowest pace that connections stay open at.
pub const RATE_MIN: u64 = 16 << 10;

/// At most so many bytes a second.
#[derive(Debug)]
pub struct Pace {
    rate: NonZeroU64,
    /// When all that went would have gone at this rate.
    even: Mutex<Instant>,
}

impl Pace {
    /// A limit of so many bytes a second, [`RATE_MIN`] at least.
    pub fn new(bytes_per_s: NonZeroU64) -> Self {
        Self {
            rate: bytes_per_s.max(NonZeroU64::new(RATE_MIN).expect("not zero")),
            even: Mutex::new(Instant::now()),
        }
    }

    /// Until when to wait before more goes; nothing if it may go now.
    pub fn due(&self) -> Option<Instant> {
        let even = *self.even.lock().unwrap_or_else(PoisonError::into_inner);
        (even > Instant::now() + BURST).then(|| even - BURST / 2)
    }

    /// Counts bytes that went.
    pub fn went(&self, bytes: u64) {
        let took = Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64);
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        *even = (*even).max(Instant::now()) + took;
    }
}

/// Limits of both directions.
#[derive(Debug, Default)]
pub struct Paces {
    /// Of what is sent.
    pub up: Option<Pace>,
    /// Of what is received.
    pub down: Option<Pace>,
}

impl Paces {
    /// Limits in bytes a second; none where 0 is given.
    pub fn of(up: u64, down: u64) -> Self {
        let pace = |rate| NonZeroU64::new(rate).map(Pace::new);
        Self {
            up: pace(up),
            down: pace(down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_go_at_the_rate_and_a_pause_is_not_made_up_for() {
        let pace = Pace::new(NonZeroU64::new(1_000_000).expect("not zero"));
        let began = Instant::now();
        let send = async |bytes: u64| {
            for _ in 0..bytes / 10_000 {
                if let Some(due) = pace.due() {
                    tokio::time::sleep_until(due).await;
                }
                pace.went(10_000);
            }
        };
        send(2_000_000).await;
        let took = began.elapsed().as_secs_f64();
        assert!((1.9..=2.0).contains(&took), "{took}");
        tokio::time::sleep(Duration::from_secs(100)).await;
        let began = Instant::now();
        send(1_000_000).await;
        let took = began.elapsed().as_secs_f64();
        assert!((0.9..=1.0).contains(&took), "{took}");
    }
}
