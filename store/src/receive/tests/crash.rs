//! The power goes, or the room.

use super::*;
use crate::disk::faulty::Fate;

fn v1() -> Things {
    let mut big = noise(1, 200_000);
    big.resize(500_000, 0);
    big.extend(noise(2, 100_000));
    things([
        ("big", Thing::File(big)),
        ("dir/gone", Thing::File(noise(3, 2000))),
        ("dir/kept", Thing::File(noise(4, 2000))),
        ("empty", Thing::Folder),
        ("emptied/gone", Thing::File(noise(9, 2000))),
        ("link", Thing::Link("big")),
        ("program", Thing::Program(noise(5, 100))),
    ])
}

fn v2() -> Things {
    let mut folder = v1();
    folder.insert(path("big"), Thing::File(noise(6, 300_000)));
    folder.remove(&path("dir/gone"));
    folder.remove(&path("emptied/gone"));
    folder.insert(path("dir/new"), Thing::File(noise(7, 2000)));
    folder.insert(path("program"), Thing::Program(noise(8, 100)));
    folder
}

fn get_synced(world: &World, artifact: &Artifact) {
    world.announce(artifact);
    let receive = world.receive(world.request(artifact)).expect("begun");
    send_all(&world.store, &receive, artifact).expect("right bytes");
    receive.checkpoint().expect("recorded");
    receive.finish(true).expect("whole");
}

const FATES: [Fate; 5] = [
    Fate::Lost,
    Fate::Kept,
    Fate::Mixed(1),
    Fate::Mixed(2),
    Fate::Mixed(3),
];

#[test]
fn a_first_get_goes_on_after_a_power_cut_at_any_moment() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let artifact = Artifact::folder(&v1());
    disk.record();
    get_synced(&world, &artifact);
    for (moment, image) in disk.images().into_iter().enumerate() {
        for fate in FATES {
            let world = World::on(&image.found(fate));
            let (received, _) = world
                .get(&artifact)
                .unwrap_or_else(|error| panic!("cut {moment}, {fate:?}: {error}"));
            assert_eq!(world.found(), v1(), "cut {moment}, {fate:?}, {received:?}");
        }
    }
}

#[test]
fn an_update_goes_on_after_a_power_cut_at_any_moment() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    get_synced(&world, &Artifact::folder(&v1()));
    let artifact = Artifact::folder(&v2());
    disk.record();
    get_synced(&world, &artifact);
    for (moment, image) in disk.images().into_iter().enumerate() {
        for fate in FATES {
            let world = World::on(&image.found(fate));
            let (received, _) = world
                .get(&artifact)
                .unwrap_or_else(|error| panic!("cut {moment}, {fate:?}: {error}"));
            assert_eq!(world.found(), v2(), "cut {moment}, {fate:?}, {received:?}");
        }
    }
}

#[test]
fn what_was_acknowledged_with_sync_survives_a_power_cut() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let artifact = Artifact::folder(&v1());
    get_synced(&world, &artifact);
    for fate in FATES {
        let world = World::on(&disk.after_cut(fate));
        assert_eq!(world.found(), v1(), "{fate:?}");
        let (received, sent) = world.get(&artifact).expect("it is there");
        assert_eq!((sent, received.progress.bytes_reused), (0, 0));
    }
}

#[test]
fn a_disk_that_fills_up_loses_nothing_and_the_receive_goes_on() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let things: Things = (0..20)
        .map(|n| (path(&format!("{n:02}")), Thing::File(noise(n, 100_000))))
        .collect();
    let artifact = Artifact::folder(&things);
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    // There was room when it began.
    let run = loop {
        match receive.next().expect("nothing stands in the way") {
            Next::Pages(pages) => send_pages(&world.store, &artifact, &pages).expect("room"),
            Next::Run(run) => break run,
            other => panic!("{other:?}"),
        }
    };
    disk.set_room(Some(disk.used() + 1_000_000));
    let error = send_run(&receive, &artifact, run).expect_err("full");
    assert!(matches!(error, ReceiveError::NoSpace { .. }), "{error}");
    let held = receive.progress().bytes_held;
    assert!(held > 500_000, "{held} bytes are in their place");
    disk.set_room(None);
    // What came is passed over, the rest is taken.
    send_run(&receive, &artifact, run).expect("room");
    send_all(&world.store, &receive, &artifact).expect("the rest");
    receive.finish(false).expect("whole");
    assert_eq!(world.found(), things);
}

#[test]
fn no_room_is_said_before_anything_is_written() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let large = Artifact::folder(&things([("large", Thing::File(noise(1, 20_000_000)))]));
    world.announce(&large);
    let room = disk.used() + (16 << 20) + 16_000_000;
    disk.set_room(Some(room));
    let error = world.get(&large).expect_err("no room");
    assert!(
        matches!(
            error,
            ReceiveError::NoRoom {
                needed: 20_000_000..,
                ..
            }
        ),
        "{error}"
    );
    let root = world.root(&world.base);
    assert_eq!(root.list(Path::new("")).expect("readable"), ["home"]);

    // Holes need no room: what is not zero fits.
    let mut bytes = noise(2, 500_000);
    bytes.resize(40_000_000, 0);
    let sparse = Artifact::folder(&things([("sparse", Thing::File(bytes))]));
    world.get(&sparse).expect("received");
}
