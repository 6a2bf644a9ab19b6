#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use super::*;
use crate::check::VerifyScope;
use crate::ingest::AddMode;
use crate::ingest::tests::{World, noise, request};
use crate::progress::Silent;

fn is_whole(world: &World) -> bool {
    let report = world.store.verify(VerifyScope::All, &Silent).unwrap();
    report.is_whole() && report.damaged.is_empty()
}

fn pack_bytes(world: &World) -> u64 {
    let packs = world.store.view().packs().unwrap();
    packs.iter().map(|(_, length)| length).sum()
}

#[test]
fn nothing_is_collected_that_a_snapshot_needs() {
    for mode in [AddMode::Keep, AddMode::InPlace] {
        let world = World::new();
        world.write("a", noise(1, 2_000_000));
        world.write("b/c", "small");
        let added = world.add(mode);
        let collected = world.store.collect(&Silent).unwrap();
        assert_eq!(collected, Collected::default());
        assert_eq!(world.bytes_of(&added.snapshot, "a"), noise(1, 2_000_000));
        assert!(is_whole(&world));
    }
}

#[test]
fn a_forgotten_version_gives_back_what_it_had_alone() {
    let world = World::new();
    world.write("same", noise(1, 1_000_000));
    world.write("old", noise(2, 8_000_000));
    let first = world.add(AddMode::Keep).snapshot;
    std::fs::remove_file(world.path("old")).unwrap();
    world.write("new", noise(3, 500_000));
    let second = world.add(AddMode::Keep).snapshot;
    assert!(pack_bytes(&world) > 9_000_000);

    assert!(world.store.forget(&first).unwrap());
    assert!(!world.store.forget(&first).unwrap());
    let collected = world.store.collect(&Silent).unwrap();
    assert!(collected.chunks > 0 && collected.pages > 0 && collected.packs == 1);
    assert!(collected.bytes_freed > 8_000_000);
    assert!(pack_bytes(&world) < 2_000_000);
    assert_eq!(world.bytes_of(&second, "same"), noise(1, 1_000_000));
    assert_eq!(world.bytes_of(&second, "new"), noise(3, 500_000));
    assert!(is_whole(&world));

    let world = world.reopen();
    assert!(is_whole(&world));
    assert_eq!(world.bytes_of(&second, "new"), noise(3, 500_000));
    // The stat cache does not claim what is gone.
    world.write("old", noise(2, 8_000_000));
    let third = world.add(AddMode::Keep).snapshot;
    assert_eq!(world.bytes_of(&third, "old"), noise(2, 8_000_000));
}

#[test]
fn everything_can_be_forgotten() {
    let world = World::new();
    world.write("a", noise(1, 3_000_000));
    let added = world.add(AddMode::Keep).snapshot;
    world.store.forget(&added).unwrap();
    let collected = world.store.collect(&Silent).unwrap();
    assert!(collected.bytes_freed > 3_000_000);
    let view = world.store.view();
    assert_eq!(view.chunks().unwrap().count(), 0);
    assert_eq!(view.pages().unwrap().count(), 0);
    let roots = view.roots();
    let files = roots
        .iter()
        .map(|(root, _)| view.files(*root, None).unwrap().count());
    assert_eq!(files.sum::<usize>(), 0);
    assert!(pack_bytes(&world) < 1000);
}

#[test]
fn a_share_goes_when_its_files_are_gone() {
    let world = World::new();
    world.write("a", noise(1, 100_000));
    let mut share = request(&world.source(), AddMode::InPlace);
    share.kept = false;
    world.store.add(&share, &Silent).unwrap();
    assert_eq!(world.store.collect(&Silent).unwrap(), Collected::default());
    std::fs::remove_file(world.path("a")).unwrap();
    assert_eq!(world.store.collect(&Silent).unwrap().snapshots, 1);
    assert!(world.store.view().snapshots().unwrap().is_empty());
}

/// Adds a folder in the middle of the collection that listens to it.
struct Adder<'a> {
    world: &'a World,
    added: Mutex<Vec<SnapshotId>>,
}

impl Progress for Adder<'_> {
    fn cancelled(&self) -> bool {
        let added = self.world.add(AddMode::Keep).snapshot;
        self.added.lock().unwrap().push(added);
        false
    }
}

#[test]
fn what_is_added_during_a_collection_is_not_collected() {
    let world = World::new();
    world.write("a", noise(1, 1_000_000));
    world.write("b", noise(2, 10));
    let other = world.path("b");
    let first = world.try_add(&other, AddMode::Keep).unwrap().snapshot;
    let garbage = world.add(AddMode::Keep).snapshot;
    world.store.forget(&garbage).unwrap();
    let adder = Adder {
        world: &world,
        added: Mutex::default(),
    };
    world.store.collect(&adder).unwrap();
    let added = adder.added.into_inner().unwrap();
    assert!(added.len() > 1);
    assert!(added.iter().all(|id| *id == garbage));
    assert_eq!(world.bytes_of(&garbage, "a"), noise(1, 1_000_000));
    assert_eq!(world.bytes_of(&first, "b"), noise(2, 10));
    assert!(is_whole(&world));
}

#[test]
fn a_lease_keeps_what_nothing_else_needs() {
    let world = World::new();
    world.write("a", noise(1, 10_000));
    let added = world.add(AddMode::Keep).snapshot;
    let chunk = shoal_protocol::id::ChunkId::of(&noise(1, 10_000));
    let lease = world.store.leases().take();
    lease.cover(chunk.as_bytes());
    world.store.forget(&added).unwrap();
    world.store.collect(&Silent).unwrap();
    assert!(world.store.contains(&chunk).unwrap());
    drop(lease);
    world.store.collect(&Silent).unwrap();
    assert!(!world.store.contains(&chunk).unwrap());
}
