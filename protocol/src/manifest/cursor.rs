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
    List(Cursor<ChunkRef>),
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
                Chunks::List(list)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunking::PROFILE_1;
    use crate::id::ChunkId;
    use crate::manifest::{ContentBuilder, SymlinkTarget};
    use crate::paged_list::{Builder, MemoryPages};
    use proptest::prelude::*;

    fn chunk(number: usize) -> ChunkRef {
        ChunkRef {
            id: ChunkId::of(&number.to_le_bytes()),
            length: 1000 + number as u32 % 77,
        }
    }

    fn entry(path: &str, kind: EntryKind) -> Entry {
        let path = ManifestPath::new(path).expect("a safe path");
        Entry { path, kind }
    }

    /// A file whose chunks are those from `first` on.
    fn file(path: &str, first: usize, chunks: usize, pages: &mut MemoryPages) -> Entry {
        let mut builder = ContentBuilder::new();
        let mut emit = |id, bytes| pages.put(id, bytes);
        for number in first..first + chunks {
            builder.push(chunk(number), &mut emit).expect("a chunk");
        }
        let (content, size) = builder.finish(&mut emit);
        let executable = false;
        entry(
            path,
            EntryKind::File {
                executable,
                size,
                content,
            },
        )
    }

    fn snapshot(shape: Shape, entries: &[Entry], pages: &mut MemoryPages) -> Snapshot {
        let mut builder = Builder::new();
        let mut emit = |id, bytes| pages.put(id, bytes);
        for entry in entries {
            builder.push(entry, &mut emit).expect("in order");
        }
        Snapshot::new(PROFILE_1.id, shape, builder.finish(&mut emit))
    }

    /// Files of the given numbers of chunks, with a link and an empty directory.
    fn folder(chunk_counts: &[usize]) -> (MemoryPages, Snapshot, Vec<Step>) {
        let mut pages = MemoryPages::new();
        let mut steps = Vec::new();
        let mut entries = vec![entry("a", EntryKind::EmptyDirectory)];
        for (i, &count) in chunk_counts.iter().enumerate() {
            entries.push(file(&format!("f{i:05}"), i * 1000, count, &mut pages));
        }
        let target = SymlinkTarget::new("a").expect("a target");
        entries.push(entry("z", EntryKind::Symlink { target }));
        let mut position = 0;
        for (index, entry) in entries.iter().enumerate() {
            steps.push(Step::Entry {
                index: index as u64,
                position,
                entry: entry.clone(),
            });
            let mut file_offset = 0;
            let count = index.checked_sub(1).and_then(|i| chunk_counts.get(i));
            for number in 0..*count.unwrap_or(&0) {
                let chunk = chunk((index - 1) * 1000 + number);
                steps.push(Step::Chunk {
                    position: position + file_offset,
                    file_offset,
                    chunk,
                });
                file_offset += u64::from(chunk.length);
            }
            position += file_offset;
        }
        let snapshot = snapshot(Shape::Folder, &entries, &mut pages);
        assert_eq!(snapshot.bytes, position);
        (pages, snapshot, steps)
    }

    fn steps_from(mut cursor: SnapshotCursor, pages: &MemoryPages) -> Vec<Step> {
        std::iter::from_fn(|| cursor.next(pages).expect("all pages are held")).collect()
    }

    #[test]
    fn a_snapshot_is_read_entry_by_entry_and_chunk_by_chunk() {
        let (pages, snapshot, steps) = folder(&[0, 1, 2, 0, 700, 1]);
        assert_eq!(steps_from(SnapshotCursor::new(&snapshot), &pages), steps);
        let empty = Snapshot::new(PROFILE_1.id, Shape::Folder, None);
        assert_eq!(steps_from(SnapshotCursor::new(&empty), &pages), []);
    }

    #[test]
    fn chunks_can_be_left_out() {
        let (pages, snapshot, steps) = folder(&[3, 1, 500]);
        let mut cursor = SnapshotCursor::new(&snapshot);
        let mut entries = Vec::new();
        while let Some(step) = cursor.next(&pages).expect("all pages are held") {
            entries.push(step);
            cursor.skip_chunks();
        }
        let expect = steps
            .iter()
            .filter(|step| matches!(step, Step::Entry { .. }));
        assert!(entries.iter().eq(expect));
    }

    #[test]
    fn a_path_is_found() {
        let (pages, snapshot, steps) = folder(&[3, 1, 500]);
        let mut cursor = SnapshotCursor::new(&snapshot);
        let path = ManifestPath::new("f00001").expect("safe");
        cursor.seek_path(&path);
        assert_eq!(cursor.next(&pages).expect("held").as_ref(), steps.get(5));
        cursor.seek_past(&path);
        assert_eq!(cursor.next(&pages).expect("held").as_ref(), steps.get(7));
    }

    #[test]
    fn a_missing_page_leaves_the_cursor_where_it_is() {
        let (pages, snapshot, steps) = folder(&[3, 0, 1, 3000, 2]);
        let mut held = MemoryPages::new();
        let mut cursor = SnapshotCursor::new(&snapshot);
        let mut read = Vec::new();
        loop {
            match cursor.next(&held) {
                Ok(Some(step)) => read.push(step),
                Ok(None) => break,
                Err(ReadError::Missing(id)) => {
                    let bytes = pages.page(&id).expect("infallible").expect("known");
                    held.put(id, bytes.to_vec());
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(read, steps);
        assert_eq!(held.len(), pages.len());
    }

    #[test]
    fn missing_pages_are_those_of_the_manifest_and_of_contents() {
        let counts: Vec<usize> = (0..3000).map(|i| i % 4).chain([2000]).collect();
        let (pages, snapshot, _) = folder(&counts);
        let mut held = MemoryPages::new();
        loop {
            let ask = missing(&held, &snapshot, 0..u64::MAX, 100).expect("no lies");
            assert!(ask.len() <= 100);
            if ask.is_empty() {
                break;
            }
            for id in ask {
                assert!(!held.holds(&id).expect("infallible"));
                let bytes = pages.page(&id).expect("infallible").expect("known");
                held.put(id, bytes.to_vec());
            }
        }
        assert_eq!(held.len(), pages.len());
    }

    #[test]
    fn only_pages_for_the_positions_are_missing() {
        let (pages, snapshot, steps) = folder(&[5000, 5000, 5000]);
        let positions = 6_000_000..6_000_100;
        let mut held = MemoryPages::new();
        loop {
            let ask = missing(&held, &snapshot, positions.clone(), 100).expect("no lies");
            let Some(id) = ask.first() else { break };
            let bytes = pages.page(id).expect("infallible").expect("known");
            held.put(*id, bytes.to_vec());
        }
        assert_eq!(held.len(), 3, "the manifest, one list and one of its pages");
        let mut cursor = SnapshotCursor::new(&snapshot);
        cursor.seek(positions.start);
        assert!(matches!(cursor.next(&held), Ok(Some(Step::Entry { .. }))));
        let chunk = cursor.next(&held).expect("held").expect("a chunk");
        let Step::Chunk { position, .. } = chunk else {
            panic!("{chunk:?}");
        };
        assert!(position <= positions.start && steps.contains(&chunk));
    }

    #[test]
    fn the_size_of_an_entry_must_be_that_of_its_chunks() {
        let mut pages = MemoryPages::new();
        let mut liar = file("a", 0, 10, &mut pages);
        let EntryKind::File { size, .. } = &mut liar.kind else {
            panic!("a file");
        };
        *size += 1;
        let snapshot = snapshot(Shape::Folder, &[liar], &mut pages);
        let mut cursor = SnapshotCursor::new(&snapshot);
        assert!(matches!(cursor.next(&pages), Ok(Some(Step::Entry { .. }))));
        assert!(matches!(
            cursor.next(&pages),
            Err(ReadError::Corrupt {
                why: PageError::Bytes { .. },
                ..
            })
        ));
    }

    #[test]
    fn a_lone_file_is_one_file_in_no_directory() {
        let mut pages = MemoryPages::new();
        let entries = [
            (file("a", 0, 2, &mut pages), true),
            (file("d/a", 0, 2, &mut pages), false),
            (entry("a", EntryKind::EmptyDirectory), false),
        ];
        for (entry, expect) in entries {
            let snapshot = snapshot(Shape::File, &[entry], &mut pages);
            let first = SnapshotCursor::new(&snapshot).next(&pages);
            assert_eq!(first.is_ok(), expect);
        }
    }

    #[test]
    fn sums_of_the_snapshot_must_be_those_of_its_manifest() {
        let (pages, honest, _) = folder(&[1, 2, 3]);
        for liar in [
            Snapshot {
                entries: honest.entries + 1,
                ..honest
            },
            Snapshot {
                bytes: honest.bytes - 1,
                ..honest
            },
        ] {
            let first = SnapshotCursor::new(&liar).next(&pages);
            assert!(matches!(first, Err(ReadError::Corrupt { .. })));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn seeking_agrees_with_reading_everything(
            counts in proptest::collection::vec(prop_oneof![0usize..4, 0usize..600], 0..30),
            part in 0.0f64..1.1,
        ) {
            let (pages, snapshot, steps) = folder(&counts);
            let target = (snapshot.bytes as f64 * part) as u64;
            let mut cursor = SnapshotCursor::new(&snapshot);
            cursor.seek(target);
            let entry_at = steps.iter().position(|step| match step {
                Step::Entry { position, entry, .. } => {
                    *position >= target || position + entry.size() > target
                }
                Step::Chunk { .. } => false,
            });
            let mut expect = Vec::new();
            if let Some(at) = entry_at {
                expect.push(steps[at].clone());
                expect.extend(steps[at + 1..].iter().filter(|step| match step {
                    Step::Chunk { position, chunk, .. } => {
                        position + u64::from(chunk.length) > target
                    }
                    Step::Entry { .. } => true,
                }).cloned());
            }
            prop_assert_eq!(steps_from(cursor, &pages), expect);
        }
    }
}
