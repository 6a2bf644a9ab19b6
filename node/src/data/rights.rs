//! What a peer may read on one connection.
//!
//! Owns: the grants in force, and the moment at which one is not any more. Refuses: giving
//! any.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shoal_protocol::access::grant::CLOCK_TOLERANCE_S;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::SnapshotId;
use shoal_store::index::Coverage;
use shoal_store::{Store, StoreError};

use super::admission::Allowed;

/// How old the knowledge of what is offered may be, while a snapshot is still received.
const OFFER_AGE_MAX: Duration = Duration::from_millis(500);

/// The grants in force on a connection.
#[derive(Default)]
pub(crate) struct Rights {
    by_snapshot: Mutex<HashMap<SnapshotId, Right>>,
}

struct Right {
    allowed: Allowed,
    /// Unix seconds, clock tolerance included.
    until: Option<u64>,
    offered: Option<(Instant, RangeSet)>,
}

impl Rights {
    /// Puts a grant in force until `expires_unix_s`.
    pub(crate) fn add(&self, allowed: Allowed, expires_unix_s: Option<u64>) {
        let right = Right {
            until: expires_unix_s.map(|end| end.saturating_add(CLOCK_TOLERANCE_S)),
            allowed,
            offered: None,
        };
        self.table().insert(right.allowed.snapshot.id(), right);
    }

    /// How many grants are in force, those that ended included until they are asked about.
    pub(crate) fn count(&self) -> usize {
        self.table().len()
    }

    /// What may be read of a snapshot at `now_unix_s`, if anything.
    pub(crate) fn allowed(&self, snapshot: &SnapshotId, now_unix_s: u64) -> Option<Allowed> {
        let table = self.table();
        let right = table.get(snapshot)?;
        right.holds(now_unix_s).then(|| right.allowed.clone())
    }

    /// Drops the grants that ended; gives how many are left.
    pub(crate) fn expire(&self, now_unix_s: u64) -> usize {
        let mut table = self.table();
        table.retain(|_, right| right.holds(now_unix_s));
        table.len()
    }

    /// Seconds until the next grant ends by itself.
    pub(crate) fn next_end(&self, now_unix_s: u64) -> Option<Duration> {
        let table = self.table();
        let ends = table.values().filter_map(|right| right.until);
        let next = ends.min()?;
        Some(Duration::from_secs(next.saturating_sub(now_unix_s) + 1))
    }

    /// The revocation tokens of all grants in force.
    pub(crate) fn revocations(&self) -> Vec<tokio_util::sync::CancellationToken> {
        let table = self.table();
        table
            .values()
            .map(|right| right.allowed.revoked.clone())
            .collect()
    }

    /// What `see` finds in the positions of a snapshot that are offered; nothing if it may not
    /// be read. They may be many, and are not copied for it.
    pub(crate) fn offered<T>(
        &self,
        store: &Store,
        snapshot: &SnapshotId,
        now_unix_s: u64,
        see: impl FnOnce(&RangeSet) -> T,
    ) -> Result<Option<T>, StoreError> {
        let mut table = self.table();
        let Some(right) = table.get_mut(snapshot) else {
            return Ok(None);
        };
        if !right.holds(now_unix_s) {
            return Ok(None);
        }
        let fresh = |(at, _): &(Instant, RangeSet)| at.elapsed() < OFFER_AGE_MAX;
        if !right.offered.as_ref().is_some_and(fresh) {
            let offered = read_offer(store, snapshot, right.allowed.snapshot.bytes)?;
            right.offered = Some((Instant::now(), offered));
        }
        Ok(right.offered.as_ref().map(|(_, offered)| see(offered)))
    }

    /// Has what is offered of a snapshot looked up again.
    pub(crate) fn forget_offer(&self, snapshot: &SnapshotId) {
        if let Some(right) = self.table().get_mut(snapshot) {
            right.offered = None;
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<SnapshotId, Right>> {
        self.by_snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Right {
    fn holds(&self, now_unix_s: u64) -> bool {
        !self.allowed.revoked.is_cancelled() && self.until.is_none_or(|until| now_unix_s <= until)
    }
}

/// What the store offers of a snapshot now.
pub(crate) fn read_offer(
    store: &Store,
    snapshot: &SnapshotId,
    bytes: u64,
) -> Result<RangeSet, StoreError> {
    let row = store.view().snapshot(snapshot)?;
    Ok(match row.map(|row| row.offered) {
        None => RangeSet::new(),
        Some(Coverage::Complete) => RangeSet::of(0..bytes),
        Some(Coverage::Ranges(ranges)) => ranges.into_iter().collect(),
    })
}
