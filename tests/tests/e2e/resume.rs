//! Killed at any point, a get goes on where it was.
//!
//! `SHOAL_CAMPAIGN=large` does the same with the full size of the promise, 2 GiB, and
//! `--nocapture` shows what each kill cost. A [`Relay`] between the two nodes lets through
//! what is to come before a kill and a little more, so that no get is over before its kill,
//! however fast the machine is. Costs are counted there too: bytes that passed and are in
//! the kernel's queues, or in the memory of the process, when it is killed count as
//! received.

use std::collections::VecDeque;
use std::path::PathBuf;

use serde_json::Value;
use shoal_tests::data::{self, Model};
use shoal_tests::relay::Relay;
use shoal_tests::shoal::{Finished, Home, Running};

use crate::sharing::assert_same_tree;

const KILLS: u64 = 10;
const AGAIN_MAX: u64 = 16 << 20;
/// What the relay lets through beyond the bytes that a test waits for: they are reported once
/// their frame is whole, and pages come with them.
const BEYOND: u64 = 3 << 20;
/// The same where the connection was cut before: what stood in the kernel's queues then has
/// passed the relay and never arrived.
const CUT_OFF: u64 = 16 << 20;

fn size() -> u64 {
    match std::env::var("SHOAL_CAMPAIGN").as_deref() {
        Ok("large") => 2 << 30,
        _ => 256 << 20,
    }
}

/// A model file to share, a place for its copy, and two homes.
struct Scene {
    _dir: tempfile::TempDir,
    source: PathBuf,
    copy: PathBuf,
    alice: Home,
    bob: Home,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("model");
        let model = Model {
            seed: 31,
            bytes: size(),
            tensors: 24,
        };
        model.write(&source).unwrap();
        Self {
            copy: dir.path().join("copy"),
            source,
            _dir: dir,
            alice: Home::new(),
            bob: Home::new(),
        }
    }

    /// Makes the getter's side as it was at first.
    fn start_anew(&mut self) {
        self.bob = Home::new();
        let _ = std::fs::remove_file(&self.copy);
        assert!(!self.copy.exists(), "the copy could not be removed");
    }

    fn start_get(&self, ticket: &str) -> Running {
        let copy = self.copy.to_str().unwrap();
        let args = ["--json", "--progress", "json", "get", ticket, copy];
        self.bob.start(&args)
    }
}

/// A number in what a command printed as JSON.
fn number(finished: &Finished, key: &str) -> u64 {
    let said: Value = serde_json::from_str(&finished.stdout).expect("JSON on stdout");
    said[key].as_u64().expect(key)
}

/// What a line of progress says.
#[derive(Debug, Clone, Copy)]
struct Seen {
    done: u64,
    reused: u64,
}

/// Reads progress until `bytes` have come over the wire.
///
/// # Panics
/// If the get ended before; with what it said at the end.
fn read_until(get: &mut Running, bytes: u64) -> Seen {
    let mut seen = None;
    let mut said = VecDeque::new();
    let reached = get.stderr_line(|line| {
        said.push_back(line.to_owned());
        if said.len() > 20 {
            said.pop_front();
        }
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return false;
        };
        let progress = &event["progress"];
        if progress["phase"] != "transferring" {
            return false;
        }
        let number = |key: &str| progress[key].as_u64().unwrap_or(0);
        let (done, reused) = (number("bytes_done"), number("bytes_reused"));
        seen = Some(Seen { done, reused });
        done - reused >= bytes
    });
    match (reached, seen) {
        (Some(_), Some(seen)) => seen,
        _ => panic!("it ended before {bytes} bytes had come: {said:#?}"),
    }
}

/// Says what a kill cost, and that it is not too much.
fn judge(what: &str, kill: u64, again: i64) {
    println!(
        "{what}, kill {kill}: {:.1} MiB again",
        again as f64 / f64::from(1 << 20)
    );
    assert!(
        again <= AGAIN_MAX as i64,
        "{what}, kill {kill}: {again} bytes again"
    );
}

/// What of the bytes that came was not to be found afterwards: it has to come again.
fn lost(came: u64, found: u64) -> i64 {
    i64::try_from(came).expect("a test's size") - i64::try_from(found).expect("a test's size")
}

