//! Into a destination where nothing stands.

use std::sync::Mutex;
use std::thread;

use shoal_protocol::chunking::{PROFILE_1, cuts};

use super::*;

fn odd_folder() -> Things {
    things([
        ("a/deep/er/file", Thing::File(noise(1, 300_000))),
        ("a/program", Thing::Program(noise(2, 70))),
        ("empty", Thing::File(Vec::new())),
        ("empty program", Thing::Program(Vec::new())),
        ("folder", Thing::Folder),
        ("line\nbreak, ünïcode …", Thing::File(noise(3, 5))),
        ("link", Thing::Link("a/program")),
        ("big", Thing::File(noise(4, 9_000_000))),
    ])
}

#[test]
fn a_folder_arrives_as_it_was() {
    let world = World::new();
    let artifact = Artifact::folder(&odd_folder());
    let (received, sent) = world.get(&artifact).expect("received");
    assert_eq!(world.found(), odd_folder());
    assert_eq!(sent, artifact.bytes.len() as u64);
    assert_eq!(received.progress.bytes_received, sent);
    assert_eq!(received.progress.entries_done, 8);
    assert_eq!(received.warnings, Vec::<String>::new());
}

#[test]
fn a_lone_file_becomes_the_destination() {
    let world = World::new();
    let bytes = noise(1, 3_000_000);
    let artifact = Artifact::file("model.bin", bytes.clone());
    world.get(&artifact).expect("received");
    let root = world.root(&world.base);
    assert_eq!(read(&*root, Path::new("dest")), bytes);
    let mut names = root.list(Path::new("")).expect("readable");
    names.sort();
    assert_eq!(names, ["dest", "home"], "nothing is left beside it");
}

#[test]
fn a_part_of_a_folder_becomes_the_destination() {
    let world = World::new();
    let artifact = Artifact::folder(&odd_folder());
    let mut request = world.request(&artifact);
    request.inside = Some(path("a"));
    let (_, sent) = world.get_as(&artifact, request).expect("received");
    let expected = things([
        ("deep/er/file", Thing::File(noise(1, 300_000))),
        ("program", Thing::Program(noise(2, 70))),
    ]);
    assert_eq!(world.found(), expected);
    assert_eq!(sent, 300_070);

    let mut request = world.request(&artifact);
    request.inside = Some(path("nothing"));
    let error = world.get_as(&artifact, request).expect_err("no such path");
    assert!(matches!(error, ReceiveError::NoSuchPath(_)), "{error}");
}

#[test]
fn an_empty_folder_arrives() {
    let world = World::new();
    let artifact = Artifact::folder(&Things::new());
    world.get(&artifact).expect("received");
    assert_eq!(world.found(), Things::new());
}

#[test]
fn what_arrived_can_be_read_back_from_the_store() {
    let world = World::new();
    let bytes = noise(1, 3_000_000);
    let artifact = Artifact::file("model.bin", bytes.clone());
    world.get(&artifact).expect("received");
    let mut reader = world.store.run_reader(&artifact.id()).expect("known");
    let mut out = Vec::new();
    let whole = 0..bytes.len() as u64;
    world
        .store
        .read_run(&mut reader, whole, u64::MAX, &mut out)
        .expect("readable");
    assert!(out == bytes, "the destination serves the same bytes");
    let row = world.store.view().snapshot(&artifact.id());
    let row = row.expect("readable").expect("known");
    assert_eq!(row.held, Coverage::Complete);
    assert_eq!(row.offered, Coverage::Complete);
}

#[test]
fn what_arrived_is_served_while_the_rest_is_on_its_way() {
    served_meanwhile(Receive::checkpoint);
}

#[test]
fn what_is_published_is_served_without_a_checkpoint() {
    served_meanwhile(Receive::publish);
}

fn served_meanwhile(record: fn(&Receive) -> Result<(), ReceiveError>) {
    let world = World::new();
    let artifact = Artifact::file("model.bin", noise(1, 20_000_000));
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    send_some(&world.store, &receive, &artifact, 8_000_000);
    record(&receive).expect("recorded");
    let row = world.store.view().snapshot(&artifact.id());
    let Coverage::Ranges(ranges) = row.expect("readable").expect("known").offered else {
        panic!("it is not complete");
    };
    let mut reader = world.store.run_reader(&artifact.id()).expect("known");
    let mut out = Vec::new();
    let range = ranges[0].clone();
    world
        .store
        .read_run(&mut reader, range.clone(), u64::MAX, &mut out)
        .expect("readable");
    assert!(out == artifact.bytes[range.start as usize..range.end as usize]);
}

