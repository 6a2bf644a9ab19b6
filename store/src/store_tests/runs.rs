//! Serving runs of snapshots.

use shoal_protocol::chunking::PROFILE_1;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::{ContentBuilder, Entry, EntryKind};
use shoal_protocol::paged_list::{Builder, ChunkRef};
use shoal_protocol::snapshot::{Shape, Snapshot};

use super::*;
use crate::RunReader;
use crate::disk::FileIdentity;
use crate::index::Extent;

/// Lengths of the chunks of the test's files.
const CHUNK: u32 = 10_000;

struct Served {
    _dir: tempfile::TempDir,
    outside: std::path::PathBuf,
    store: Store,
    snapshot: Snapshot,
    bytes: Vec<u8>,
}

fn wait_until_settled() -> impl Fn(&FileIdentity) -> bool {
    |identity| {
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        identity.is_settled(now.as_nanos() as i128)
    }
}

/// Three files of 1, 7 and 30 chunks; the second is in a pack, the others lie outside.
fn served() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("home"));
    let outside = dir.path().join("data");
    std::fs::create_dir(&outside).unwrap();
    let root_path = AbsolutePath::new(&outside).unwrap();
    let root = RealDisk::shared().root(&outside, false).unwrap();
    let batch = store.begin();
    let mut entries = Builder::new();
    let mut all = Vec::new();
    let mut pages = Vec::new();
    for (name, count) in [("a", 1), ("b", 7), ("c", 30)] {
        let content_bytes = bytes(count, (count * CHUNK) as usize);
        all.extend_from_slice(&content_bytes);
        let file = batch.new_file();
        let mut content = ContentBuilder::new();
        let mut chunks = Vec::new();
        for part in content_bytes.chunks(CHUNK as usize) {
            let id = ChunkId::of(part);
            chunks.push((id, CHUNK));
            let chunk = ChunkRef { id, length: CHUNK };
            let mut emit = |id, bytes| pages.push((id, bytes));
            content.push(chunk, &mut emit).unwrap();
        }
        let (content, size) = content.finish(&mut |id, bytes| pages.push((id, bytes)));
        if name == "b" {
            batch
                .append_run(&chunks, &content_bytes, AudienceId::SELF)
                .unwrap();
        } else {
            std::fs::write(outside.join(name), &content_bytes).unwrap();
            let settled = wait_until_settled();
            let stat = || root.stat(Path::new(name)).unwrap().unwrap();
            while !settled(&stat()) {
                std::thread::yield_now();
            }
            batch.add_extents(&chunks, file, 0, AudienceId::SELF);
            batch.put_file(FileRow {
                id: file,
                root: batch.root(&root_path),
                path: ManifestPath::new(name).unwrap(),
                identity: stat(),
                content,
                class: FileClass::External,
                state: FileState::Trusted,
                settled: true,
            });
        }
        let entry = Entry {
            path: ManifestPath::new(name).unwrap(),
            kind: EntryKind::File {
                executable: false,
                size,
                content,
            },
        };
        entries
            .push(&entry, &mut |id, bytes| pages.push((id, bytes)))
            .unwrap();
    }
    let manifest = entries.finish(&mut |id, bytes| pages.push((id, bytes)));
    for (id, bytes) in pages {
        batch.put_page(&id, &bytes).unwrap();
    }
    batch.commit(true).unwrap();
    Served {
        _dir: dir,
        outside,
        store,
        snapshot: Snapshot::new(PROFILE_1.id, Shape::Folder, manifest),
        bytes: all,
    }
}

impl Served {
    fn read(&self, reader: &mut RunReader, start: u64, end: u64) -> Result<Vec<u8>, ReadError> {
        let mut out = Vec::new();
        let read = self
            .store
            .read_run(reader, start..end, u64::MAX, &mut out)?;
        assert_eq!(read, start..end);
        Ok(out)
    }
}

#[test]
fn runs_are_the_bytes_at_their_positions() {
    let served = served();
    let mut reader = RunReader::new(&served.snapshot);
    let end = served.bytes.len() as u64;
    let chunk = u64::from(CHUNK);
    for (start, end) in [
        (0, end),
        (0, 5 * chunk),
        (5 * chunk, 9 * chunk),
        (9 * chunk, end),
        (chunk, 2 * chunk),
    ] {
        let bytes = served.read(&mut reader, start, end).unwrap();
        assert!(bytes == served.bytes[start as usize..end as usize]);
    }
    for (start, end) in [(1, chunk), (0, chunk - 1), (0, 0), (0, end + chunk)] {
        let refused = served.read(&mut reader, start, end);
        assert!(matches!(refused, Err(ReadError::BadRange { .. })));
    }
    assert!(served.read(&mut reader, 0, end).unwrap() == served.bytes);
    // What does not fit is left for the next call, which goes on behind it.
    let mut out = Vec::new();
    let mut at = 0;
    for length in [chunk + 1, 3 * chunk, chunk] {
        let read = (served.store).read_run(&mut reader, at..end, length, &mut out);
        let whole = length / chunk * chunk;
        assert_eq!(read.unwrap(), at..at + whole);
        assert!(out == served.bytes[at as usize..(at + whole) as usize]);
        at += whole;
        assert_eq!(reader.position(), Some(at));
    }
    let too_short = (served.store).read_run(&mut reader, at..end, chunk - 1, &mut out);
    assert!(matches!(too_short, Err(ReadError::BadRange { .. })));
    let unknown = served.store.run_reader(&SnapshotId::of(b"?"));
    assert!(matches!(unknown, Err(ReadError::UnknownSnapshot(_))));
}

#[test]
fn bytes_that_were_changed_outside_are_never_served() {
    let served = served();
    let mut reader = RunReader::new(&served.snapshot);
    let end = served.bytes.len() as u64;
    let mut changed = served.bytes[8 * CHUNK as usize..].to_vec();
    changed[3 * CHUNK as usize] ^= 1;
    std::fs::write(served.outside.join("c"), &changed).unwrap();
    let lost = ChunkId::of(&served.bytes[11 * CHUNK as usize..][..CHUNK as usize]);
    let refused = served.read(&mut reader, 0, end);
    assert!(matches!(refused, Err(ReadError::Missing(id)) if id == lost));
    // The rest of the file still has its bytes.
    let chunk = u64::from(CHUNK);
    for (start, end) in [(0, 11 * chunk), (12 * chunk, end)] {
        let bytes = served.read(&mut reader, start, end).unwrap();
        assert!(bytes == served.bytes[start as usize..end as usize]);
    }
}

#[test]
fn another_place_stands_in_for_one_that_was_lost() {
    let served = served();
    let mut reader = RunReader::new(&served.snapshot);
    let end = served.bytes.len() as u64;
    let copy = &served.bytes[11 * CHUNK as usize..][..CHUNK as usize];
    let batch = served.store.begin();
    let id = ChunkId::of(copy);
    batch.append_chunk(&id, copy, AudienceId::SELF).unwrap();
    batch.commit(true).unwrap();
    std::fs::write(
        served.outside.join("c"),
        &served.bytes[8 * CHUNK as usize..][..100],
    )
    .unwrap();
    let chunk = u64::from(CHUNK);
    let bytes = served.read(&mut reader, 11 * chunk, 12 * chunk).unwrap();
    assert!(bytes == copy);
    let row = served.store.chunk(&id).unwrap().unwrap();
    assert!(matches!(row.extents[..], [Extent::Pack(_)]));
    assert!(served.read(&mut reader, 0, end).is_err());
}
