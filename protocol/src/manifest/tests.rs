//! Snapshots read by position, against a list of what must come.

use super::*;
use crate::chunking::PROFILE_1;
use crate::id::ChunkId;
use crate::paged_list::{Builder, MemoryPages};
use crate::paged_list::{PageError, PageSource, ReadError};
use crate::snapshot::{Shape, Snapshot};
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
