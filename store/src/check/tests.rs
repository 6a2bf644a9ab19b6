#![allow(clippy::unwrap_used)]

use shoal_protocol::manifest::Content;
use shoal_protocol::paged_list::ChunkRef;
use shoal_protocol::path::ManifestPath;

use super::*;
use crate::index::{AbsolutePath, AudienceId, Extent, FileClass, FileRow, FileState};
use crate::ingest::AddMode;
use crate::ingest::tests::{World, noise};

fn verify(world: &World) -> VerifyReport {
    world.store.verify(VerifyScope::All, &Silent).unwrap()
}

fn chunks(world: &World, id: &SnapshotId) -> Vec<(u64, ChunkRef)> {
    let row = world.store.view().snapshot(id).unwrap().unwrap();
    let mut cursor = SnapshotCursor::new(&row.snapshot);
    let mut chunks = Vec::new();
    while let Some(step) = cursor.next(&world.store).unwrap() {
        if let Step::Chunk {
            position, chunk, ..
        } = step
        {
            chunks.push((position, chunk));
        }
    }
    chunks
}

/// Spoils one byte of a chunk where it lies in a pack.
fn rot(world: &World, id: &ChunkId) {
    let row = world.store.chunk(id).unwrap().unwrap();
    let Extent::Pack(spot) = row.extents[0] else {
        panic!("not in a pack");
    };
    let path = world.home().join(crate::pack::PackFiles::name(spot.pack));
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"rot!", spot.offset).unwrap();
}

#[test]
fn what_is_right_stays() {
    for mode in [AddMode::Keep, AddMode::InPlace] {
        let world = World::new();
        world.write("a", noise(1, 3_000_000));
        world.write("b/c", "small");
        let added = world.add(mode);
        for scope in [VerifyScope::All, VerifyScope::Snapshot(added.snapshot)] {
            let report = world.store.verify(scope, &Silent).unwrap();
            assert!(report.is_whole() && report.damaged.is_empty());
            assert_eq!(report.bytes_hashed, 3_000_005);
            let health = &report.snapshots[0];
            let kept = mode == AddMode::Keep;
            assert_eq!(health.bytes_safe, if kept { 3_000_005 } else { 0 });
            assert_eq!(health.bytes_volatile, if kept { 0 } else { 3_000_005 });
        }
    }
}

#[test]
fn a_rotten_chunk_is_found_no_longer_offered_and_repaired() {
    let world = World::new();
    let bytes = noise(2, 2_000_000);
    world.write("a", "before");
    world.write("b", &bytes);
    let added = world.add(AddMode::Keep);
    let (position, chunk) = chunks(&world, &added.snapshot)[3];
    rot(&world, &chunk.id);
    let report = verify(&world);
    let range = position..position + u64::from(chunk.length);
    let health = &report.snapshots[0];
    assert_eq!(report.damaged.total, 1);
    assert_eq!(health.bytes_gone, u64::from(chunk.length));
    assert_eq!(health.missing, std::slice::from_ref(&range));
    let lost = &health.lost.named[0];
    assert_eq!((lost.path.as_str(), lost.bytes), ("b", health.bytes_gone));
    let row = world
        .store
        .view()
        .snapshot(&added.snapshot)
        .unwrap()
        .unwrap();
    assert!(!row.held.covers(&range) && !row.offered.covers(&range));
    assert!(verify(&world).damaged.is_empty());

    let right = &bytes[position as usize - 6..][..chunk.length as usize];
    let error = world.store.repair_chunk(&chunk.id, b"wrong").unwrap_err();
    assert!(matches!(error, RepairError::Mismatch(_)));
    world.store.repair_chunk(&chunk.id, right).unwrap();
    assert!(world.store.repaired(&added.snapshot).unwrap().is_whole());
    let row = world
        .store
        .view()
        .snapshot(&added.snapshot)
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.held, row.offered),
        (Coverage::Complete, Coverage::Complete)
    );
    assert!(verify(&world).is_whole());
    assert_eq!(world.bytes_of(&added.snapshot, "b"), bytes);
}

