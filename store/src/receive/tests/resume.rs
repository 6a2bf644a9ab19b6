//! Going on with a receive that was interrupted.

use super::*;

fn folder() -> Things {
    let mut folder = things([
        ("big", Thing::File(noise(1, 40_000_000))),
        ("link", Thing::Link("big")),
    ]);
    for n in 0..200 {
        let bytes = noise(n + 2, 20_000);
        folder.insert(path(&format!("small/{n}")), Thing::File(bytes));
    }
    folder
}

#[test]
fn after_a_checkpoint_and_a_restart_nothing_is_sent_twice() {
    let world = World::new();
    let artifact = Artifact::folder(&folder());
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    let before = send_some(&world.store, &receive, &artifact, 30_000_000);
    receive.checkpoint().expect("recorded");
    drop(receive);
    let world = world.restarted();
    let receive = world.receive(world.request(&artifact)).expect("begun");
    let after = send_all(&world.store, &receive, &artifact).expect("the rest");
    let received = receive.finish(false).expect("whole");
    assert_eq!(before + after, artifact.bytes.len() as u64);
    assert_eq!(received.progress.bytes_resumed, before);
    assert_eq!(
        received.progress.resumed_at,
        Some((before * 100 / 44_000_000) as u8)
    );
    assert_eq!(world.found(), folder());
}

#[test]
fn what_the_map_does_not_vouch_for_is_hashed_where_it_lies() {
    let world = World::new();
    let artifact = Artifact::folder(&folder());
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    let before = send_some(&world.store, &receive, &artifact, 42_000_000);
    drop(receive);
    let world = world.killed();
    let receive = world.receive(world.request(&artifact)).expect("begun");
    let after = send_all(&world.store, &receive, &artifact).expect("the rest");
    receive.finish(false).expect("whole");
    assert_eq!(before + after, artifact.bytes.len() as u64);
    assert_eq!(world.found(), folder());
}

#[test]
fn staged_bytes_that_were_damaged_are_sent_again() {
    let world = World::new();
    let artifact = Artifact::file("f", noise(1, 10_000_000));
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    send_some(&world.store, &receive, &artifact, 8_000_000);
    let staged = receive.destination().staged(0);
    drop(receive);
    let root = world.root(&world.base);
    let file = root.open(&staged, OpenMode::Write).expect("it is staged");
    file.write_at(5_000_000, b"damage").expect("room");
    drop(file);
    let world = world.killed();
    let receive = world.receive(world.request(&artifact)).expect("begun");
    let after = send_all(&world.store, &receive, &artifact).expect("the rest");
    receive.finish(false).expect("whole");
    assert!(after < 3_000_000, "{after} bytes sent");
    assert!(read(&*world.root(&world.base), Path::new("dest")) == artifact.bytes);
}

#[test]
fn a_file_that_was_whole_but_not_acknowledged_is_taken_as_it_is() {
    let world = World::new();
    let artifact = Artifact::file("f", noise(1, 10_000_000));
    world.announce(&artifact);
    let receive = world.receive(world.request(&artifact)).expect("begun");
    send_all(&world.store, &receive, &artifact).expect("all");
    drop(receive);
    let world = world.killed();
    let (_, sent) = world.get(&artifact).expect("received");
    assert_eq!(sent, 0);
}

#[test]
fn another_snapshot_supersedes_and_leaves_nothing_behind() {
    let world = World::new();
    let old = Artifact::folder(&folder());
    world.announce(&old);
    let receive = world.receive(world.request(&old)).expect("begun");
    send_some(&world.store, &receive, &old, 42_000_000);
    receive.checkpoint().expect("recorded");
    drop(receive);
    let mut new = folder();
    new.remove(&path("small/1"));
    new.remove(&path("small/0"));
    new.insert(path("extra"), Thing::File(noise(900, 50_000)));
    let (_, sent) = world.get(&Artifact::folder(&new)).expect("received");
    assert_eq!(world.found(), new, "also what only the old one had is gone");
    assert!(sent < 4_100_000, "{sent} bytes sent");
}

#[test]
fn another_destination_has_its_own_staging() {
    let world = World::new();
    let artifact = Artifact::file("f", noise(1, 10_000_000));
    world.announce(&artifact);
    let first = world.receive(world.request(&artifact)).expect("begun");
    send_some(&world.store, &first, &artifact, 4_000_000);
    let mut request = world.request(&artifact);
    request.dest = world.base.join("other");
    world.get_as(&artifact, request).expect("received");
    send_all(&world.store, &first, &artifact).expect("the rest");
    first.finish(false).expect("whole");
    let root = world.root(&world.base);
    assert!(read(&*root, Path::new("dest")) == artifact.bytes);
    assert!(read(&*root, Path::new("other")) == artifact.bytes);
}
