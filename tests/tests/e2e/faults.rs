//! Sources that lost a part of what they share, lie about it, or freeze. What each costs is
//! the benchmark's (`bench faults`); here it is that the others make up for it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use shoal_tests::data;
use shoal_tests::liar::{Conduct, Liar};
use shoal_tests::relay::Relay;
use shoal_tests::shoal::{Home, Running};

use crate::sharing::assert_same_tree;

const BYTES: usize = 48 << 20;

/// Writes a file to share.
fn write_original(dir: &Path) -> PathBuf {
    let original = dir.join("original");
    std::fs::write(&original, data::bytes("faults", BYTES)).unwrap();
    original
}

/// Gets what `ticket` names to `file`, and gives its id, by which it can be shared on: a path
/// would be shared by a ticket of that node's own.
fn snapshot_of(home: &Home, ticket: &str, file: &Path) -> String {
    let got = home.run(&["--json", "get", ticket, file.to_str().unwrap()]);
    let got: serde_json::Value = serde_json::from_str(&got.ok().stdout).expect("JSON on stdout");
    got["snapshot"].as_str().expect("snapshot").to_owned()
}

/// Shares at one address, so that a ticket has room for three sources, however many addresses
/// the machine has.
fn share_at_one_address(home: &Home, what: &Path) -> (String, Running) {
    let what = what.to_str().unwrap();
    let mut server = home.start(&["-c", "listen=127.0.0.1:0", "share", what]);
    (server.line(), server)
}

#[test]
fn sources_that_each_lost_another_third_complete_a_get_together() {
    let dir = tempfile::tempdir().unwrap();
    let original = write_original(dir.path());
    let homes = [Home::new(), Home::new(), Home::new()];
    let copies = ["a", "b", "c"].map(|name| dir.path().join(name));
    std::fs::copy(&original, &copies[0]).unwrap();
    let (mut ticket, first) = share_at_one_address(&homes[0], &copies[0]);
    let mut servers = vec![first];
    for (home, copy) in homes.iter().zip(&copies).skip(1) {
        let id = snapshot_of(home, &ticket, copy);
        let (with_it, server) = share_at_one_address(home, Path::new(&id));
        ticket = with_it;
        servers.push(server);
    }
    let third = BYTES / 3;
    for (number, copy) in copies.iter().enumerate() {
        let file = File::options().write(true).open(copy).unwrap();
        let other = data::bytes(&format!("lost {number}"), third);
        file.write_all_at(&other, (number * third) as u64).unwrap();
    }
    let (bob, got) = (Home::new(), dir.path().join("got"));
    let get = ["get", &ticket, got.to_str().unwrap(), "--timeout", "60s"];
    bob.run(&get).ok();
    assert_same_tree(&original, &got);
}

#[test]
fn a_source_that_lies_costs_no_wrong_byte() {
    let dir = tempfile::tempdir().unwrap();
    let original = write_original(dir.path());
    let (alice, carol, bob) = (Home::new(), Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&original);
    snapshot_of(&carol, &ticket, &dir.path().join("copy"));
    // Nothing comes from alice until carol has lied.
    let (relay, ticket) = Relay::before(&ticket);
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let liar = Liar::start(&carol.path(), &ticket, Conduct::Lies(30), anywhere);
    let got = dir.path().join("got");
    let get = bob.start(&["get", liar.ticket(), got.to_str().unwrap()]);
    liar.wait_for_lies(1);
    relay.allow(u64::MAX);
    get.wait().ok();
    assert_same_tree(&original, &got);
}

#[test]
fn a_source_that_freezes_does_not_stop_a_get() {
    let dir = tempfile::tempdir().unwrap();
    let original = write_original(dir.path());
    let (alice, carol, bob) = (Home::new(), Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&original);
    let (alices, ticket) = Relay::before(&ticket);
    alices.allow(u64::MAX);
    let id = snapshot_of(&carol, &ticket, &dir.path().join("copy"));
    alices.close();
    let (ticket, frozen) = carol.share(Path::new(&id));
    let (carols, ticket) = Relay::before(&ticket);
    let got = dir.path().join("got");
    let args = ["--progress", "json", "get", &ticket, got.to_str().unwrap()];
    let mut get = bob.start(&args);
    // Neither can bring so much alone, so carol is asked for more when she freezes.
    for relay in [&alices, &carols] {
        relay.allow(6 << 20);
    }
    wait_for(&mut get, 8 << 20);
    frozen.signal(Signal::STOP);
    for relay in [&alices, &carols] {
        relay.allow(u64::MAX);
    }
    get.wait().ok();
    assert_same_tree(&original, &got);
}

/// Waits until a get that prints its progress has so many bytes.
fn wait_for(get: &mut Running, bytes: u64) {
    get.stderr_line(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        event["progress"]["bytes_done"].as_u64() >= Some(bytes)
    })
    .expect("it is under way");
}
