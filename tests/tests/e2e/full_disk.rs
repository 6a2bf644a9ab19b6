//! A disk that is too small, or becomes full: said before anything is written where that can
//! be known, and nothing lost where it cannot.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use shoal_tests::data;
use shoal_tests::shoal::{Finished, Home};
use shoal_tests::small_disk::SmallDisk;

use crate::sharing::assert_same_tree;

/// A file of so many MiB, in a directory of its own.
fn file(mib: usize) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big");
    std::fs::write(&path, data::bytes("big", mib << 20)).unwrap();
    (dir, path)
}

fn assert_no_space(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code(), 9, "{finished:?}");
    for word in ["error:", "hint:", "room"].iter().chain(words) {
        let said = &finished.stderr;
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn a_get_that_cannot_fit_says_so_before_it_writes() {
    let Some(disk) = SmallDisk::new(32) else {
        return;
    };
    let (_dir, source) = file(64);
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let copy = disk.path().join("copy");
    let refused = bob.run(&["get", &ticket, copy.to_str().unwrap()]);
    assert_no_space(&refused, &["67.1 MB"]);
    let left: Vec<_> = std::fs::read_dir(disk.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_add_that_cannot_fit_says_so_and_the_store_goes_on() {
    let Some(disk) = SmallDisk::new(96) else {
        return;
    };
    let (dir, source) = file(128);
    let home = Home::new();
    let store = disk.path().join("home");
    let run = |args: &[&str]| {
        let at = ["--home", store.to_str().unwrap()];
        home.run(&[&at, args].concat())
    };
    assert_no_space(&run(&["add", source.to_str().unwrap()]), &["are free"]);
    assert_eq!(run(&["ls"]).ok().stdout, "", "something was added");
    let small = dir.path().join("small");
    std::fs::write(&small, data::bytes("small", 1 << 20)).unwrap();
    run(&["add", small.to_str().unwrap()]).ok();
    run(&["add", "--in-place", source.to_str().unwrap()]).ok();
}

#[test]
fn a_disk_that_fills_up_loses_nothing_and_the_get_goes_on_with_room() {
    let Some(disk) = SmallDisk::new(320) else {
        return;
    };
    let (_dir, source) = file(256);
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let copy = disk.path().join("copy");
    let copy = copy.to_str().unwrap();
    let mut get = bob.start(&["--progress", "json", "get", &ticket, copy]);
    get.stderr_line(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        event["progress"]["bytes_done"].as_u64() > Some(0)
    })
    .expect("progress is told");
    get.signal(Signal::STOP);
    let ballast = disk.fill();
    get.signal(Signal::CONT);
    let full = get.wait();
    assert_eq!(full.code(), 9, "{full:?}");
    assert!(full.stderr.contains("make room"), "{}", full.stderr);

    std::fs::remove_file(ballast).unwrap();
    let again = bob.run(&["--progress", "plain", "get", &ticket, copy]).ok();
    assert!(again.stderr.contains("resuming at"), "{}", again.stderr);
    assert_same_tree(&source, copy.as_ref());
}

#[test]
fn a_daemon_waits_for_room_and_says_so() {
    let Some(disk) = SmallDisk::new(32) else {
        return;
    };
    let (_dir, source) = file(64);
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let _daemon = bob.up();
    let copy = disk.path().join("copy");
    let mut get = bob.start(&["--progress", "json", "get", &ticket, copy.to_str().unwrap()]);
    get.stderr_line(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let waiting = event["progress"]["waiting_for"].as_str();
        waiting.is_some_and(|what| what.contains("room on the disk"))
    })
    .expect("the daemon goes on waiting");
    let status = bob.run(&["status"]).ok().stdout;
    assert!(status.contains("waiting for room on the disk"), "{status}");
    disk.resize(160);
    get.wait().ok();
    assert_same_tree(&source, &copy);
}

#[test]
fn on_a_full_disk_a_node_that_cannot_start_says_why() {
    let Some(disk) = SmallDisk::new(8) else {
        return;
    };
    let home = Home::new();
    let store = disk.path().join("home");
    let ballast = disk.fill();
    let run = |args: &[&str]| home.run(&[&["--home", store.to_str().unwrap()], args].concat());
    assert_no_space(&run(&["up", "--detach"]), &["home"]);
    assert_no_space(&run(&["ls"]), &["home"]);
    std::fs::remove_file(ballast).unwrap();
    run(&["ls"]).ok();
}
