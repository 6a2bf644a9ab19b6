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

/// What is known of one snapshot.
#[derive(Default)]
struct PageSet {
    found: HashSet<PageId>,
    /// The pages without which nothing deeper can be found, as of the last walk; none before
    /// it. An empty list says that all were found.
    lacks: Option<Vec<PageId>>,
}

impl PageSet {
    /// Looks a level deeper, if there is a reason to: a manifest is not walked again and again
    /// for pages that somebody has invented. Says whether it found more.
    fn grow(&mut self, store: &Store, snapshot: &Snapshot) -> Result<bool, ReadError<StoreError>> {
        if let Some(lacks) = &self.lacks {
            let view = store.view();
            let has = |page| view.page_spot(page).map(|spot| spot.is_some());
            let mut come = false;
            for page in lacks {
                come |= has(page).map_err(ReadError::Source)?;
            }
            if !come {
                return Ok(false);
            }
        }
        let known = Known {
            store,
            set: &self.found,
        };
        let next = manifest::missing(&known, snapshot, 0..u64::MAX, usize::MAX)?;
        let before = self.found.len();
        self.found.extend(&next);
        let grew = self.found.len() > before;
        self.lacks = (!grew).then_some(next);
        Ok(grew)
    }
}

type Shared = (SnapshotId, Arc<Mutex<PageSet>>);

/// The pages of the snapshots that were asked for last. Blocking.
#[derive(Default)]
pub(crate) struct PageSets {
    sets: Mutex<Vec<Shared>>,
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
        while !pages.iter().all(|page| set.found.contains(page)) {
            if !set.grow(store, snapshot)? {
                break;
            }
        }
        let found = pages.iter().filter(|page| set.found.contains(page));
        Ok(found.copied().collect())
    }

    fn set(&self, snapshot: SnapshotId) -> Arc<Mutex<PageSet>> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use shoal_protocol::chunking::PROFILE_1;
    use shoal_protocol::id::ChunkId;
    use shoal_protocol::manifest::{Content, Entry, EntryKind};
    use shoal_protocol::paged_list::Builder;
    use shoal_protocol::path::ManifestPath;
    use shoal_protocol::snapshot::Shape;
    use shoal_store::StoreOptions;
    use shoal_store::disk::real::RealDisk;

    /// A snapshot of many files, and its pages.
    fn snapshot() -> (Snapshot, Vec<(PageId, Vec<u8>)>) {
        let mut pages = Vec::new();
        let mut emit = |id, bytes| pages.push((id, bytes));
        let mut manifest = Builder::new();
        for number in 0_u32..20_000 {
            let entry = Entry {
                path: ManifestPath::new(format!("{number:05}")).unwrap(),
                kind: EntryKind::File {
                    executable: false,
                    size: 4,
                    content: Content::Chunk(ChunkId::of(&number.to_le_bytes())),
                },
            };
            manifest.push(&entry, &mut emit).unwrap();
        }
        let manifest = manifest.finish(&mut emit);
        (Snapshot::new(PROFILE_1.id, Shape::Folder, manifest), pages)
    }

    #[test]
    fn a_set_has_the_pages_of_its_snapshot_alone_and_grows_as_they_come() {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::default;
        let store = Store::open(RealDisk::shared(), dir.path(), options()).unwrap();
        let (snapshot, pages) = snapshot();
        let (first, rest) = pages.split_last().unwrap();
        assert!(rest.len() > 2, "a tree of pages");
        let put = |pages: &[(PageId, Vec<u8>)]| {
            let batch = store.begin();
            for (id, bytes) in pages {
                batch.put_page(id, bytes).unwrap();
            }
            batch.commit(false).unwrap();
        };
        let sets = PageSets::default();
        let all: Vec<_> = pages.iter().map(|(id, _)| *id).collect();
        let invented = PageId::of(b"none");
        let of = |pages: &[PageId]| sets.of_snapshot(&store, &snapshot, pages).unwrap();
        // Only the root is known as long as it is not here.
        assert_eq!(of(&all), [first.0]);
        put(std::slice::from_ref(first));
        assert!(of(&all).len() > 1);
        put(rest);
        assert_eq!(of(&all), all);
        assert_eq!(of(&[invented, first.0]), [first.0]);
        // The walk is over: a further question does not even look at the pages.
        let set = sets.set(snapshot.id());
        let mut set = set.lock().unwrap();
        assert_eq!(set.lacks, Some(Vec::new()));
        let elsewhere = tempfile::tempdir().unwrap();
        let empty = Store::open(RealDisk::shared(), elsewhere.path(), options());
        assert!(!set.grow(&empty.unwrap(), &snapshot).unwrap());
    }
}
