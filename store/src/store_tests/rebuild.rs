//! An index that is lost and won back.

use shoal_protocol::chunking::PROFILE_1;
use shoal_protocol::id::VersionId;
use shoal_protocol::manifest::{Entry, EntryKind};
use shoal_protocol::paged_list::Builder;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::{Shape, Snapshot};

use super::*;
use crate::Batch;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::index::{Coverage, Origin, SnapshotRow};
use crate::testing::{HOME, open as open_faulty};

/// A snapshot of one file, `x`, of one chunk.
fn snapshot(batch: &Batch, chunk: &[u8], audience: AudienceId) -> SnapshotRow {
    let entry = Entry {
        path: ManifestPath::new("x").unwrap(),
        kind: EntryKind::File {
            executable: false,
            size: chunk.len() as u64,
            content: Content::Chunk(ChunkId::of(chunk)),
        },
    };
    let mut pages = Vec::new();
    let mut manifest = Builder::new();
    let mut emit = |id, bytes| pages.push((id, bytes));
    manifest.push(&entry, &mut emit).unwrap();
    let manifest = manifest.finish(&mut emit);
    for (id, bytes) in pages {
        batch.put_page(&id, &bytes).unwrap();
    }
    SnapshotRow {
        snapshot: Snapshot::new(PROFILE_1.id, Shape::Folder, manifest),
        kept: true,
        audience,
        origin: Origin::Added {
            path: AbsolutePath::new(Path::new("/data")).unwrap(),
            in_place: false,
        },
        at_unix_s: 1_700_000_000,
        held: Coverage::Complete,
        offered: Coverage::Complete,
    }
}

fn rebuild(disk: &FaultyDisk) -> (Store, crate::Rebuilt) {
    Store::rebuild(disk.shared(), Path::new(HOME), StoreOptions::default()).unwrap()
}

#[test]
fn a_lost_index_comes_back_from_the_packs() {
    let disk = FaultyDisk::new();
    let store = open_faulty(&disk);
    let batch = store.begin();
    let peer = PeerKey::from_bytes([7; 32]);
    let kept = bytes(1, 30_000);
    batch
        .append_chunk(&ChunkId::of(&kept), &kept, AudienceId::SELF)
        .unwrap();
    let run = bytes(2, 60_000);
    let parts: Vec<_> = run
        .chunks(20_000)
        .map(|p| (ChunkId::of(p), 20_000))
        .collect();
    batch.append_run(&parts, &run, AudienceId::SELF).unwrap();
    let whole = snapshot(&batch, &kept, batch.audience(&peer));
    // This one's bytes lie outside, so only its pages can come back.
    let outside = snapshot(&batch, &bytes(3, 10_000), AudienceId::SELF);
    let removed = snapshot(&batch, &bytes(4, 10_000), AudienceId::SELF);
    let version = VersionId::of(b"version");
    batch.put_version(&version, b"version".to_vec());
    batch.put_heads("lab/x", vec![version]);
    for row in [&whole, &outside, &removed] {
        batch.put_snapshot(row.clone());
    }
    batch.commit(true).unwrap();
    let batch = store.begin();
    batch.forget_snapshot(&removed.id());
    batch.commit(true).unwrap();
    store.close().unwrap();

    let home = disk.root(Path::new(HOME), false).unwrap();
    home.remove_file(Path::new("index.redb")).unwrap();
    let lost = Store::open(disk.shared(), Path::new(HOME), StoreOptions::default());
    assert!(matches!(lost, Err(OpenError::MissingIndex { .. })));
    let (store, found) = rebuild(&disk);
    assert_eq!(
        (found.chunks, found.snapshots, found.bytes_damaged),
        (4, 2, 0)
    );
    assert_eq!(read(&store, &ChunkId::of(&kept)).as_ref(), Some(&kept));
    let back: Vec<u8> = parts
        .iter()
        .flat_map(|(id, _)| read(&store, id).unwrap())
        .collect();
    assert!(back == run);
    let view = store.view();
    let row = view.snapshot(&whole.id()).unwrap().unwrap();
    assert_eq!(view.audience_peer(row.audience), Some(peer));
    assert_eq!(row.held, Coverage::Complete);
    let row = view.snapshot(&outside.id()).unwrap().unwrap();
    assert_eq!(row.held, Coverage::Ranges(Vec::new()));
    assert_eq!(row.offered, Coverage::Ranges(Vec::new()));
    assert_eq!(view.snapshot(&removed.id()).unwrap(), None);
    assert_eq!(view.heads("lab/x").unwrap(), [version]);
    drop(view);
    store.close().unwrap();
    open_faulty(&disk).close().unwrap();
}

