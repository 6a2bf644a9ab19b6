//! Killed at any point, a get goes on where it was.
//!
//! `SHOAL_CAMPAIGN=large` does the same with the full size of the promise, 2 GiB, and
//! `--nocapture` shows what each kill cost. Costs are counted at the sockets of whoever was
//! not killed, so that bytes which no report of the killed process mentions count too; what
//! still stands in the kernel's queues was not received.

use std::path::PathBuf;

use serde_json::Value;
use shoal_tests::data::{self, Model};
use shoal_tests::shoal::{Finished, Home, Running};

use crate::sharing::assert_same_tree;

const KILLS: u64 = 10;
const AGAIN_MAX: u64 = 16 << 20;

fn size() -> u64 {
    match std::env::var("SHOAL_CAMPAIGN").as_deref() {
        Ok("large") => 2 << 30,
        _ => 192 << 20,
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

/// The bytes that a node's sockets sent since it started.
fn sent(home: &Home) -> u64 {
    number(&home.run(&["--json", "status"]).ok(), "wire_out")
}

/// Bytes that the kernel holds between the listener of a node and whoever connected to it.
fn on_the_way(port: u16) -> u64 {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let text: String = tables.into_iter().map(|table| table.unwrap()).collect();
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let mut queued = 0;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_at = |word: &str| word.ends_with(&format!(":{port:04X}"));
        // Its own sockets have bytes to send, those at the other end bytes to read.
        let [_, local, remote, "01", queues, ..] = words.as_slice() else {
            continue;
        };
        let (to_send, to_read) = queues.split_once(':').unwrap();
        queued += if is_at(local) { hex(to_send) } else { 0 };
        queued += if is_at(remote) { hex(to_read) } else { 0 };
    }
    queued
}

/// Stops a get at once, then ends it. Gives how many bytes `from` had sent in all, and how
/// many of them were still on their way.
fn killed(get: Running, from: &Home) -> (u64, u64) {
    get.signal(rustix::process::Signal::STOP);
    let port = port(from);
    let look = || (sent(from), on_the_way(port));
    let mut before = look();
    let sent_and_queued = loop {
        let now = look();
        if now == before {
            break now;
        }
        before = now;
    };
    get.kill();
    sent_and_queued
}

/// Where a node listens.
fn port(home: &Home) -> u16 {
    let status = home.run(&["--json", "status"]).ok();
    let status: Value = serde_json::from_str(&status.stdout).expect("JSON on stdout");
    let address = status["listening"][0].as_str().expect("an address");
    let (_, port) = address.rsplit_once(':').expect("address and port");
    port.parse().expect("a port")
}

/// What a line of progress says.
#[derive(Debug, Clone, Copy)]
struct Seen {
    done: u64,
    reused: u64,
}

/// Reads progress until `bytes` have come over the wire. Nothing if the get ended before.
fn read_until(get: &mut Running, bytes: u64) -> Option<Seen> {
    let mut seen = None;
    get.stderr_line(|line| {
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
    })?;
    seen
}

/// How much comes before a kill. So much, behind the first, that what the one before left
/// has been found again by then, wherever it lay.
fn stretch(what: &str, kill: u64) -> u64 {
    let least = if kill == 0 { 1 << 16 } else { 2 * AGAIN_MAX };
    least + data::number(&format!("{what} {kill}")) % (size() / 16)
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

/// What of the bytes sent was not to be found afterwards: it has to be sent again.
fn lost(sent: u64, found: u64) -> i64 {
    i64::try_from(sent).expect("a test's size") - i64::try_from(found).expect("a test's size")
}

/// A short get may be whole before the last kills; a long one is killed as often as promised.
fn enough(kills: u64) {
    let least = if size() < 1 << 30 { 1 } else { KILLS };
    assert!(kills >= least, "only {kills} kills");
}

#[test]
fn a_killed_getter_moves_at_most_16_mib_again() {
    let scene = Scene::new();
    let (ticket, _sharer) = scene.alice.share(&scene.source);
    let (mut sent_before, mut came, mut here) = (0, 0, 0);
    for kill in 0..=KILLS {
        let mut get = scene.start_get(&ticket);
        let wanted = (kill < KILLS).then(|| stretch("getter", kill));
        let seen = wanted.and_then(|bytes| read_until(&mut get, bytes));
        let Some(seen) = seen else {
            let found = number(&get.wait().ok(), "bytes_reused");
            judge("getter", kill, lost(came, found - here));
            enough(kill);
            break;
        };
        let (sent, queued) = killed(get, &scene.alice);
        if kill > 0 {
            judge("getter", kill, lost(came, seen.reused - here));
        }
        came = sent - queued - sent_before;
        (sent_before, here) = (sent, seen.reused);
    }
    assert_same_tree(&scene.source, &scene.copy);
}

#[test]
fn a_get_outlives_a_sharer_that_is_killed_and_comes_back() {
    let scene = Scene::new();
    let (ticket, mut sharer) = scene.alice.share(&scene.source);
    let mut get = scene.start_get(&ticket);
    let (mut target, mut kills) = (0, 0);
    while kills < KILLS {
        target += stretch("sharer", kills);
        let Some(seen) = read_until(&mut get, target) else {
            break;
        };
        target = target.max(seen.done - seen.reused);
        sharer.kill();
        sharer = scene.alice.share(&scene.source).1;
        kills += 1;
    }
    enough(kills);
    let came = number(&get.wait().ok(), "wire_in");
    assert_same_tree(&scene.source, &scene.copy);
    // All kills together cost less than one of them may.
    judge("sharer, all kills", kills, lost(came, size()));
}

#[test]
fn a_killed_daemon_goes_on_where_it_was_when_it_is_asked_again() {
    let scene = Scene::new();
    let (ticket, _sharer) = scene.alice.share(&scene.source);
    let daemon = scene.bob.up();
    let mut get = scene.start_get(&ticket);
    let seen = read_until(&mut get, size() / 3).expect("a third comes before the end");
    daemon.kill();
    let cut_off = get.wait();
    assert_eq!(cut_off.code(), 130, "{cut_off:?}");
    assert!(
        cut_off.stderr.contains("run the same command again"),
        "{cut_off:?}"
    );
    let sent_before = sent(&scene.alice);
    let _daemon = scene.bob.up();
    let reused = number(&scene.start_get(&ticket).wait().ok(), "bytes_reused");
    assert_same_tree(&scene.source, &scene.copy);
    assert!(reused + AGAIN_MAX >= seen.done, "{reused} of {seen:?}");
    judge("daemon", 0, lost(sent_before, reused));
}

#[test]
fn ctrl_c_says_how_to_go_on_and_the_next_run_says_where() {
    let scene = Scene::new();
    let (ticket, _sharer) = scene.alice.share(&scene.source);
    let mut get = scene.start_get(&ticket);
    read_until(&mut get, size() / 4).expect("a quarter comes before the end");
    let finished = get.signal_and_wait();
    assert_eq!(finished.code(), 130, "{finished:?}");
    assert!(
        finished.stderr.contains("run the same command again"),
        "{finished:?}"
    );
    assert!(!scene.copy.exists(), "half a file under its final name");
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