#[test]
fn a_chunk_that_occurs_often_is_sent_once() {
    let world = World::new();
    let block = noise(1, 200_000);
    let mut twice = noise(2, 1_000_000);
    twice.extend_from_within(..);
    let folder = things([
        ("one", Thing::File(block.clone())),
        ("three", Thing::File(block.clone())),
        ("two", Thing::File(block.clone())),
        ("zwice", Thing::File(twice)),
    ]);
    let artifact = Artifact::folder(&folder);
    let (received, sent) = world.get(&artifact).expect("received");
    assert_eq!(world.found(), folder);
    assert!(sent < 1_600_000, "{sent} bytes sent");
    assert_eq!(
        received.progress.bytes_reused,
        artifact.bytes.len() as u64 - sent
    );
}

#[test]
fn holes_are_neither_sent_nor_written() {
    let world = World::new();
    let mut bytes = noise(1, 400_000);
    bytes.resize(30_000_000, 0);
    bytes.extend(noise(2, 400_000));
    let artifact = Artifact::file("sparse", bytes.clone());
    let (_, sent) = world.get(&artifact).expect("received");
    assert!(sent < 2_000_000, "{sent} bytes sent");
    let root = world.root(&world.base);
    assert!(read(&*root, Path::new("dest")) == bytes);
    let found = root
        .stat(Path::new("dest"))
        .expect("readable")
        .expect("there");
    assert!(found.allocated < 4_000_000, "{found:?}");

    let zeros = Artifact::file("zeros", vec![0; 3_000_000]);
    let mut request = world.request(&zeros);
    request.dest = world.base.join("zeros");
    world.get_as(&zeros, request).expect("received");
    assert!(read(&*root, Path::new("zeros")) == vec![0; 3_000_000]);
}

#[test]
fn many_threads_write_runs_in_any_order() {
    let world = World::new();
    let mut folder = odd_folder();
    for n in 0..300 {
        let bytes = noise(100 + n, 1000 * n as usize);
        folder.insert(path(&format!("many/{}/{n}", n % 7)), Thing::File(bytes));
    }
    let artifact = Artifact::folder(&folder);
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    let runs = Mutex::new(Vec::new());
    let wait = loop {
        match receive.next().expect("nothing stands in the way") {
            Next::Pages(pages) => send_pages(&world.store, &artifact, &pages).expect("room"),
            Next::Run(run) => runs.lock().expect("not poisoned").push(run),
            other => break other,
        }
    };
    assert_eq!(wait, Next::WaitForLast);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let run = runs.lock().expect("not poisoned").pop();
                    let Some(run) = run else { break };
                    send_run(&receive, &artifact, run).expect("right bytes");
                }
            });
        }
    });
    assert_eq!(receive.next().expect("done"), Next::Done);
    receive.finish(false).expect("whole");
    assert_eq!(world.found(), folder);
}

#[test]
fn a_run_that_is_given_back_is_given_out_again_without_what_came() {
    let world = World::new();
    let artifact = Artifact::file("model.bin", noise(1, 4_000_000));
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    let run = loop {
        match receive.next().expect("nothing stands in the way") {
            Next::Pages(pages) => send_pages(&world.store, &artifact, &pages).expect("room"),
            Next::Run(run) => break run,
            other => panic!("{other:?}"),
        }
    };
    let first = cuts(&PROFILE_1, &artifact.bytes, artifact.bytes.len()).next();
    let first = first.expect("a chunk");
    receive
        .write(0, &artifact.bytes[first.clone()])
        .expect("right bytes");
    receive.give_back(run.id);
    let Next::Run(again) = receive.next().expect("nothing stands in the way") else {
        panic!("the rest is wanted");
    };
    assert_eq!(again.start, first.end as u64);
    assert_eq!(again.end, run.end);
    let sent = send_run(&receive, &artifact, again);
    sent.expect("right bytes");
    send_all(&world.store, &receive, &artifact).expect("right bytes");
    receive.finish(false).expect("whole");
}

#[test]
fn a_complete_artifact_is_written_to_a_second_place_without_sending() {
    let world = World::new();
    let artifact = Artifact::folder(&odd_folder());
    world.get(&artifact).expect("received");
    let mut request = world.request(&artifact);
    request.dest = world.base.join("second");
    let received = world.store.export(request, false).expect("all is here");
    assert_eq!(
        received.progress.bytes_reused + received.progress.bytes_resumed,
        9_300_075
    );
    let mut things = Things::new();
    collect(&*world.root(&world.base.join("second")), "", &mut things);
    assert_eq!(things, odd_folder());
}
