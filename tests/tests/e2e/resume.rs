//! Killed at any point, a get goes on where it was.

use std::path::Path;

use serde_json::Value;
use shoal_tests::data::{self, Model};
use shoal_tests::shoal::{Home, Running};

use crate::sharing::assert_same_tree;

const BYTES: u64 = 192 << 20;
const AGAIN_MAX: u64 = 16 << 20;

fn model(path: &Path) {
    Model {
        seed: 31,
        bytes: BYTES,
        tensors: 24,
    }
    .write(path)
    .unwrap();
}

fn start_get(home: &Home, ticket: &str, copy: &Path) -> Running {
    home.start(&["--progress", "json", "get", ticket, copy.to_str().unwrap()])
}

/// Reads progress up to `bytes` done; gives the bytes done at the last line read and, of
/// those, the ones that did not come over the wire. Nothing if the get ended before.
fn read_until(get: &mut Running, bytes: u64) -> Option<(u64, u64)> {
    let mut seen = None;
    get.stderr_line(|line| {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return false;
        };
        let progress = &event["progress"];
        let Some(done) = progress["bytes_done"].as_u64() else {
            return false;
        };
        if progress["phase"] != "transferring" {
            return false;
        }
        let reused = progress["bytes_reused"].as_u64().unwrap_or(0);
        seen = Some((done, reused));
        done >= bytes
    })?;
    seen
}

#[test]
fn a_killed_getter_moves_at_most_16_mib_again() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("model"), dir.path().join("copy"));
    model(&source);
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let mut held = 0;
    for point in 0..10 {
        // What is new arrives only after what was there has been found again.
        let target = held + (1 << 20) + data::number(&format!("kill {point}")) % (BYTES / 12);
        let mut get = start_get(&bob, &ticket, &copy);
        let Some((done, reused)) = read_until(&mut get, target) else {
            break;
        };
        assert!(
            reused + AGAIN_MAX >= held,
            "kill {point}: had {held} bytes, found {reused} of them again"
        );
        get.kill();
        held = done;
    }
    assert!(held > 0, "nothing was ever received before a kill");
    bob.run(&["get", &ticket, copy.to_str().unwrap()]).ok();
    assert_same_tree(&source, &copy);
}

#[test]
fn a_killed_sharer_can_come_back_and_the_get_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("model"), dir.path().join("copy"));
    model(&source);
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, sharer) = alice.share(&source);
    let mut get = start_get(&bob, &ticket, &copy);
    let before = read_until(&mut get, BYTES / 3);
    sharer.kill();
    let finished = get.signal_and_wait();
    // It may have been whole already; otherwise it says that it can go on.
    if before.is_some() && finished.code() != 0 {
        assert_eq!(finished.code(), 130, "{finished:?}");
    }
    let (ticket, _sharer) = alice.share(&source);
    bob.run(&["get", &ticket, copy.to_str().unwrap()]).ok();
    assert_same_tree(&source, &copy);
}

#[test]
fn ctrl_c_says_how_to_go_on_and_the_next_run_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("model"), dir.path().join("copy"));
    model(&source);
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let mut get = start_get(&bob, &ticket, &copy);
    read_until(&mut get, BYTES / 4).expect("a quarter comes before the end");
    let finished = get.signal_and_wait();
    assert_eq!(finished.code(), 130, "{finished:?}");
    assert!(!copy.exists(), "half a file under its final name");
    let again = bob
        .run(&[
            "--progress",
            "plain",
            "get",
            &ticket,
            copy.to_str().unwrap(),
        ])
        .ok();
    assert!(again.stderr.contains("resuming at"), "{}", again.stderr);
    assert_same_tree(&source, &copy);
}

#[test]
fn without_a_source_a_script_gets_code_5() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("f");
    std::fs::write(&source, data::bytes("f", 1 << 20)).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, sharer) = alice.share(&source);
    sharer.kill();
    let copy = dir.path().join("copy");
    let finished = bob.run(&["get", &ticket, copy.to_str().unwrap(), "--timeout", "1s"]);
    assert_eq!(finished.code(), 5, "{finished:?}");
    assert!(finished.stderr.contains("hint:"), "{}", finished.stderr);
}
