//! Wrong bytes, wrong positions, and artifacts that mean harm.

use std::sync::Barrier;
use std::thread;

use shoal_protocol::chunking::{PROFILE_1, cuts};
use shoal_protocol::id::ChunkId;

use super::*;

fn begun(world: &World, artifact: &Artifact) -> (Receive, Run) {
    world.announce(artifact);
    let receive = world.receive(world.request(artifact)).expect("begun");
    loop {
        match receive.next().expect("nothing stands in the way") {
            Next::Pages(pages) => send_pages(&world.store, artifact, &pages).expect("room"),
            Next::Run(run) => return (receive, run),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_wrong_chunk_never_touches_the_disk_and_can_be_sent_again() {
    let world = World::new();
    let artifact = Artifact::file("f", noise(1, 1_000_000));
    let (receive, run) = begun(&world, &artifact);
    let second = cuts(&PROFILE_1, &artifact.bytes, artifact.bytes.len()).nth(1);
    let second = second.expect("more than one chunk");
    let mut wrong = artifact.bytes.clone();
    wrong[second.start + 5] ^= 1;
    let error = receive.write(run.start, &wrong).expect_err("wrong bytes");
    match error {
        ReceiveError::Mismatch { position, chunk } => {
            assert_eq!(position, second.start as u64);
            assert_eq!(chunk, ChunkId::of(&artifact.bytes[second.clone()]));
        }
        other => panic!("{other}"),
    }
    assert_eq!(receive.progress().bytes_held, second.start as u64);
    send_run(&receive, &artifact, run).expect("right bytes");
    assert_eq!(receive.next().expect("done"), Next::Done);
    receive.finish(false).expect("whole");
    let root = world.root(&world.base);
    assert!(read(&*root, Path::new("dest")) == artifact.bytes);
}

#[test]
fn bytes_that_nobody_asked_for_are_refused() {
    let world = World::new();
    let artifact = Artifact::file("f", noise(1, 1_000_000));
    let (receive, run) = begun(&world, &artifact);
    for position in [run.start + 1, run.end, u64::MAX / 2] {
        let error = receive
            .write(position, &[0; 10])
            .expect_err("not asked for");
        assert!(matches!(error, ReceiveError::Unrequested { .. }), "{error}");
    }
}

#[test]
fn bytes_that_end_inside_a_chunk_are_refused() {
    let world = World::new();
    let artifact = Artifact::file("f", noise(1, 1_000_000));
    let (receive, run) = begun(&world, &artifact);
    let error = receive
        .write(run.start, &artifact.bytes[..1000])
        .expect_err("a part of a chunk");
    assert!(
        matches!(
            error,
            ReceiveError::WrongLength {
                position: 0,
                got: 1000,
                ..
            }
        ),
        "{error}"
    );
    send_run(&receive, &artifact, run).expect("right bytes");
}

#[test]
fn bytes_that_came_before_are_passed_over() {
    let world = World::new();
    let artifact = Artifact::file("f", noise(1, 1_000_000));
    let (receive, run) = begun(&world, &artifact);
    send_run(&receive, &artifact, run).expect("right bytes");
    send_run(&receive, &artifact, run).expect("the same again");
    assert_eq!(receive.progress().bytes_received, 1_000_000);
    receive.next().expect("done");
    receive.finish(false).expect("whole");
}

/// At the end the same bytes are asked of two peers, and two threads have them at once.
#[test]
fn who_brings_the_same_bytes_as_another_hears_when_they_are_there() {
    for (round, lies) in (0..100).flat_map(|round| [(round, false), (round, true)]) {
        let world = World::on(&FaultyDisk::new());
        let artifact = Artifact::file("f", noise(round, 300_000));
        let (receive, run) = begun(&world, &artifact);
        let mut others = artifact.bytes.clone();
        if lies {
            others.iter_mut().for_each(|byte| *byte ^= 1);
        }
        let begin = Barrier::new(2);
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                begin.wait();
                receive.write(run.start, &others)
            });
            begin.wait();
            send_run(&receive, &artifact, run).expect("right bytes");
            assert_eq!(receive.next().expect("readable"), Next::Done);
            let other = other.join().expect("it does not panic");
            assert!(lies || other.is_ok(), "{other:?}");
        });
    }
}

#[test]
fn nothing_is_finished_before_it_is_whole() {
    let world = World::new();
    let artifact = Artifact::file("f", noise(1, 1_000_000));
    let (receive, _) = begun(&world, &artifact);
    let error = receive.finish(false).expect_err("bytes are missing");
    assert!(
        matches!(error, ReceiveError::Incomplete(1_000_000)),
        "{error}"
    );
}

#[test]
fn names_that_shoal_needs_are_refused() {
    let world = World::new();
    let name = format!("{}/x", super::super::STAGING);
    let artifact = Artifact::folder(&things([(&name, Thing::File(noise(1, 10)))]));
    let error = world.get(&artifact).expect_err("reserved");
    assert!(matches!(error, ReceiveError::ReservedName(_)), "{error}");
}

#[test]
fn a_folder_around_the_store_cannot_overwrite_it() {
    let world = World::new();
    let artifact = Artifact::folder(&things([("home/identity", Thing::File(noise(1, 10)))]));
    let mut request = world.request(&artifact);
    request.dest = world.base.clone();
    request.force = true;
    let error = world.get_as(&artifact, request).expect_err("the store's");
    assert!(matches!(error, ReceiveError::ReservedName(_)), "{error}");
}

#[test]
fn nothing_is_written_through_a_symlink_that_stands_in_the_destination() {
    let world = World::new();
    let v1 = things([("dir/x", Thing::File(noise(1, 10)))]);
    world.get(&Artifact::folder(&v1)).expect("received");
    let base = world.root(&world.base);
    base.create_dir(Path::new("outside")).expect("room");
    // Someone replaces the directory by a link that leads outside.
    let root = world.root(&world.dest());
    root.remove_file(Path::new("dir/x")).expect("there");
    root.remove_dir(Path::new("dir")).expect("empty");
    root.symlink("../outside", Path::new("dir")).expect("room");
    let v2 = things([
        ("dir/x", Thing::File(noise(2, 10))),
        ("dir/y", Thing::File(noise(3, 10))),
    ]);
    let v2 = Artifact::folder(&v2);
    let error = world.get(&v2).expect_err("a link is in the way");
    assert!(matches!(error, ReceiveError::Edited { .. }), "{error}");

    let mut request = world.request(&v2);
    request.force = true;
    world.get_as(&v2, request).expect("forced");
    assert_eq!(base.list(Path::new("outside")).expect("readable").len(), 0);
    assert_eq!(world.found()[&path("dir/y")], Thing::File(noise(3, 10)));
}

#[test]
fn links_that_lead_out_are_kept_as_text_and_named() {
    let world = World::new();
    let folder = things([
        ("in", Thing::Link("out")),
        ("out", Thing::Link("/etc/passwd")),
        ("sub/out", Thing::Link("../../x")),
    ]);
    let (received, _) = world.get(&Artifact::folder(&folder)).expect("received");
    assert_eq!(world.found(), folder);
    let text = received.warnings.join("\n");
    assert!(text.contains("out -> /etc/passwd"), "{text}");
    assert!(text.contains("sub/out -> ../../x"), "{text}");
    assert!(!text.contains("in -> out,"), "{text}");
}
