#![allow(clippy::unwrap_used)]
// A coverage of one range is what is meant.
#![allow(clippy::single_range_in_vec_init)]

use shoal_protocol::advert::{Place, Sought};
use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::manifest::{Content, EntryKind, SnapshotCursor, Step};

use super::*;
use crate::index::{AudienceId, Coverage};
use crate::ingest::AddMode;
use crate::ingest::tests::{World, noise};
use crate::progress::Silent;

/// What stands in a snapshot, and where.
fn standing(store: &Store, id: &SnapshotId) -> Vec<(Sought, u64)> {
    let row = store.view().snapshot(id).unwrap().unwrap();
    let mut cursor = SnapshotCursor::new(&row.snapshot);
    let mut found = Vec::new();
    while let Some(step) = cursor.next(store).unwrap() {
        match step {
            Step::Chunk {
                position, chunk, ..
            } => found.push((Sought::Chunk(chunk.id), position)),
            Step::Entry {
                position, entry, ..
            } => {
                if let EntryKind::File {
                    content: Content::List(list),
                    ..
                } = entry.kind
                {
                    found.push((Sought::Content(list), position));
                }
            }
        }
    }
    found
}

fn places(world: &World) -> Places {
    let places = Places::open(&world.store).unwrap();
    assert!(places.refresh(&world.store, &|_| true, &Silent).unwrap());
    places
}

fn locate(world: &World, places: &Places, sought: Sought) -> Vec<(SnapshotId, u64)> {
    locate_where(world, places, sought, &|_| true)
}

fn locate_where(
    world: &World,
    places: &Places,
    sought: Sought,
    may_read: &dyn Fn(&SnapshotRow) -> bool,
) -> Vec<(SnapshotId, u64)> {
    let found = places.locate(&world.store, &[sought], may_read, 512);
    let found = found.unwrap().into_iter();
    found
        .map(
            |Place {
                 snapshot, position, ..
             }| (snapshot, position),
        )
        .collect()
}

fn change(world: &World, id: &SnapshotId, change: impl Fn(&mut SnapshotRow)) {
    let mut row = world.store.view().snapshot(id).unwrap().unwrap();
    change(&mut row);
    let batch = world.store.begin();
    batch.put_snapshot(row);
    batch.commit(true).unwrap();
}

fn first_version(world: &World) -> SnapshotId {
    world.write("big", noise(1, 3_000_000));
    world.write("small", noise(2, 9_000));
    world.write("empty", "");
    world.add(AddMode::Keep).snapshot
}

#[test]
fn everything_in_a_snapshot_is_found_where_it_stands_also_after_a_restart() {
    let world = World::new();
    let id = first_version(&world);
    let all = standing(&world.store, &id);
    assert!(all.len() > 20);
    for _ in 0..2 {
        let places = places(&world);
        for (sought, position) in &all {
            assert_eq!(locate(&world, &places, *sought), [(id, *position)]);
        }
        let nothing = Sought::Chunk(ChunkId::of(b"nothing"));
        assert_eq!(locate(&world, &places, nothing), []);
    }
    let kept = std::fs::read_dir(world.home().join(DIRECTORY)).unwrap();
    assert_eq!(kept.count(), 1, "the second time there was nothing to do");
}

#[test]
fn a_later_version_costs_what_is_new_in_it_and_many_become_one_file() {
    let world = World::new();
    first_version(&world);
    let listed = places(&world);
    let mut newest = None;
    for version in 0..12 {
        world.write("small", noise(100 + version, 9_000));
        let id = world.add(AddMode::Keep).snapshot;
        listed.refresh(&world.store, &|_| true, &Silent).unwrap();
        let files = listed.files();
        assert!(files.len() <= FILES_MAX);
        newest = Some(id);
    }
    let newest = newest.unwrap();
    for (sought, _) in standing(&world.store, &newest) {
        assert!(!locate(&world, &listed, sought).is_empty(), "{sought:?}");
    }
}

