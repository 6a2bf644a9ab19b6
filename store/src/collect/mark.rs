//! What snapshots need.
//!
//! Owns: walking every snapshot's pages and remembering, by 8 bytes of each id, what was seen.
//! Two ids that agree in these keep one another alive, which costs a little room and is no
//! mistake. Refuses: to delete.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::manifest::{self, Content, EntryKind};
use shoal_protocol::paged_list::{Change, ChunkRef, Cursor, Diff, PageSource, Placed, ReadError};
use shoal_protocol::snapshot::Snapshot;

use super::CollectError;
use crate::index::{Coverage, SnapshotRow};
use crate::progress::Progress;
use crate::survey::page_of;
use crate::{Store, StoreError};

/// What has been marked.
#[derive(Default)]
pub(super) struct Marks {
    ids: HashSet<u64>,
    lists: HashSet<PageId>,
    snapshots: HashSet<SnapshotId>,
    /// Some snapshot has not all of its pages yet, so that not all of its chunks are known.
    pub(super) partial: bool,
}

impl Marks {
    /// Whether the chunk or page with this hash is needed.
    pub(super) fn has(&self, hash: &[u8; 32]) -> bool {
        self.ids.contains(&key(hash))
    }

    /// Whether the content of a file is needed.
    pub(super) fn has_content(&self, content: &Content) -> bool {
        match content {
            Content::Empty => true,
            Content::Chunk(id) => self.has(id.as_bytes()),
            Content::List(id) => self.has(id.as_bytes()),
        }
    }

    /// Whether a snapshot has been marked.
    pub(super) fn has_snapshot(&self, id: &SnapshotId) -> bool {
        self.snapshots.contains(id)
    }

    /// Marks what these snapshots need. Of each only what the one before does not have is
    /// looked at, so versions of one artifact should be neighbours.
    pub(super) fn snapshots(
        &mut self,
        store: &Store,
        rows: &[SnapshotRow],
        progress: &dyn Progress,
    ) -> Result<(), CollectError> {
        let mut rows: Vec<_> = rows.iter().collect();
        rows.sort_by_key(|row| row.at_unix_s);
        let mut before: Option<&Snapshot> = None;
        for row in rows {
            if progress.cancelled() {
                return Err(CollectError::Cancelled);
            }
            if self.snapshot(store, before, row)? {
                before = Some(&row.snapshot);
            }
            self.snapshots.insert(row.id());
        }
        Ok(())
    }

    /// Marks a snapshot, given one that is marked; says whether all of it is known.
    fn snapshot(
        &mut self,
        store: &Store,
        before: Option<&Snapshot>,
        row: &SnapshotRow,
    ) -> Result<bool, CollectError> {
        let was_partial = std::mem::replace(&mut self.partial, false);
        let walked = self.walk(store, before, &row.snapshot);
        let whole = match walked {
            Ok(()) => true,
            Err(error) => {
                let page = page_of(error)?;
                if row.held == Coverage::Complete {
                    return Err(CollectError::Unreadable {
                        snapshot: row.id(),
                        why: format!("{page} is missing or damaged"),
                    });
                }
                self.held_pages(store, &row.snapshot)?;
                false
            }
        };
        self.partial = was_partial || !whole;
        Ok(whole)
    }

    fn walk(
        &mut self,
        store: &Store,
        before: Option<&Snapshot>,
        snapshot: &Snapshot,
    ) -> Result<(), ReadError<StoreError>> {
        let mut diff = Diff::new(before.and_then(|before| before.manifest), snapshot.manifest);
        loop {
            let source = Marking::new(store, &mut self.ids);
            let Some(change) = diff.next(&source)? else {
                return Ok(());
            };
            let (Change::Added(Placed { item, .. })
            | Change::Changed {
                new: Placed { item, .. },
                ..
            }) = change
            else {
                continue;
            };
            if let EntryKind::File { content, size, .. } = item.kind {
                self.content(store, &content, size)?;
            }
        }
    }

    fn content(
        &mut self,
        store: &Store,
        content: &Content,
        size: u64,
    ) -> Result<(), ReadError<StoreError>> {
        let list = match content {
            Content::Empty => return Ok(()),
            Content::Chunk(id) => {
                self.ids.insert(key(id.as_bytes()));
                return Ok(());
            }
            Content::List(list) => *list,
        };
        if !self.lists.insert(list) {
            return Ok(());
        }
        let mut cursor = Cursor::<ChunkRef>::holding(Some(list), None, Some(size));
        loop {
            let source = Marking::new(store, &mut self.ids);
            let next = cursor.next(&source).inspect_err(|_| {
                self.lists.remove(&list);
            })?;
            let Some(chunk) = next else {
                return Ok(());
            };
            self.ids.insert(key(chunk.item.id.as_bytes()));
        }
    }

    /// Marks those pages of an unfinished snapshot that came, beyond gaps too.
    fn held_pages(&mut self, store: &Store, snapshot: &Snapshot) -> Result<(), CollectError> {
        let source = Marking::new(store, &mut self.ids);
        match manifest::missing(&source, snapshot, 0..u64::MAX, usize::MAX) {
            Ok(_) => Ok(()),
            Err(error) => Ok(page_of(error).map(drop)?),
        }
    }
}

fn key(hash: &[u8; 32]) -> u64 {
    let (front, _) = hash.split_first_chunk().expect("32 bytes");
    u64::from_le_bytes(*front)
}

/// The pages of a store; those that are read are marked.
struct Marking<'a> {
    store: &'a Store,
    ids: RefCell<&'a mut HashSet<u64>>,
}

impl<'a> Marking<'a> {
    fn new(store: &'a Store, ids: &'a mut HashSet<u64>) -> Self {
        Self {
            store,
            ids: RefCell::new(ids),
        }
    }
}

impl PageSource for Marking<'_> {
    type Error = StoreError;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.ids.borrow_mut().insert(key(id.as_bytes()));
        self.store.page(id)
    }
}
