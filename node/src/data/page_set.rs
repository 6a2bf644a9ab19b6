//! Which pages belong to a snapshot, so that a right to one snapshot opens no other.
//!
//! Owns: the set, grown as far as it is asked about: a level deeper for each question that
//! it cannot answer. Refuses: the pages' bytes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::manifest;
use shoal_protocol::paged_list::{PageSource, ReadError};
use shoal_protocol::snapshot::Snapshot;
use shoal_store::{Store, StoreError};

/// Snapshots whose sets are kept; one costs 40 bytes a page.
const SETS_MAX: usize = 16;

/// The store as a source of pages.
pub(crate) struct StorePages<'a>(pub(crate) &'a Store);

impl PageSource for StorePages<'_> {
    type Error = StoreError;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.0.page(id)
    }
}

/// A snapshot and the pages of it that were found so far.
type PageSet = (SnapshotId, Arc<Mutex<HashSet<PageId>>>);

/// The pages of the snapshots that were asked for last. Blocking.
#[derive(Default)]
pub(crate) struct PageSets {
    sets: Mutex<Vec<PageSet>>,
}

impl PageSets {
    /// Of `pages`, those that are pages of `snapshot`.
    pub(crate) fn of_snapshot(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        pages: &[PageId],
    ) -> Result<Vec<PageId>, ReadError<StoreError>> {
        let set = self.set(snapshot.id());
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        while !pages.iter().all(|page| set.contains(page)) {
            let known = Known { store, set: &set };
            let next = manifest::missing(&known, snapshot, 0..u64::MAX, usize::MAX)?;
            let before = set.len();
            set.extend(next);
            if set.len() == before {
                break;
            }
        }
        Ok(pages
            .iter()
            .filter(|page| set.contains(page))
            .copied()
            .collect())
    }

    fn set(&self, snapshot: SnapshotId) -> Arc<Mutex<HashSet<PageId>>> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let found = sets.iter().position(|(id, _)| *id == snapshot);
        let entry = match found {
            Some(at) => sets.remove(at),
            None => (snapshot, Arc::default()),
        };
        let set = Arc::clone(&entry.1);
        sets.insert(0, entry);
        sets.truncate(SETS_MAX);
        set
    }
}

/// A source that has the pages of a set alone: what it lacks next is what belongs to the
/// snapshot one level deeper.
struct Known<'a> {
    store: &'a Store,
    set: &'a HashSet<PageId>,
}

impl PageSource for Known<'_> {
    type Error = StoreError;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, StoreError> {
        match self.set.contains(id) {
            true => self.store.page(id),
            false => Ok(None),
        }
    }
}