#[test]
fn who_may_not_read_a_snapshot_learns_nothing_of_it() {
    let world = World::new();
    let id = first_version(&world);
    let places = places(&world);
    for (sought, _) in standing(&world.store, &id) {
        assert_eq!(locate_where(&world, &places, sought, &|_| false), []);
    }
}

#[test]
fn what_is_held_and_not_offered_is_not_told() {
    let world = World::new();
    let id = first_version(&world);
    let places = places(&world);
    change(&world, &id, |row| {
        row.offered = Coverage::Ranges(vec![0..1_000_000]);
    });
    for (sought, position) in standing(&world.store, &id) {
        let told = locate(&world, &places, sought);
        match sought {
            Sought::Content(_) => assert_eq!(told, [], "not all of it is offered"),
            Sought::Chunk(_) if position >= 1_000_000 => assert_eq!(told, []),
            Sought::Chunk(_) => {}
        }
    }
    change(&world, &id, |row| {
        row.offered = Coverage::Ranges(Vec::new())
    });
    for (sought, _) in standing(&world.store, &id) {
        assert_eq!(locate(&world, &places, sought), []);
    }
}

#[test]
fn what_no_audience_may_be_offered_is_not_even_listed() {
    let world = World::new();
    let id = first_version(&world);
    let listed = Places::open(&world.store).unwrap();
    let nobody = |audience| audience != AudienceId::SELF;
    assert!(listed.refresh(&world.store, &nobody, &Silent).unwrap());
    for (sought, _) in standing(&world.store, &id) {
        assert_eq!(locate(&world, &listed, sought), []);
    }
}

#[test]
fn what_is_still_coming_in_is_listed_once_it_is_whole() {
    let world = World::new();
    let id = first_version(&world);
    change(&world, &id, |row| {
        row.held = Coverage::Ranges(vec![0..1_000_000]);
    });
    let listed = places(&world);
    let all = standing(&world.store, &id);
    assert_eq!(locate(&world, &listed, all[0].0), []);
    change(&world, &id, |row| row.held = Coverage::Complete);
    assert!(listed.refresh(&world.store, &|_| true, &Silent).unwrap());
    for (sought, position) in all {
        assert_eq!(locate(&world, &listed, sought), [(id, position)]);
    }
}

#[test]
fn what_a_forgotten_snapshot_shared_is_found_in_the_one_that_is_left() {
    let world = World::new();
    let old = first_version(&world);
    let listed = places(&world);
    world.write("small", noise(3, 9_000));
    let new = world.add(AddMode::Keep).snapshot;
    listed.refresh(&world.store, &|_| true, &Silent).unwrap();
    let batch = world.store.begin();
    batch.forget_snapshot(&old);
    batch.commit(true).unwrap();
    for (sought, position) in standing(&world.store, &new) {
        let stale = locate(&world, &listed, sought);
        assert!(stale.iter().all(|(id, _)| *id == new));
        listed.refresh(&world.store, &|_| true, &Silent).unwrap();
        assert_eq!(locate(&world, &listed, sought), [(new, position)]);
    }
}

#[test]
fn rows_that_lie_and_files_that_are_torn_tell_nothing() {
    let world = World::new();
    let id = first_version(&world);
    let all = standing(&world.store, &id);
    drop(places(&world));
    let name = world.home().join(DIRECTORY).join("00000000");
    let mut bytes = std::fs::read(&name).unwrap();
    // Every position is another than it was.
    for row in bytes[48..].chunks_mut(ROW) {
        row[ROW - 1] ^= 1;
    }
    std::fs::write(&name, &bytes).unwrap();
    let lying = Places::open(&world.store).unwrap();
    for (sought, _) in &all {
        assert_eq!(locate(&world, &lying, *sought), []);
    }
    drop(lying);
    for length in [0, 7, 20, 40] {
        std::fs::write(&name, &bytes[..length]).unwrap();
        let places = places(&world);
        assert_eq!(locate(&world, &places, all[0].0), [(id, all[0].1)]);
    }
}

/// The bytes of a row.
const ROW: usize = 16;
