//! Reads a snapshot in the order of positions: entries, and behind each file its chunks.

use std::ops::Range;

use crate::id::PageId;
use crate::paged_list::{ChunkRef, PageSource, ReadError};
use crate::snapshot::Snapshot;

use super::Entry;

/// What comes next in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An entry.
    Entry {
        /// How many entries stand before it.
        index: u64,
        /// Where its bytes begin in the space of positions.
        position: u64,
        /// The entry.
        entry: Entry,
    },
    /// A chunk of the file that was the last entry.
    Chunk {
        /// Where the chunk begins in the space of positions.
        position: u64,
        /// Where the chunk begins in its file.
        file_offset: u64,
        /// The chunk.
        chunk: ChunkRef,
    },
}

/// A place in a snapshot.
///
/// As with [`Cursor`](crate::paged_list::Cursor) a missing page leaves it where it is.
#[derive(Debug, Clone)]
pub struct SnapshotCursor {
    snapshot: Snapshot,
}

impl SnapshotCursor {
    /// At the first entry of `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            snapshot: *snapshot,
        }
    }

    /// Moves to `position`: the next step is the entry whose file holds that byte (or the
    /// first that begins there), the one after that the chunk that holds it.
    pub fn seek(&mut self, position: u64) {
        let _ = (position, &self.snapshot);
        todo!()
    }

    /// Moves to the entry at `path`, or else to the first one behind it.
    pub fn seek_path(&mut self, path: &crate::path::ManifestPath) {
        let _ = path;
        todo!()
    }

    /// Leaves out the chunks of the file that was the last entry.
    pub fn skip_chunks(&mut self) {
        todo!()
    }

    /// What stands at the cursor, which moves on behind it; nothing at the end.
    pub fn next<S: PageSource>(&mut self, source: &S) -> Result<Option<Step>, ReadError<S::Error>> {
        let _ = source;
        todo!()
    }
}

/// The first `limit` pages that are not held and that reading `positions` of `snapshot`
/// needs: of its manifest and of the content lists of its files, in the order of positions.
/// What lies beneath a missing page is unknown until it comes, so ask again then.
pub fn missing<S: PageSource>(
    source: &S,
    snapshot: &Snapshot,
    positions: Range<u64>,
    limit: usize,
) -> Result<Vec<PageId>, ReadError<S::Error>> {
    let _ = (source, snapshot, positions, limit);
    todo!()
}
