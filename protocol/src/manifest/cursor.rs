//! Reads a snapshot in the order of positions: entries, and behind each file its chunks.
//!
//! Owns: where each chunk stands in the space of positions. Refuses: fetching and bytes.

use std::ops::Range;

use crate::id::PageId;
use crate::paged_list::{ChunkRef, Cursor, Frontier, PageError, PageSource, ReadError};
use crate::path::ManifestPath;
use crate::snapshot::{Shape, Snapshot};

use super::{Content, Entry, EntryKind};

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
/// As with [`Cursor`] a missing page leaves it where it is.
#[derive(Debug, Clone)]
pub struct SnapshotCursor {
    snapshot: Snapshot,
    entries: Cursor<Entry>,
    /// The file whose chunks come next.
    file: Option<File>,
    /// Where in the next file its chunks are to begin, by position.
    target: u64,
}

#[derive(Debug, Clone)]
struct File {
    /// Where its bytes begin.
    position: u64,
    chunks: Chunks,
}

#[derive(Debug, Clone)]
enum Chunks {
    One(ChunkRef),
    List(Box<Cursor<ChunkRef>>),
}

impl SnapshotCursor {
    /// At the first entry of `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Self {
        let Snapshot {
            manifest,
            entries,
            bytes,
            ..
        } = *snapshot;
        Self {
            snapshot: *snapshot,
            entries: Cursor::holding(manifest, Some(entries), Some(bytes)),
            file: None,
            target: 0,
        }
    }

    /// Moves to `position`: the next step is the entry whose file holds that byte (or the
    /// first that begins there), the one after that the chunk that holds it.
    pub fn seek(&mut self, position: u64) {
        self.entries.seek_position(position);
        self.file = None;
        self.target = position;
    }

    /// Moves to the entry at `path`, or else to the first one behind it, which is the first
    /// one inside if `path` is a directory.
    pub fn seek_path(&mut self, path: &ManifestPath) {
        self.entries.seek_path(path.clone());
        self.file = None;
        self.target = 0;
    }

    /// Moves to the first entry that comes after `path` and everything inside it.
    pub fn seek_past(&mut self, path: &ManifestPath) {
        self.entries.seek_past(path.clone());
        self.file = None;
        self.target = 0;
    }

    /// Leaves out the chunks (left) of the file that was the last entry.
    pub fn skip_chunks(&mut self) {
        self.file = None;
    }

    /// What stands at the cursor, which moves on behind it; nothing at the end.
    pub fn next<S: PageSource>(&mut self, source: &S) -> Result<Option<Step>, ReadError<S::Error>> {
        if let Some(step) = self.next_chunk(source)? {
            return Ok(Some(step));
        }
        let Some(placed) = self.entries.next(source)? else {
            return Ok(None);
        };
        self.check_shape(&placed.item)?;
        self.file = File::of(&placed.item, placed.position, self.target);
        self.target = 0;
        Ok(Some(Step::Entry {
            index: placed.index,
            position: placed.position,
            entry: placed.item,
        }))
    }

    fn next_chunk<S: PageSource>(
        &mut self,
        source: &S,
    ) -> Result<Option<Step>, ReadError<S::Error>> {
        let Some(File { position, chunks }) = &mut self.file else {
            return Ok(None);
        };
        let (position, next) = match chunks {
            Chunks::One(chunk) => {
                let only = (0, *chunk);
                let position = *position;
                self.file = None;
                (position, Some(only))
            }
            Chunks::List(list) => {
                let next = list
                    .next(source)?
                    .map(|placed| (placed.position, placed.item));
                (*position, next)
            }
        };
        if next.is_none() {
            self.file = None;
        }
        Ok(next.map(|(file_offset, chunk)| Step::Chunk {
            position: position + file_offset,
            file_offset,
            chunk,
        }))
    }

    /// A snapshot of a lone file holds one file, in no directory.
    fn check_shape<E>(&self, entry: &Entry) -> Result<(), ReadError<E>> {
        let lone_file =
            matches!(entry.kind, EntryKind::File { .. }) && entry.path.parent().is_none();
        match (self.snapshot.shape, self.snapshot.manifest) {
            (Shape::File, Some(page)) if !lone_file => Err(ReadError::Corrupt {
                page,
                why: PageError::NotALoneFile,
            }),
            _ => Ok(()),
        }
    }
}

impl File {
    /// The chunks of `entry`, from the one on that holds `target`.
    fn of(entry: &Entry, position: u64, target: u64) -> Option<Self> {
        let chunks = match (entry.lone_chunk(), &entry.kind) {
            (Some(chunk), _) => Chunks::One(chunk),
            (
                None,
                EntryKind::File {
                    size,
                    content: Content::List(page),
                    ..
                },
            ) => {
                let mut list = Cursor::holding(Some(*page), None, Some(*size));
                list.seek_position(target.saturating_sub(position));
                Chunks::List(Box::new(list))
            }
            _ => return None,
        };
        Some(Self { position, chunks })
    }
}

/// The first `limit` pages that are not held and that reading `positions` of `snapshot`
/// needs: of its manifest and of the content lists of its files, in the order of positions.
/// What lies beneath a missing page is unknown until it comes, so ask again then.
///
/// It reads what is held of the manifest for `positions`, so give it a stretch ahead of
/// where it is needed, not all at once. Use `0..u64::MAX` for everything, since the end is
/// excluded and a snapshot may end with entries that have no bytes.
pub fn missing<S: PageSource>(
    source: &S,
    snapshot: &Snapshot,
    positions: Range<u64>,
    limit: usize,
) -> Result<Vec<PageId>, ReadError<S::Error>> {
    let mut frontier = Frontier::new(limit);
    let Some(manifest) = snapshot.manifest else {
        return Ok(frontier.into_missing());
    };
    let within = positions.clone();
    frontier.add_list(
        source,
        manifest,
        positions,
        Some(&mut |frontier: &mut Frontier, position, entry: &Entry| {
            let EntryKind::File {
                content: Content::List(list),
                ..
            } = entry.kind
            else {
                return Ok(());
            };
            let start = within.start.saturating_sub(position);
            let end = within.end - position;
            frontier.add_list::<ChunkRef, S>(source, list, start..end, None)
        }),
    )?;
    Ok(frontier.into_missing())
}
