//! The rows of a snapshot: one for each chunk and each content list.
//!
//! Owns: going through what a snapshot has that one before has not. Refuses: whether a
//! position is on offer, which changes: that is looked up when somebody asks.

use shoal_protocol::manifest::{Content, Entry, EntryKind};
use shoal_protocol::paged_list::{Change, ChunkRef, Cursor, Diff, Placed};

use super::rows::Writer;
use crate::Store;
use crate::error::StoreError;
use crate::index::{Coverage, SnapshotRow};
use crate::progress::Progress;
use crate::survey::page_of;

/// Whether what a later snapshot shares with this one needs no rows of its own: whoever may
/// read the later one finds it here.
pub(super) fn is_whole(row: &SnapshotRow) -> bool {
    row.offered == Coverage::Complete
}

/// Adds the rows of `row` that `before` has not. What lies on pages that are not here is left
/// out. Says whether it came to the end.
pub(super) fn snapshot(
    store: &Store,
    before: Option<&SnapshotRow>,
    row: &SnapshotRow,
    into: &mut Writer,
    progress: &dyn Progress,
) -> Result<bool, StoreError> {
    into.begin(row.id());
    let before = before
        .filter(|before| before.audience == row.audience)
        .and_then(|before| before.snapshot.manifest);
    let mut diff = Diff::new(before, row.snapshot.manifest);
    loop {
        if progress.cancelled() {
            return Ok(false);
        }
        let change = match diff.next(store) {
            Ok(Some(change)) => change,
            Ok(None) => return Ok(true),
            Err(error) => return page_of(error).map(|_| true),
        };
        if let Change::Added(new) | Change::Changed { new, .. } = change {
            file(store, new, into)?;
        }
    }
}

fn file(store: &Store, placed: Placed<Entry>, into: &mut Writer) -> Result<(), StoreError> {
    let Placed { position, item, .. } = placed;
    if let Some(chunk) = item.lone_chunk() {
        return into.push(chunk.id.as_bytes(), position);
    }
    let EntryKind::File {
        content: Content::List(list),
        size,
        ..
    } = item.kind
    else {
        return Ok(());
    };
    into.push(list.as_bytes(), position)?;
    let mut chunks = Cursor::<ChunkRef>::holding(Some(list), None, Some(size));
    loop {
        match chunks.next(store) {
            Ok(Some(chunk)) => into.push(chunk.item.id.as_bytes(), position + chunk.position)?,
            Ok(None) => return Ok(()),
            Err(error) => return page_of(error).map(|_| ()),
        }
    }
}