#[test]
fn bytes_that_also_lie_elsewhere_are_not_lost() {
    let world = World::new();
    world.write("a", noise(3, 1_000_000));
    world.write("b", noise(3, 1_000_000));
    let added = world.add(AddMode::InPlace);
    world.write("a", noise(4, 1_000_000));
    let report = verify(&world);
    assert_eq!(report.damaged.named[0].path, world.path("a"));
    assert!(report.is_whole());
    std::fs::remove_file(world.path("b")).unwrap();
    let report = verify(&world);
    assert_eq!(report.snapshots[0].bytes_gone, 2_000_000);
    assert_eq!(report.snapshots[0].snapshot, added.snapshot);
}

#[test]
fn a_folder_that_is_away_is_not_forgotten() {
    let world = World::new();
    world.write("a", noise(5, 1_000_000));
    world.add(AddMode::InPlace);
    let elsewhere = world.home().join("tmp/elsewhere");
    std::fs::rename(world.source(), &elsewhere).unwrap();
    let report = verify(&world);
    assert_eq!(report.away.named[0].why, "are not there now");
    assert_eq!(
        report.snapshots[0].bytes_away,
        report.snapshots[0].bytes_volatile
    );
    assert!(report.snapshots[0].bytes_away > 0 && report.damaged.is_empty());
    std::fs::rename(&elsewhere, world.source()).unwrap();
    let report = verify(&world);
    assert!(report.is_whole() && report.damaged.is_empty());
}

/// What an add does with a big file in place: where its chunks lie is committed first, what
/// file that is when it is through.
struct BigAdd {
    lease: crate::lease::Lease,
    row: FileRow,
    chunk: ChunkId,
}

impl BigAdd {
    fn begin(world: &World) -> Self {
        let bytes = noise(6, 9_000);
        world.write("big", &bytes);
        let lease = world.store.leases().take();
        let source = AbsolutePath::new(&world.source()).unwrap();
        let root = world.store.disk().root(&world.source(), false).unwrap();
        let chunk = ChunkId::of(&bytes);
        let batch = world.store.begin();
        let id = batch.new_file();
        batch.add_extents(&[(chunk, 9_000)], id, 0, AudienceId::SELF);
        let row = FileRow {
            id,
            root: batch.root(&source),
            path: ManifestPath::new("big").unwrap(),
            identity: root.stat("big".as_ref()).unwrap().unwrap(),
            content: Content::Chunk(chunk),
            class: FileClass::External,
            state: FileState::Unsynced,
            settled: false,
        };
        batch.commit(false).unwrap();
        Self { lease, row, chunk }
    }

    fn finish(self, world: &World) -> ChunkId {
        let batch = world.store.begin();
        batch.put_file(self.row);
        batch.commit(true).unwrap();
        drop(self.lease);
        self.chunk
    }
}

#[test]
fn a_verification_takes_nothing_from_an_add_that_is_under_way() {
    let world = World::new();
    let add = BigAdd::begin(&world);
    assert!(verify(&world).damaged.is_empty());
    let chunk = add.finish(&world);
    world.store.read_chunk(&chunk, &mut Vec::new()).unwrap();
    assert_eq!(verify(&world).bytes_hashed, 9_000);
}

/// Finishes an add as soon as a verification begins to read.
struct FinishMeanwhile<'a>(&'a World, std::sync::Mutex<Option<BigAdd>>);

impl Progress for FinishMeanwhile<'_> {
    fn total_bytes(&self, _total: u64) {
        let add = self.1.lock().unwrap().take();
        add.map(|add| add.finish(self.0));
    }
}

#[test]
fn a_verification_takes_nothing_from_an_add_that_ends_meanwhile() {
    let world = World::new();
    let add = BigAdd::begin(&world);
    let chunk = add.chunk;
    let finishing = FinishMeanwhile(&world, Some(add).into());
    world.store.verify(VerifyScope::All, &finishing).unwrap();
    world.store.read_chunk(&chunk, &mut Vec::new()).unwrap();
}

#[test]
fn what_an_add_that_was_given_up_had_placed_is_forgotten() {
    let world = World::new();
    let add = BigAdd::begin(&world);
    let chunk = add.chunk;
    drop(add);
    assert!(verify(&world).damaged.is_empty());
    let row = world.store.chunk(&chunk).unwrap().unwrap();
    assert!(row.extents.is_empty());
}