/// A get that is killed once, for each point a new one.
///
/// What was lost is only known once the next get is through: how far that one has come with
/// finding what is there, when its first bytes arrive, is a matter of chance.
#[test]
fn a_killed_getter_moves_at_most_16_mib_again() {
    let mut scene = Scene::new();
    let (ticket, _sharer) = scene.alice.share(&scene.source);
    let (relay, ticket) = Relay::before(&ticket);
    let mut passed_before = 0;
    for kill in 0..KILLS {
        scene.start_anew();
        let bytes = (1 << 16) + data::number(&format!("getter {kill}")) % (size() - 2 * BEYOND);
        relay.allow(bytes + BEYOND);
        let mut get = scene.start_get(&ticket);
        read_until(&mut get, bytes);
        get.kill();
        let came = relay.close() - passed_before;
        relay.allow(u64::MAX);
        let found = number(&scene.start_get(&ticket).wait().ok(), "bytes_reused");
        judge("getter", kill, lost(came, found));
        assert_same_tree(&scene.source, &scene.copy);
        passed_before = relay.close();
    }
}

/// One get that is killed again and again, also while it finds what is there.
#[test]
fn a_getter_that_is_killed_ten_times_gets_there() {
    let scene = Scene::new();
    let (ticket, _sharer) = scene.alice.share(&scene.source);
    let (relay, ticket) = Relay::before(&ticket);
    for kill in 0..KILLS {
        let bytes = data::number(&format!("again {kill}")) % (size() / KILLS - BEYOND);
        relay.allow(bytes + BEYOND);
        let mut get = scene.start_get(&ticket);
        read_until(&mut get, bytes);
        get.kill();
        relay.close();
    }
    relay.allow(u64::MAX);
    scene.start_get(&ticket).wait().ok();
    assert_same_tree(&scene.source, &scene.copy);
    let again = lost(relay.close(), size());
    assert!(again <= (KILLS * AGAIN_MAX) as i64, "{again} bytes again");
}

#[test]
fn a_get_outlives_a_sharer_that_is_killed_and_comes_back() {
    let scene = Scene::new();
    let (ticket, mut sharer) = scene.alice.share(&scene.source);
    let (relay, through) = Relay::before(&ticket);
    let mut get = scene.start_get(&through);
    let mut came = 0;
    for kill in 0..KILLS {
        let bytes = data::number(&format!("sharer {kill}")) % (size() / KILLS - CUT_OFF);
        relay.allow(bytes + CUT_OFF);
        let seen = read_until(&mut get, came + bytes);
        came = seen.done - seen.reused;
        sharer.kill();
        relay.close();
        sharer = scene.alice.share(&scene.source).1;
    }
    relay.allow(u64::MAX);
    let came = number(&get.wait().ok(), "wire_in");
    assert_same_tree(&scene.source, &scene.copy);
    // All kills together cost less than one of them may.
    judge("sharer, all kills", KILLS, lost(came, size()));
}

#[test]
fn a_killed_daemon_goes_on_where_it_was_when_it_is_asked_again() {
    let scene = Scene::new();
    let (ticket, _sharer) = scene.alice.share(&scene.source);
    let (relay, ticket) = Relay::before(&ticket);
    let daemon = scene.bob.up();
    relay.allow(size() / 3 + BEYOND);
    let mut get = scene.start_get(&ticket);
    let seen = read_until(&mut get, size() / 3);
    daemon.kill();
    let cut_off = get.wait();
    assert_eq!(cut_off.code(), 130, "{cut_off:?}");
    assert!(
        cut_off.stderr.contains("run the same command again"),
        "{cut_off:?}"
    );
    let came = relay.close();
    relay.allow(u64::MAX);
    let _daemon = scene.bob.up();
    let reused = number(&scene.start_get(&ticket).wait().ok(), "bytes_reused");
    assert_same_tree(&scene.source, &scene.copy);
    assert!(
        reused >= seen.done.saturating_sub(AGAIN_MAX),
        "{reused} of {seen:?}"
    );
    judge("daemon", 0, lost(came, reused));
}

#[test]
fn ctrl_c_says_how_to_go_on_and_the_next_run_says_where() {
    let scene = Scene::new();
    let (ticket, _sharer) = scene.alice.share(&scene.source);
    let (relay, ticket) = Relay::before(&ticket);
    relay.allow(size() / 2);
    let mut get = scene.start_get(&ticket);
    read_until(&mut get, size() / 4);
    let finished = get.signal_and_wait();
    assert_eq!(finished.code(), 130, "{finished:?}");
    assert!(
        finished.stderr.contains("run the same command again"),
        "{finished:?}"
    );
    assert!(!scene.copy.exists(), "half a file under its final name");
    relay.allow(u64::MAX);
    let copy = scene.copy.to_str().unwrap();
    let again = scene
        .bob
        .run(&["--progress", "plain", "get", &ticket, copy])
        .ok();
    let percent: u64 = again
        .stderr
        .split_once("resuming at ")
        .and_then(|(_, rest)| rest.split_once(" %"))
        .unwrap_or_else(|| panic!("no `resuming at`: {}", again.stderr))
        .0
        .parse()
        .unwrap();
    assert!((25..100).contains(&percent), "{percent}");
    assert_same_tree(&scene.source, &scene.copy);
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
