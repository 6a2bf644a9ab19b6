//! What was already sent to somebody.
//!
//! Owns: the positions that went out at least once, for the snapshots asked for lately.
//! Refuses: to be exact: it is a hint that orders the queue, and it forgets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::have::{RANGES_MAX, RangeSet};
use crate::id::SnapshotId;

/// Snapshots remembered at most; beyond it the one that rested longest is forgotten.
const SNAPSHOTS_MAX: usize = 64;

#[derive(Debug)]
struct Sent {
    ranges: RangeSet,
    used: Instant,
}

/// What went out, by snapshot.
#[derive(Debug, Default)]
pub(super) struct Copies {
    sent: BTreeMap<SnapshotId, Sent>,
}

impl Copies {
    /// Whether most of these positions were sent to nobody.
    pub(super) fn is_fresh(&self, snapshot: &SnapshotId, ranges: &RangeSet) -> bool {
        let Some(sent) = self.sent.get(snapshot) else {
            return true;
        };
        let covered = ranges.iter().flat_map(|range| sent.ranges.within(range));
        let covered: u64 = covered.map(|range| range.end - range.start).sum();
        covered * 2 < ranges.total_bytes()
    }

    /// These positions are being sent.
    pub(super) fn note(&mut self, now: Instant, snapshot: SnapshotId, ranges: &RangeSet) {
        if self.sent.len() >= SNAPSHOTS_MAX && !self.sent.contains_key(&snapshot) {
            let oldest = self.sent.iter().min_by_key(|(_, sent)| sent.used);
            let oldest = oldest.map(|(snapshot, _)| *snapshot);
            oldest.map(|snapshot| self.sent.remove(&snapshot));
        }
        let sent = self.sent.entry(snapshot).or_insert_with(|| Sent {
            ranges: RangeSet::new(),
            used: now,
        });
        sent.used = now;
        ranges.iter().for_each(|range| sent.ranges.insert(range));
        if sent.ranges.range_count() > RANGES_MAX {
            sent.ranges = RangeSet::new();
        }
    }

    /// Only the first `bytes` of these positions were sent after all.
    pub(super) fn take_back(&mut self, snapshot: &SnapshotId, ranges: &RangeSet, bytes: u64) {
        let Some(sent) = self.sent.get_mut(snapshot) else {
            return;
        };
        let mut left = bytes;
        for range in ranges.iter() {
            let kept = left.min(range.end - range.start);
            left -= kept;
            sent.ranges.remove(range.start + kept..range.end);
        }
    }

    /// Forgets what nobody asked for since `kept` ago.
    pub(super) fn expire(&mut self, now: Instant, kept: Duration) {
        self.sent.retain(|_, sent| now < sent.used + kept);
    }

    /// When the next snapshot is forgotten.
    pub(super) fn next_expiry(&self, kept: Duration) -> Option<Instant> {
        self.sent.values().map(|sent| sent.used + kept).min()
    }
}
