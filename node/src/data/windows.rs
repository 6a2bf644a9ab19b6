//! How much of a QUIC connection is under way at a time.
//!
//! Owns: growing both windows with the path, so that a connection takes memory for what its
//! path holds, and not for the most that any may. Refuses: to decide what is sent when, which
//! congestion control does.

use std::time::{Duration, Instant};

/// What every connection begins with.
pub(super) const WINDOW_BYTES_MIN: u64 = 1 << 20;
/// How often there is anything new to be decided, in bytes.
pub(super) const STEP_BYTES: u64 = 256 << 10;
/// A round trip on which nothing was measured yet, and less than any that matters.
const ROUND_TRIP_MIN: Duration = Duration::from_millis(1);

/// How many round trips' worth either end keeps at least. What was sent behind a lost packet
/// stays until that has arrived, which is two round trips after it left first, three if it is
/// lost again. On a long path something always is: whoever keeps less is held back by that,
/// and believes that the path takes no more, since nothing more is to be sent.
const ROUND_TRIPS: u64 = 4;

/// What the sender keeps until everything before it is acknowledged.
pub(super) fn send_window(congestion_window: u64, most: u64) -> u64 {
    let wanted = congestion_window.saturating_mul(ROUND_TRIPS).min(most);
    let wanted = wanted.next_power_of_two();
    wanted.clamp(WINDOW_BYTES_MIN, most.max(WINDOW_BYTES_MIN))
}

/// What the receiver lets the other end send ahead. Grows while a good part of it is used up
/// in every round trip: then it may be what holds the sender back.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    window: u64,
    most: u64,
    since: Option<Instant>,
    bytes: u64,
}

impl ReceiveWindow {
    /// The window that a connection begins with, and the most that it grows to.
    pub(super) fn new(most: u64) -> Self {
        Self {
            window: WINDOW_BYTES_MIN,
            most: most.max(WINDOW_BYTES_MIN),
            since: None,
            bytes: 0,
        }
    }

    /// Bytes were read; says how large the window is now, if it grew.
    pub(super) fn read(&mut self, now: Instant, round_trip: Duration, bytes: u64) -> Option<u64> {
        self.bytes += bytes;
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) < round_trip.max(ROUND_TRIP_MIN) {
            return None;
        }
        let is_tight = self.bytes.saturating_mul(ROUND_TRIPS) >= self.window;
        (self.since, self.bytes) = (Some(now), 0);
        if !is_tight || self.window == self.most {
            return None;
        }
        self.window = (self.window * 2).min(self.most);
        Some(self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_sender_keeps_what_several_round_trips_bring_within_bounds() {
        for (congestion_window, window) in [
            (12_000, MIB),
            (MIB, 4 * MIB),
            (3 * MIB, 16 * MIB),
            (u64::MAX / 4, 16 * MIB),
        ] {
            assert_eq!(send_window(congestion_window, 16 * MIB), window);
        }
        assert_eq!(send_window(MIB, 1000), MIB);
    }

    /// The window after two seconds on a path of this rate, where no more comes in a round
    /// trip than the window lets.
    fn grown(bytes_per_s: u64, round_trip_ms: u64, most: u64) -> u64 {
        let round_trip = Duration::from_millis(round_trip_ms);
        let mut window = ReceiveWindow::new(most);
        let mut now = Instant::now();
        for _ in 0..2000 / round_trip_ms {
            let bytes = (bytes_per_s * round_trip_ms / 1000).min(window.window);
            for _ in 0..10 {
                window.read(now, round_trip, bytes / 10);
                now += round_trip / 10;
            }
        }
        window.window
    }

    #[test]
    fn the_receiver_lets_more_come_where_the_path_holds_more() {
        for (bytes_per_s, round_trip_ms, expected) in [
            (1_000_000, 20, MIB),
            (25_000_000, 80, 8 * MIB),
            (125_000_000, 1, MIB),
            (1_000_000_000, 80, 16 * MIB),
        ] {
            let window = grown(bytes_per_s, round_trip_ms, 16 * MIB);
            assert_eq!(window, expected, "{bytes_per_s} B/s, {round_trip_ms} ms");
        }
    }
}
