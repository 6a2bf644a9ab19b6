//! Receives that nobody waited for the disk to finish, and the power went.

use shoal_protocol::path::ManifestPath;

use super::*;
use crate::check::VerifyScope;
use crate::disk::faulty::Fate;
use crate::progress::Silent;

fn folder() -> Things {
    let mut folder = things([
        ("big", Thing::File(noise(1, 300_000))),
        ("link", Thing::Link("big")),
        ("program", Thing::Program(noise(2, 900))),
    ]);
    for n in 0..4 {
        folder.insert(
            path(&format!("small/{n}")),
            Thing::File(noise(10 + n, 6_000)),
        );
    }
    folder
}

fn next() -> Things {
    let mut folder = folder();
    folder.insert(path("big"), Thing::File(noise(3, 250_000)));
    folder.insert(path("small/1"), Thing::File(noise(4, 6_000)));
    folder.remove(&path("small/2"));
    folder
}

fn fates() -> impl Iterator<Item = Fate> {
    let mixed = (0..20).map(Fate::Mixed);
    [Fate::Lost, Fate::Kept].into_iter().chain(mixed)
}

/// The files that differ from what was received.
fn torn(world: &World) -> usize {
    let found = world.found();
    let same = |(path, thing): &(&ManifestPath, &Thing)| found.get(*path) != Some(*thing);
    folder().iter().filter(same).count()
}

#[test]
fn what_a_power_cut_tore_is_received_again_without_force() {
    let disk = FaultyDisk::new();
    World::on(&disk)
        .get(&Artifact::folder(&folder()))
        .expect("received");
    let mut torn_in_all = 0;
    for fate in fates() {
        let world = World::on(&disk.after_cut(fate));
        torn_in_all += torn(&world);
        let got = world.get(&Artifact::folder(&folder()));
        got.unwrap_or_else(|error| panic!("{fate:?}: {error}"));
        assert_eq!(world.found(), folder(), "{fate:?}");
    }
    assert!(torn_in_all > 30, "{torn_in_all} files were torn");
}

#[test]
fn what_a_power_cut_tore_is_updated_without_force() {
    let disk = FaultyDisk::new();
    World::on(&disk)
        .get(&Artifact::folder(&folder()))
        .expect("received");
    for fate in fates() {
        let world = World::on(&disk.after_cut(fate));
        let got = world.get(&Artifact::folder(&next()));
        got.unwrap_or_else(|error| panic!("{fate:?}: {error}"));
        assert_eq!(world.found(), next(), "{fate:?}");
    }
}

#[test]
fn a_receive_without_sync_goes_on_after_a_power_cut_at_any_moment() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let artifact = Artifact::folder(&folder());
    disk.record();
    world.get(&artifact).expect("received");
    world.store.close().expect("closable");
    for (moment, image) in disk.images().into_iter().enumerate() {
        for fate in fates().take(6) {
            let world = World::on(&image.found(fate));
            let got = world.get(&artifact);
            got.unwrap_or_else(|error| panic!("cut {moment}, {fate:?}: {error}"));
            assert_eq!(world.found(), folder(), "cut {moment}, {fate:?}");
        }
    }
}

/// An edit of a file, as tools make them.
fn edit(world: &World, how: usize) -> Vec<u8> {
    let root = world.root(&world.dest());
    let name = Path::new("small/1");
    let bytes = match how {
        // In place, with the same length.
        0 => noise(99, 6_000),
        _ => b"my edit".to_vec(),
    };
    if how == 2 {
        let new = Path::new("small/1~");
        let file = root.open(new, OpenMode::CreateNew).expect("a file");
        file.write_at(0, &bytes).expect("room");
        root.rename(new, name).expect("renamed");
    } else {
        let file = root.open(name, OpenMode::Create).expect("a file");
        file.set_len(bytes.len() as u64).expect("room");
        file.write_at(0, &bytes).expect("room");
    }
    bytes
}

fn is_left_alone(world: &World, edited: &[u8], context: &str) {
    for artifact in [folder(), next()] {
        let error = world.get(&Artifact::folder(&artifact)).expect_err("edited");
        let ReceiveError::Edited { paths, .. } = &error else {
            panic!("{context}: {error}");
        };
        assert_eq!(paths.listed, ["small/1"], "{context}");
        let root = world.root(&world.dest());
        assert!(read(&*root, Path::new("small/1")) == edited, "{context}");
    }
}

#[test]
fn an_edit_after_the_power_cut_is_left_alone() {
    let disk = FaultyDisk::new();
    World::on(&disk)
        .get(&Artifact::folder(&folder()))
        .expect("received");
    for (fate, how) in fates().flat_map(|fate| [0, 1, 2].map(|how| (fate, how))) {
        let world = World::on(&disk.after_cut(fate));
        world
            .root(&world.dest())
            .create_dir(Path::new("small"))
            .expect("room");
        let edited = edit(&world, how);
        is_left_alone(&world, &edited, &format!("{fate:?}, {how}"));
    }
}

#[test]
fn an_edit_before_the_power_cut_is_left_alone() {
    for how in 0..3 {
        let disk = FaultyDisk::new();
        let world = World::on(&disk);
        world.get(&Artifact::folder(&folder())).expect("received");
        let edited = edit(&world, how);
        drop(world);
        let world = World::on(&disk.after_cut(Fate::Kept));
        is_left_alone(&world, &edited, &format!("{how}"));
    }
}

#[test]
fn a_file_that_the_user_made_where_a_receive_was_cut_off_is_left_alone() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let artifact = Artifact::folder(&folder());
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    receive.next().expect("begun");
    drop(receive);
    drop(world);
    let world = World::on(&disk.after_cut(Fate::Kept));
    world.put("program", b"mine");
    let error = world.get(&artifact).expect_err("the user's");
    assert!(matches!(error, ReceiveError::Edited { .. }), "{error}");
    let root = world.root(&world.dest());
    assert_eq!(read(&*root, Path::new("program")), b"mine");
}

#[test]
fn what_was_not_synced_is_offered_again_once_it_was_hashed() {
    let disk = FaultyDisk::new();
    let artifact = Artifact::folder(&folder());
    let offered = |world: &World| {
        let row = world.store.view().snapshot(&artifact.id());
        let row = row.expect("readable").expect("known");
        row.offered.to_set(artifact.snapshot.bytes).total_bytes()
    };
    let world = World::on(&disk);
    world.get(&artifact).expect("received");
    assert_eq!(offered(&world), artifact.snapshot.bytes);
    drop(world);
    for fate in fates() {
        let world = World::on(&disk.after_cut(fate));
        assert_eq!(offered(&world), 0, "{fate:?}");
        let found = world.store.verify(VerifyScope::Suspect, &Silent);
        let damaged = found.expect("readable").damaged;
        let whole = torn(&world) == 0;
        assert_eq!(damaged.is_empty(), whole, "{fate:?}: {damaged:?}");
        assert_eq!(offered(&world) == artifact.snapshot.bytes, whole);
        // What is offered now is there.
        let mut bytes = Vec::new();
        let row = world.store.view().snapshot(&artifact.id());
        for range in (row.expect("readable").expect("known").offered)
            .to_set(artifact.snapshot.bytes)
            .iter()
        {
            let mut reader = world.store.run_reader(&artifact.id()).expect("known");
            let read = (world.store).read_run(&mut reader, range.clone(), u64::MAX, &mut bytes);
            let read = read.unwrap_or_else(|error| panic!("{fate:?}: {error}"));
            assert_eq!(read, range);
            assert!(bytes == artifact.bytes[range.start as usize..range.end as usize]);
        }
    }
}