#[test]
fn damage_costs_only_the_records_that_it_hits() {
    let disk = FaultyDisk::new();
    let store = open_faulty(&disk);
    let all: Vec<_> = (0..4).map(|seed| bytes(seed, 10_000)).collect();
    let batch = store.begin();
    for chunk in &all {
        batch
            .append_chunk(&ChunkId::of(chunk), chunk, AudienceId::SELF)
            .unwrap();
    }
    batch.commit(true).unwrap();
    store.close().unwrap();
    let pack = format!("{HOME}/packs/00000001.pack");
    // The bytes of the second, and the header of the third.
    disk.flip(Path::new(&pack), 16 + 10_048 + 3_000, 1);
    disk.flip(Path::new(&pack), 16 + 2 * 10_048 + 5, 1);
    let (store, found) = rebuild(&disk);
    assert_eq!((found.chunks, found.bytes_damaged), (2, 10_048));
    let left: Vec<_> = all
        .iter()
        .map(|c| read(&store, &ChunkId::of(c)).is_some())
        .collect();
    assert_eq!(left, [true, false, false, true]);
}

#[test]
fn owned_files_come_back_as_far_as_their_bytes_are_right() {
    let disk = FaultyDisk::new();
    let store = open_faulty(&disk);
    let batch = store.begin();
    for (name, seed) in [("files/a", 1), ("files/b", 2)] {
        let chunk = bytes(seed, 10_000);
        let file = store
            .home()
            .open(Path::new(name), OpenMode::Create)
            .unwrap();
        file.write_at(0, &chunk).unwrap();
        let id = batch.new_file();
        batch.add_extents(&[(ChunkId::of(&chunk), 10_000)], id, 0, AudienceId::SELF);
        batch.put_file(FileRow {
            id,
            root: crate::index::RootId::HOME,
            path: ManifestPath::new(name).unwrap(),
            identity: file.identity().unwrap(),
            content: Content::Chunk(ChunkId::of(&chunk)),
            class: FileClass::Owned,
            state: FileState::Trusted,
            settled: true,
        });
    }
    batch.sync_first(store.home().clone());
    batch.commit(true).unwrap();
    store.close().unwrap();
    disk.flip(Path::new(&format!("{HOME}/files/b")), 5, 1);
    let (store, found) = rebuild(&disk);
    assert_eq!(found.chunks, 1);
    assert!(read(&store, &ChunkId::of(&bytes(1, 10_000))).is_some());
    assert!(read(&store, &ChunkId::of(&bytes(2, 10_000))).is_none());
}

#[test]
fn a_power_cut_in_a_rebuild_leaves_one_that_can_be_begun_again() {
    let keep = bytes(1, 30_000);
    crate::testing::cut_everywhere::<()>(
        |disk, _| {
            let store = open_faulty(disk);
            let batch = store.begin();
            let id = ChunkId::of(&keep);
            batch.append_chunk(&id, &keep, AudienceId::SELF).unwrap();
            batch.commit(true).unwrap();
            store.close().unwrap();
            disk.root(Path::new(HOME), false)
                .unwrap()
                .remove_file(Path::new("index.redb"))
                .unwrap();
            disk.root(Path::new("/"), false)
                .unwrap()
                .sync_all()
                .unwrap();
            let marker = disk.root(Path::new("/marker"), true).unwrap();
            marker.sync_all().unwrap();
            rebuild(disk).0.close().unwrap();
        },
        |disk, _| {
            if disk.root(Path::new("/marker"), false).is_err() {
                return;
            }
            let (store, _) = rebuild(disk);
            assert!(read(&store, &ChunkId::of(&keep)).is_some());
            store.close().unwrap();
            let store = open_faulty(disk);
            assert!(read(&store, &ChunkId::of(&keep)).is_some());
        },
    );
}
