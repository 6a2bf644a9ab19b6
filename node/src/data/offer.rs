//! What a source says that it offers of a snapshot.
//!
//! Owns: the set and the generation that it was told with, as large as one that can be told at
//! once and no larger, whatever comes; and how often it is listened to. Refuses: positions that
//! the snapshot does not have.

use std::time::Duration;

use shoal_protocol::have::{RANGES_MAX, RangeSet};
use tokio::time::Instant;

/// A node that is still getting something tells of it twice a second.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// So often at once after it was quiet.
const TOLD_AT_ONCE: u32 = 32;

/// See the top of this file.
#[derive(Debug, Clone, Default)]
pub(super) struct Offer {
    ranges: RangeSet,
    generation: u64,
    /// How often it was changed.
    changes: u64,
}

/// The source offers positions behind the end of the snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beyond;

/// What to do after more was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing: all that was told is known.
    Known,
    /// To ask for all of it.
    Ask,
}

impl Offer {
    pub(super) fn new(ranges: RangeSet) -> Self {
        Self {
            ranges,
            generation: 0,
            changes: 0,
        }
    }

    pub(super) fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// How often it was changed: who saw it then knows all of it.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The source does not have these positions after all.
    pub(super) fn lacks(&mut self, range: std::ops::Range<u64>) {
        self.changes += 1;
        self.ranges.remove(range);
    }

    /// Takes all that is offered of a snapshot of so many bytes.
    pub(super) fn replace(
        &mut self,
        told: RangeSet,
        generation: u64,
        bytes: u64,
    ) -> Result<(), Beyond> {
        check(&told, bytes)?;
        *self = Self {
            ranges: told,
            generation,
            changes: self.changes + 1,
        };
        Ok(())
    }

    /// Takes what is offered besides. What would make the set more scattered than one that is
    /// told at once is left out: who tells all of it cuts it.
    pub(super) fn add(
        &mut self,
        told: &RangeSet,
        generation: u64,
        bytes: u64,
    ) -> Result<After, Beyond> {
        check(told, bytes)?;
        let follows = self.generation.checked_add(1) == Some(generation);
        self.generation = generation;
        if self.ranges.range_count() + told.range_count() > RANGES_MAX {
            return Ok(After::Ask);
        }
        self.changes += 1;
        // A source may send many with little in each: those cost what is in them.
        match told.range_count() <= FEW {
            true => told.iter().for_each(|range| self.ranges.insert(range)),
            false => self.ranges = self.ranges.union(told),
        }
        match follows {
            true => Ok(After::Known),
            false => Ok(After::Ask),
        }
    }
}

/// How often a source told of its offer. Whatever it tells, all that is to be fetched is looked
/// at anew, so that one that tells without end would keep a processor busy.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// When all that was told would have been told at the pace that is allowed.
    even: Option<Instant>,
}

impl Telling {
    /// Counts what is told at `now`; says until when nothing more is to be read of a source that
    /// told too much.
    pub(super) fn told(&mut self, now: Instant) -> Option<Instant> {
        let even = self.even.map_or(now, |even| even.max(now)) + TOLD_EVERY;
        self.even = Some(even);
        let early = TOLD_EVERY * TOLD_AT_ONCE;
        (even > now + early).then(|| even - early)
    }
}

/// So many are inserted one by one.
const FEW: usize = 16;

fn check(told: &RangeSet, bytes: u64) -> Result<(), Beyond> {
    match told.iter().next_back() {
        Some(last) if last.end > bytes => Err(Beyond),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BYTES: u64 = 1 << 40;

    /// Ranges of one position each.
    fn scattered(count: u64, from: u64) -> RangeSet {
        (0..count).map(|i| from + 2 * i..from + 2 * i + 1).collect()
    }

    #[test]
    fn what_comes_in_order_adds_up() {
        for count in [1, FEW as u64, 100] {
            let mut offer = Offer::default();
            offer.replace(RangeSet::of(0..10), 7, BYTES).unwrap();
            let more = scattered(count, 100);
            assert_eq!(offer.add(&more, 8, BYTES), Ok(After::Known));
            assert_eq!(*offer.ranges(), RangeSet::of(0..10).union(&more));
            assert_eq!(offer.add(&RangeSet::of(20..30), 10, BYTES), Ok(After::Ask));
            assert!(offer.ranges().contains_range(20..30));
        }
    }

    #[test]
    fn positions_that_do_not_exist_are_refused() {
        let mut offer = Offer::default();
        let beyond = RangeSet::of(0..101);
        assert_eq!(offer.replace(beyond.clone(), 1, 100), Err(Beyond));
        assert_eq!(offer.add(&beyond, 1, 100), Err(Beyond));
        let far = RangeSet::of(u64::MAX - 1..u64::MAX);
        assert_eq!(offer.add(&far, 1, 100), Err(Beyond));
        assert!(offer.ranges().is_empty());
        assert_eq!(offer.add(&RangeSet::of(0..100), 1, 100), Ok(After::Known));
    }

    #[test]
    fn a_generation_that_cannot_be_followed_is_no_end() {
        let mut offer = Offer::default();
        offer.replace(RangeSet::new(), u64::MAX, BYTES).unwrap();
        for generation in [0, u64::MAX, 0] {
            assert_eq!(
                offer.add(&RangeSet::of(0..1), generation, BYTES),
                Ok(After::Ask)
            );
        }
        assert_eq!(offer.add(&RangeSet::of(0..1), 1, BYTES), Ok(After::Known));
    }

    #[tokio::test(start_paused = true)]
    async fn who_tells_without_end_is_listened_to_ten_times_a_second() {
        let mut telling = Telling::default();
        let began = Instant::now();
        for _ in 0..TOLD_AT_ONCE + 600 {
            if let Some(until) = telling.told(Instant::now()) {
                tokio::time::sleep_until(until).await;
            }
        }
        assert_eq!(began.elapsed(), Duration::from_secs(60));
        // Who tells as often as nodes do is never waited for.
        for _ in 0..TOLD_AT_ONCE * 10 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(telling.told(Instant::now()), None);
        }
    }

    #[test]
    fn however_much_is_told_no_more_is_kept_than_can_be_told_at_once() {
        let mut offer = Offer::default();
        let piece = 4096;
        for round in 0..64 {
            let more = scattered(piece, round * 2 * piece);
            let after = offer.add(&more, round + 1, BYTES).unwrap();
            let fits = (round + 1) * piece <= RANGES_MAX as u64;
            assert_eq!(after == After::Known, fits, "round {round}");
            assert!(offer.ranges().range_count() <= RANGES_MAX);
        }
    }
}
