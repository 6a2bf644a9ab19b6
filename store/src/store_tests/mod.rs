//! A store as a whole, on a real disk.
#![allow(clippy::unwrap_used)]

mod budget;
mod campaign;
mod crash;
mod files;
mod formats;
mod lost;
mod rebuild;
mod runs;

use std::path::Path;

use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::manifest::Content;
use shoal_protocol::path::ManifestPath;

use crate::disk::OpenMode;
use crate::disk::real::RealDisk;
use crate::index::{AbsolutePath, AudienceId, Extent, FileClass, FileRow, FileState};
use crate::{OpenError, ReadError, Store, StoreOptions};

fn open(home: &Path) -> Store {
    let options = StoreOptions {
        pack_buffer_bytes: 64 << 10,
        pack_bytes_max: 1 << 20,
        ..StoreOptions::default()
    };
    Store::open(RealDisk::shared(), home, options).unwrap()
}

fn bytes(seed: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn read(store: &Store, id: &ChunkId) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match store.read_chunk(id, &mut out) {
        Ok(_) => Some(out),
        Err(ReadError::Missing(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = store.begin();
    let all: Vec<_> = (0..200).map(|n| bytes(n, 1 + 170 * n as usize)).collect();
    for chunk in &all {
        let id = ChunkId::of(chunk);
        assert!(batch.append_chunk(&id, chunk, AudienceId::SELF).unwrap());
        assert!(!batch.append_chunk(&id, chunk, AudienceId::SELF).unwrap());
        assert!(batch.contains(&id).unwrap());
        assert!(!store.contains(&id).unwrap());
    }
    let page = bytes(999, 3000);
    let page_id = PageId::of(&page);
    assert!(batch.put_page(&page_id, &page).unwrap());
    batch.commit(false).unwrap();
    assert_eq!(store.page(&page_id).unwrap().as_deref(), Some(&*page));
    for reopen in 0..3 {
        let store = if reopen == 0 {
            store.clone()
        } else {
            open(dir.path())
        };
        for chunk in &all {
            assert_eq!(read(&store, &ChunkId::of(chunk)).as_ref(), Some(chunk));
        }
        assert_eq!(store.page(&page_id).unwrap().as_deref(), Some(&*page));
        if reopen == 0 {
            drop(store);
            break;
        }
        store.close().unwrap();
    }
    store.close().unwrap();
    let store = open(dir.path());
    for chunk in &all {
        assert_eq!(read(&store, &ChunkId::of(chunk)).as_ref(), Some(chunk));
    }
    assert!(store.view().packs().unwrap().len() > 2, "packs roll over");
}

#[test]
fn runs_are_read_chunk_by_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let whole = bytes(1, 300_000);
    let chunks: Vec<_> = [100_000u32, 150_000, 50_000]
        .iter()
        .scan(0, |at, &length| {
            let part = &whole[*at..*at + length as usize];
            *at += length as usize;
            Some((ChunkId::of(part), length))
        })
        .collect();
    let batch = store.begin();
    batch
        .append_chunk(&ChunkId::of(b"before"), b"before", AudienceId::SELF)
        .unwrap();
    batch.append_run(&chunks, &whole, AudienceId::SELF).unwrap();
    batch
        .append_chunk(&ChunkId::of(b"behind"), b"behind", AudienceId::SELF)
        .unwrap();
    batch.commit(true).unwrap();
    let read: Vec<u8> = chunks
        .iter()
        .flat_map(|(id, _)| read(&store, id).unwrap())
        .collect();
    assert_eq!(read, whole);
}

#[test]
fn many_threads_append_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = store.begin();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let batch = &batch;
            scope.spawn(move || {
                for n in 0..200 {
                    // Half of the chunks are the same on two threads.
                    let chunk = bytes(n + 1000 * (thread / 2) * (n % 2), 5_000);
                    batch
                        .append_chunk(&ChunkId::of(&chunk), &chunk, AudienceId::SELF)
                        .unwrap();
                    if n % 50 == 0 {
                        let run = bytes(50_000 + 1_000 * thread + n, 90_000);
                        let chunks = [(ChunkId::of(&run), 90_000)];
                        batch.append_run(&chunks, &run, AudienceId::SELF).unwrap();
                    }
                }
            });
        }
    });
    batch.commit(true).unwrap();
    let view = store.view();
    let mut count = 0;
    for row in view.chunks().unwrap() {
        let (id, row) = row.unwrap();
        assert_eq!(row.extents.len(), 1);
        assert!(read(&store, &id).is_some());
        count += 1;
    }
    assert_eq!(count, 300 + 16);
}

#[test]
fn a_place_with_other_bytes_is_dropped_and_the_next_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("home"));
    let outside = dir.path().join("data");
    std::fs::create_dir(&outside).unwrap();
    let chunk = bytes(5, 40_000);
    std::fs::write(outside.join("file"), &chunk).unwrap();
    let id = ChunkId::of(&chunk);
    let root = AbsolutePath::new(&outside).unwrap();
    let external = RealDisk::shared().root(&outside, false).unwrap();

    let batch = store.begin();
    let file = batch.new_file();
    let extent = Extent::File { file, offset: 0 };
    batch.add_extent(&id, 40_000, extent, AudienceId::SELF);
    batch.put_file(FileRow {
        id: file,
        root: batch.root(&root),
        path: ManifestPath::new("file").unwrap(),
        identity: external.stat(Path::new("file")).unwrap().unwrap(),
        content: Content::Chunk(id),
        class: FileClass::External,
        state: FileState::Unsynced,
        settled: true,
    });
    batch.commit(false).unwrap();
    assert_eq!(read(&store, &id).as_ref(), Some(&chunk));

    // The same bytes in a pack: external places do not count as safe.
    let batch = store.begin();
    assert!(batch.append_chunk(&id, &chunk, AudienceId::SELF).unwrap());
    batch.commit(true).unwrap();
    assert_eq!(store.chunk(&id).unwrap().unwrap().extents.len(), 2);

    // Damage the pack: the file still has them.
    let Extent::Pack(spot) = store.chunk(&id).unwrap().unwrap().extents[0] else {
        panic!("packs come first");
    };
    let pack = store
        .home()
        .open(
            Path::new(&format!("packs/{:08x}.pack", spot.pack)),
            OpenMode::Write,
        )
        .unwrap();
    pack.write_at(spot.offset + 7, b"damage").unwrap();
    let mut out = Vec::new();
    let found = store.read_chunk(&id, &mut out).unwrap();
    assert_eq!(out, chunk);
    assert_eq!(found.extent, extent);
    assert_eq!(found.dropped, [Extent::Pack(spot)]);

    // Without the file nothing has them; its place is kept in case it comes back.
    std::fs::rename(outside.join("file"), outside.join("away")).unwrap();
    store.inner().open_files.clear();
    assert_eq!(read(&store, &id), None);
    std::fs::rename(outside.join("away"), outside.join("file")).unwrap();
    assert_eq!(read(&store, &id).as_ref(), Some(&chunk));
    std::fs::write(outside.join("file"), b"short").unwrap();
    assert_eq!(read(&store, &id), None);
    assert_eq!(store.chunk(&id).unwrap().unwrap().extents, []);
}

#[test]
fn a_store_is_opened_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let again = Store::open(RealDisk::shared(), dir.path(), StoreOptions::default());
    assert!(matches!(again, Err(OpenError::Busy { holder, .. }) if holder.contains("process")));
    store.close().unwrap();
    open(dir.path());
}
