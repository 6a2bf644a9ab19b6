#![allow(clippy::unwrap_used)]

use shoal_protocol::paged_list::ChunkRef;

use super::*;
use crate::index::Extent;
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
    assert_eq!(health.gone.named[0].as_str(), "b");
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
    assert_eq!(report.damaged.named[0].why, "are not there now");
    std::fs::rename(&elsewhere, world.source()).unwrap();
    let report = verify(&world);
    assert!(report.is_whole() && report.damaged.is_empty());
}
