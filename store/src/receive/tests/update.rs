//! A new version onto an old one.

use super::*;
use crate::progress::Silent;

fn v1() -> Things {
    let mut folder = things([
        ("big", Thing::File(noise(1, 10_000_000))),
        ("gone/deep/file", Thing::File(noise(2, 1000))),
        ("link", Thing::Link("big")),
        ("old link", Thing::Link("gone")),
        ("was dir/x", Thing::File(noise(3, 1000))),
        ("was file", Thing::File(noise(4, 1000))),
    ]);
    for n in 0..100 {
        let bytes = noise(n + 10, 30_000);
        folder.insert(path(&format!("small/{n}")), Thing::File(bytes));
    }
    folder
}

fn v2() -> Things {
    let mut folder = v1();
    let Thing::File(mut big) = folder[&path("big")].clone() else {
        panic!("a file");
    };
    big.splice(5_000_000..5_000_010, noise(5, 1000));
    folder.insert(path("big"), Thing::File(big));
    folder.remove(&path("gone/deep/file"));
    folder.remove(&path("old link"));
    folder.insert(path("link"), Thing::Link("small/1"));
    folder.remove(&path("was dir/x"));
    folder.insert(path("was dir"), Thing::File(noise(6, 1000)));
    folder.remove(&path("was file"));
    folder.insert(path("was file/x"), Thing::File(noise(7, 1000)));
    let moved = folder.remove(&path("small/7")).expect("there");
    folder.insert(path("renamed/7"), moved);
    folder.insert(path("small/8"), Thing::Program(noise(18, 30_000)));
    folder
}

fn keep(world: &World, artifact: &Artifact) {
    let view = world.store.view();
    let row = view.snapshot(&artifact.id()).expect("readable");
    let mut row = row.expect("known");
    row.kept = true;
    let batch = world.store.begin();
    batch.put_snapshot(row);
    batch.commit(true).expect("room");
}

#[test]
fn an_untouched_destination_becomes_the_new_version_without_force() {
    let world = World::new();
    world.get(&Artifact::folder(&v1())).expect("received");
    let untouched = world.root(&world.dest()).stat(Path::new("small/1"));
    let new = Artifact::folder(&v2());
    let (received, sent) = world.get(&new).expect("received");
    assert_eq!(world.found(), v2());
    assert!(sent < 600_000, "{sent} bytes sent");
    assert_eq!(received.removed, 5);
    assert_eq!(
        world
            .root(&world.dest())
            .stat(Path::new("small/1"))
            .expect("readable"),
        untouched.expect("readable"),
        "what did not change is not written"
    );
}

#[test]
fn the_same_version_again_writes_and_sends_nothing() {
    let world = World::new();
    let artifact = Artifact::folder(&v1());
    world.get(&artifact).expect("received");
    let (received, sent) = world.get(&artifact).expect("received");
    assert_eq!(sent, 0);
    assert_eq!(received.progress.entries_done, artifact.snapshot.entries);
    assert_eq!(received.progress.bytes_resumed, artifact.snapshot.bytes);
}

#[test]
fn files_that_the_user_added_or_edited_stay_when_the_new_version_does_not_have_them() {
    let world = World::new();
    world.get(&Artifact::folder(&v1())).expect("received");
    world.put("gone/deep/file", b"edited");
    world.put("gone/mine", b"mine");
    let (received, _) = world.get(&Artifact::folder(&v2())).expect("received");
    let mut expected = v2();
    expected.insert(path("gone/deep/file"), Thing::File(b"edited".to_vec()));
    expected.insert(path("gone/mine"), Thing::File(b"mine".to_vec()));
    assert_eq!(world.found(), expected);
    let text = received.warnings.join("\n");
    assert!(text.contains("gone/deep/file"), "{text}");
}

#[test]
fn a_kept_version_can_still_be_read_after_the_update() {
    let world = World::new();
    let old = Artifact::folder(&v1());
    world.get(&old).expect("received");
    keep(&world, &old);
    let (received, _) = world.get(&Artifact::folder(&v2())).expect("received");
    assert_eq!(world.found(), v2());
    assert!(received.moved_aside > 0);
    world.store.collect(&Silent).expect("it can be collected");
    let mut reader = world.store.run_reader(&old.id()).expect("known");
    let mut out = Vec::new();
    let whole = 0..old.snapshot.bytes;
    world
        .store
        .read_run(&mut reader, whole, u64::MAX, &mut out)
        .expect("readable");
    assert!(out == old.bytes);
}

#[test]
fn a_version_that_is_not_kept_leaves_nothing_aside() {
    let world = World::new();
    world.get(&Artifact::folder(&v1())).expect("received");
    let (received, _) = world.get(&Artifact::folder(&v2())).expect("received");
    assert_eq!(received.moved_aside, 0);
}

#[test]
fn an_interrupted_update_goes_on() {
    let world = World::new();
    world.get(&Artifact::folder(&v1())).expect("received");
    let new = Artifact::folder(&v2());
    world.announce(&new);
    let receive = world.receive(world.request(&new)).expect("begun");
    send_some(&world.store, &receive, &new, 1);
    drop(receive);
    let world = world.killed();
    world.get(&new).expect("received");
    assert_eq!(world.found(), v2());
}

#[test]
fn when_a_new_version_cannot_be_made_durable_the_old_one_stays_and_nothing_is_believed() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    world.get(&Artifact::folder(&v1())).expect("received");
    let new = Artifact::folder(&v2());
    world.announce(&new);
    let receive = world.receive(world.request(&new)).expect("begun");
    send_all(&world.store, &receive, &new).expect("sent");
    disk.fail_sync();
    let failed = receive.finish(false);
    assert!(
        matches!(failed, Err(ReceiveError::Disk { .. })),
        "{failed:?}"
    );
    drop(receive);
    let (_, sent) = world.get(&new).expect("received");
    assert!(sent > 0, "what was not synced comes anew");
    assert_eq!(world.found(), v2());
}
