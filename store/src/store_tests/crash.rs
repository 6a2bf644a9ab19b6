//! Power cuts at every operation.

use shoal_protocol::id::VersionId;

use super::bytes;
use super::*;
use crate::disk::faulty::{Fate, FaultyDisk};
use crate::index::FileId;
use crate::testing::{HOME, cut_everywhere, open as open_faulty};

/// What a workload was promised.
#[derive(Debug)]
enum Promise {
    Chunk(Vec<u8>),
    Page(Vec<u8>),
    Heads(&'static str, VersionId),
    Forgotten(ChunkId),
}

/// Everything promised is there, and everything claimed is true.
fn check(store: &Store, promises: &[&Promise]) {
    for promise in promises {
        match promise {
            Promise::Chunk(bytes) => {
                let found = read(store, &ChunkId::of(bytes));
                assert!(found.as_ref() == Some(bytes), "a chunk was lost");
            }
            Promise::Page(bytes) => {
                let page = store.page(&PageId::of(bytes)).unwrap();
                assert!(page.as_deref() == Some(bytes), "a page was lost");
            }
            Promise::Heads(artifact, head) => {
                assert_eq!(store.view().heads(artifact).unwrap(), [*head]);
                assert!(store.view().version(head).unwrap().is_some());
            }
            Promise::Forgotten(id) => assert!(!store.contains(id).unwrap()),
        }
    }
    claims_are_true(store);
}

fn claims_are_true(store: &Store) {
    let view = store.view();
    for row in view.chunks().unwrap() {
        let (id, row) = row.unwrap();
        for extent in &row.extents {
            match extent {
                Extent::Pack(_) => {}
                Extent::File { file, .. } => {
                    let file = view.file(*file).unwrap().expect("the row of a file");
                    if file.state == FileState::Suspect {
                        continue;
                    }
                }
            }
            assert_eq!(read(store, &id).map(|b| b.len()), Some(row.length as usize));
        }
        let row = store.chunk(&id).unwrap().unwrap();
        let dropped = row.extents.is_empty();
        assert!(!dropped, "a place that was believed was wrong");
    }
    for row in view.pages().unwrap() {
        let (id, ..) = row.unwrap();
        assert!(store.page(&id).unwrap().is_some());
    }
}

fn chunk(store: &Store, seed: u32, length: usize, durable: bool) -> Promise {
    let bytes = bytes(seed, length);
    let batch = store.begin();
    batch
        .append_chunk(&ChunkId::of(&bytes), &bytes, AudienceId::SELF)
        .unwrap();
    batch.commit(durable).unwrap();
    Promise::Chunk(bytes)
}

/// A file of the user's that is known, but was not synced.
fn external(disk: &FaultyDisk, store: &Store, name: &str, seed: u32) -> (FileId, Vec<u8>) {
    let bytes = bytes(seed, 9_000);
    let path = AbsolutePath::new(Path::new("/data")).unwrap();
    let root = disk.shared().root(path.as_path(), true).unwrap();
    let file = root.open(Path::new(name), OpenMode::Create).unwrap();
    file.write_at(0, &bytes).unwrap();
    let batch = store.begin();
    let id = batch.new_file();
    let chunk = ChunkId::of(&bytes);
    batch.add_extents(&[(chunk, 9_000)], id, 0, AudienceId::SELF);
    batch.put_file(FileRow {
        id,
        root: batch.root(&path),
        path: ManifestPath::new(name).unwrap(),
        identity: file.identity().unwrap(),
        content: Content::Chunk(chunk),
        class: FileClass::External,
        state: FileState::Unsynced,
        settled: true,
    });
    batch.commit(false).unwrap();
    (id, bytes)
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_promised() {
    cut_everywhere(
        |disk, promised| {
            let store = open_faulty(disk);
            for seed in 0..6 {
                let promise = chunk(&store, seed, 500 + seed as usize * 7_000, true);
                promised.note(promise);
            }
            // Several that become durable with a later one.
            let early: Vec<_> = (10..14)
                .map(|seed| chunk(&store, seed, 20_000, false))
                .collect();
            let batch = store.begin();
            let page = bytes(90, 2_000);
            batch.put_page(&PageId::of(&page), &page).unwrap();
            let run = bytes(91, 60_000);
            let parts: Vec<_> = run.chunks(20_000).collect();
            let chunks: Vec<_> = parts
                .iter()
                .map(|part| (ChunkId::of(part), 20_000))
                .collect();
            batch.append_run(&chunks, &run, AudienceId::SELF).unwrap();
            let version = b"a version".to_vec();
            let version_id = VersionId::of(&version);
            batch.put_version(&version_id, version);
            batch.put_heads("lab/x", vec![version_id]);
            batch.commit(true).unwrap();
            early.into_iter().for_each(|promise| promised.note(promise));
            promised.note(Promise::Page(page));
            promised.note(Promise::Heads("lab/x", version_id));
            for part in parts {
                promised.note(Promise::Chunk(part.to_vec()));
            }
            // An open batch that is never committed.
            let dropped = store.begin();
            let waste = bytes(95, 30_000);
            dropped
                .append_chunk(&ChunkId::of(&waste), &waste, AudienceId::SELF)
                .unwrap();
            drop(dropped);
            store.close().unwrap();

            let store = open_faulty(disk);
            let (_, outside) = external(disk, &store, "f", 96);
            chunk(&store, 40, 5_000, true);
            store.sync_unsynced().unwrap();
            // The name of the user's file is synced as well: by the whole file system.
            promised.note(Promise::Chunk(outside));
            external(disk, &store, "g", 97);
            let forgotten = ChunkId::of(&bytes(2, 500 + 2 * 7_000));
            let batch = store.begin();
            batch.forget_chunk(&forgotten);
            batch.commit(true).unwrap();
            store.close().unwrap();
        },
        |disk, promises| {
            // The one that is forgotten at the end need not be there at any time.
            let forgotten = bytes(2, 500 + 2 * 7_000);
            let promises: Vec<_> = promises
                .iter()
                .copied()
                .filter(|promise| !matches!(promise, Promise::Chunk(b) if *b == forgotten))
                .collect();
            let store = open_faulty(disk);
            check(&store, &promises);
            // It works on, and what it then promises holds too.
            let more = chunk(&store, 70, 3_000, true);
            drop(store);
            let store = open_faulty(&disk.after_cut(Fate::Lost));
            check(&store, &promises);
            check(&store, &[&more]);
        },
    );
}

#[test]
fn a_power_cut_while_packs_are_repacked_loses_nothing() {
    cut_everywhere(
        |disk, promised| {
            let store = open_faulty(disk);
            let mut forgotten = Vec::new();
            let mut volatile = Vec::new();
            for seed in 0..12 {
                // Every fourth commit makes those before it durable too.
                let durable = seed % 4 == 3;
                match chunk(&store, seed, 40_000, durable) {
                    Promise::Chunk(bytes) if seed % 3 == 0 => forgotten.push(ChunkId::of(&bytes)),
                    kept => volatile.push(kept),
                }
                if durable {
                    volatile
                        .drain(..)
                        .for_each(|promise| promised.note(promise));
                }
            }
            let batch = store.begin();
            for id in &forgotten {
                batch.forget_chunk(id);
            }
            batch.commit(true).unwrap();
            forgotten
                .into_iter()
                .for_each(|id| promised.note(Promise::Forgotten(id)));
            let packs = store.view().packs().unwrap();
            assert!(packs.len() > 1);
            let open_batch = store.begin();
            assert_eq!(store.repack(packs[packs.len() - 1].0).unwrap(), None);
            drop(open_batch);
            for (pack, _) in packs {
                let done = store.repack(pack).unwrap().expect("no batch is open");
                assert!(done.bytes_freed > 0);
            }
            let ids: Vec<_> = (0..12)
                .map(|seed| ChunkId::of(&bytes(seed, 40_000)))
                .collect();
            let left = ids.iter().filter(|id| store.contains(id).unwrap());
            assert_eq!(left.count(), 8);
            store.close().unwrap();
        },
        |disk, promises| {
            let store = open_faulty(disk);
            check(&store, promises);
        },
    );
}

#[test]
fn a_sync_that_does_nothing_is_noticed() {
    // The harness must be able to fail: promises that were not made durable are broken.
    let broken = std::panic::catch_unwind(|| {
        cut_everywhere(
            |disk, promised| {
                let store = open_faulty(disk);
                promised.note(chunk(&store, 1, 5_000, false));
                chunk(&store, 2, 5_000, false);
            },
            |disk, promises| check(&open_faulty(disk), promises),
        );
    });
    assert!(broken.is_err());
}

#[test]
fn unsynced_files_are_suspect_after_a_cut_and_trusted_after_a_sync() {
    let disk = FaultyDisk::new();
    let store = open_faulty(&disk);
    let (synced, _) = external(&disk, &store, "a", 1);
    assert_eq!(state(&store, synced), FileState::Unsynced);
    store.sync_unsynced().unwrap();
    assert_eq!(state(&store, synced), FileState::Trusted);
    let (unsynced, _) = external(&disk, &store, "b", 2);
    store.close().unwrap();
    // When only the process stops, what it wrote stays.
    let store = open_faulty(&disk);
    assert_eq!(state(&store, unsynced), FileState::Unsynced);
    drop(store);
    let store = open_faulty(&disk.after_cut(Fate::Lost));
    assert_eq!(state(&store, synced), FileState::Trusted);
    assert_eq!(state(&store, unsynced), FileState::Suspect);
}

fn state(store: &Store, file: FileId) -> FileState {
    store.view().file(file).unwrap().unwrap().state
}

#[test]
fn a_full_disk_fails_a_batch_and_the_next_one_succeeds() {
    let disk = FaultyDisk::new();
    let store = open_faulty(&disk);
    let kept = chunk(&store, 1, 5_000, true);
    disk.set_room(Some(disk.used() + 40_000));
    let batch = store.begin();
    let mut failed = false;
    for seed in 10..30 {
        let bytes = bytes(seed, 10_000);
        let id = ChunkId::of(&bytes);
        failed |= batch.append_chunk(&id, &bytes, AudienceId::SELF).is_err();
        let run = batch.append_run(&[(id, 10_000)], &bytes, AudienceId::SELF);
        failed |= run.is_err();
    }
    let refused = batch.commit(true);
    assert!(failed || refused.is_err());
    assert!(refused.is_err_and(|error| error.is_no_space()));
    disk.set_room(None);
    let more = chunk(&store, 2, 5_000, true);
    check(&store, &[&kept, &more]);
    drop(store);
    check(&open_faulty(&disk.after_cut(Fate::Lost)), &[&kept, &more]);
}

#[test]
fn flipped_bits_in_a_pack_are_never_read() {
    let disk = FaultyDisk::new();
    let store = open_faulty(&disk);
    chunk(&store, 1, 5_000, true);
    let id = ChunkId::of(&bytes(1, 5_000));
    let Extent::Pack(spot) = store.chunk(&id).unwrap().unwrap().extents[0] else {
        panic!("in a pack");
    };
    let pack = format!("{HOME}/packs/{:08x}.pack", spot.pack);
    disk.flip(Path::new(&pack), spot.offset + 4_321, 4);
    assert_eq!(read(&store, &id), None);
}
