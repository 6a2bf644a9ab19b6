//! What a line does to a packet.
//!
//! Owns: when each packet arrives, or that it does not. Refuses: packets; it sees lengths and
//! times, and its chance is seeded.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How long a packet may wait for its turn before it is dropped, as on the links of the lab.
const QUEUE: Duration = Duration::from_millis(30);
/// How much later a packet comes that is overtaken: by some fifty others at 200 Mbit/s.
const OVERTAKEN_BY: Duration = Duration::from_millis(3);

/// The line between a host and the rest of the internet: the same both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Its rate in Mbit/s.
    pub mbit: u32,
    /// How long a packet is on it, one way.
    pub delay: Duration,
    /// The share of packets that is lost, each way.
    pub loss: f64,
    /// The share of packets that others overtake.
    pub reordered: f64,
}

impl Default for Line {
    /// 1 Gbit/s and nothing wrong with it.
    fn default() -> Self {
        Self {
            mbit: 1000,
            delay: Duration::ZERO,
            loss: 0.0,
            reordered: 0.0,
        }
    }
}

/// One way of a line.
pub(super) struct Way {
    line: Line,
    chance: StdRng,
    free_at: Option<Instant>,
}

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives(Instant),
    Lost,
    /// The queue in front of the line is full.
    Dropped,
}

impl Way {
    pub(super) fn new(line: Line, seed: u64) -> Self {
        Self {
            line,
            chance: StdRng::seed_from_u64(seed),
            free_at: None,
        }
    }

    /// Sends a packet of `bytes` that comes to the line at `now`.
    pub(super) fn send(&mut self, now: Instant, bytes: usize) -> Fate {
        let starts = self.free_at.map_or(now, |free_at| free_at.max(now));
        if starts - now > QUEUE {
            return Fate::Dropped;
        }
        let bits = bytes as f64 * 8.0;
        let sent = starts + Duration::from_secs_f64(bits / (f64::from(self.line.mbit) * 1e6));
        self.free_at = Some(sent);
        // Drawn in any case, so that one share does not change what the other hits.
        let (is_lost, is_overtaken) = (
            self.chance.random::<f64>() < self.line.loss,
            self.chance.random::<f64>() < self.line.reordered,
        );
        let later = if is_overtaken {
            OVERTAKEN_BY
        } else {
            Duration::ZERO
        };
        match is_lost {
            true => Fate::Lost,
            false => Fate::Arrives(sent + self.line.delay + later),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_packet_takes_its_time_on_the_wire_and_the_delay() {
        let line = Line {
            mbit: 8,
            delay: 40 * MS,
            ..Line::default()
        };
        let (mut way, now) = (Way::new(line, 1), Instant::now());
        assert_eq!(way.send(now, 1000), Fate::Arrives(now + 41 * MS));
        assert_eq!(way.send(now, 1000), Fate::Arrives(now + 42 * MS));
        let later = now + 100 * MS;
        assert_eq!(way.send(later, 1000), Fate::Arrives(later + 41 * MS));
    }

    #[test]
    fn a_queue_that_is_full_drops() {
        let line = Line {
            mbit: 8,
            ..Line::default()
        };
        let (mut way, now) = (Way::new(line, 1), Instant::now());
        let fates: Vec<_> = (0..40).map(|_| way.send(now, 1000)).collect();
        let arrived = fates.iter().take_while(|fate| **fate != Fate::Dropped);
        assert_eq!(arrived.count(), 31);
        assert_eq!(fates[39], Fate::Dropped);
    }

    #[test]
    fn the_same_seed_loses_and_reorders_the_same_packets() {
        let line = Line {
            loss: 0.1,
            reordered: 0.05,
            ..Line::default()
        };
        let now = Instant::now();
        let fates = |seed| -> Vec<Fate> {
            let mut way = Way::new(line, seed);
            let at = |number| now + MS * number;
            (0..10_000)
                .map(|number| way.send(at(number), 100))
                .collect()
        };
        let (first, second) = (fates(1), fates(1));
        assert_eq!(first, second);
        assert_ne!(first, fates(2));
        let lost = first.iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((900..1100).contains(&lost), "{lost}");
        let overtaken = first.iter().enumerate().filter(|(number, fate)| {
            matches!(fate, Fate::Arrives(at) if *at > now + MS * *number as u32 + 2 * MS)
        });
        let overtaken = overtaken.count();
        assert!((350..550).contains(&overtaken), "{overtaken}");
    }
}
