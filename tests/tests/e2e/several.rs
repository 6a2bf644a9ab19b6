//! Several commands on one store at once.

use shoal_tests::data::{self, Folder};
use shoal_tests::shoal::Home;

use crate::sharing::assert_same_tree;

#[test]
fn eight_gets_of_one_ticket_download_once_and_all_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let bytes = 64 << 20;
    std::fs::write(&source, data::bytes("eight", bytes)).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let gets: Vec<_> = (0..8)
        .map(|_| bob.start(&["--json", "get", &ticket, copy.to_str().unwrap()]))
        .collect();
    let mut most = 0;
    for get in gets {
        let finished = get.wait().ok();
        let said: serde_json::Value =
            serde_json::from_str(&finished.stdout).expect("JSON on stdout");
        most = most.max(said["wire_in"].as_u64().expect("wire_in"));
    }
    assert_same_tree(&source, &copy);
    let sent = bytes as u64 + bytes as u64 / 20;
    assert!(most <= sent, "{most} bytes came in for one of them");
}

#[test]
fn ls_works_while_a_share_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    Folder {
        seed: 41,
        files: 10,
        bytes: 1 << 20,
    }
    .write(&source)
    .unwrap();
    let home = Home::new();
    let (_ticket, _sharer) = home.share(&source);
    home.run(&["ls"]).ok();
    home.run(&["status"]).ok();
}

#[test]
fn a_second_daemon_is_told_who_holds_the_store() {
    let home = Home::new();
    home.run(&["up", "--detach"]).ok();
    let second = home.run(&["up"]);
    home.run(&["down"]).ok();
    assert_eq!(second.code(), 8, "{second:?}");
    assert!(
        second.stderr.chars().any(|c| c.is_ascii_digit()),
        "no pid in: {}",
        second.stderr
    );
}

#[test]
fn who_copies_a_home_does_not_speak_to_the_node_of_the_original() {
    let home = Home::new();
    let _daemon = home.up();
    let copied = std::process::Command::new("cp")
        .args(["-a", "home", "copy"])
        .current_dir(home.outside())
        .status();
    assert!(copied.unwrap().success());
    let copy = home.outside().join("copy");
    let at_copy = ["--home", copy.to_str().unwrap()];
    let state = |at: &[&str]| {
        let said = home.run(&[at, &["--json", "status"]].concat()).ok().stdout;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        (
            said["home"].as_str().map(Into::into),
            said["daemon"] == true,
        )
    };
    let told = home.run(&[&at_copy[..], &["ls"]].concat()).ok();
    assert!(told.stderr.contains("was copied"), "{told:?}");
    assert_eq!(state(&at_copy), (Some(copy.clone()), false));
    let down = home.run(&[&at_copy[..], &["down"]].concat());
    assert!(down.stderr.contains("no node is running"), "{down:?}");
    assert_eq!(state(&[]), (Some(home.path()), true), "it runs on");
}

#[test]
fn a_daemon_serves_a_share_after_the_command_ended_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    Folder {
        seed: 42,
        files: 10,
        bytes: 1 << 20,
    }
    .write(&source)
    .unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    alice.run(&["up", "--detach"]).ok();
    let ticket = alice
        .run(&["share", source.to_str().unwrap()])
        .ok()
        .stdout
        .trim()
        .to_owned();
    let first = dir.path().join("first");
    let got = bob.run(&["get", &ticket, first.to_str().unwrap(), "--timeout", "20s"]);
    alice.run(&["down"]).ok();
    got.ok();
    assert_same_tree(&source, &first);
}

#[test]
fn a_share_whose_node_is_killed_does_not_end_as_if_all_were_well() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::write(&source, data::bytes("host", 1 << 20)).unwrap();
    let home = Home::new();
    let (_ticket, host) = home.share(&source);
    let (_same, guest) = home.share(&source);
    host.kill();
    let ended = guest.wait();
    assert_eq!(ended.code(), 130, "{ended:?}");
    assert!(ended.stderr.contains("share it again"), "{ended:?}");
}

#[test]
fn adds_at_once_keep_their_bytes_once() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    let bytes = 8 << 20;
    std::fs::write(&source, data::bytes("once", bytes)).unwrap();
    let home = Home::new();
    let adds: Vec<_> = (0..4)
        .map(|_| home.start(&["add", source.to_str().unwrap()]))
        .collect();
    for add in adds {
        add.wait().ok();
    }
    let kept = home.disk_bytes();
    assert!(kept < 2 * bytes as u64, "{kept} bytes for {bytes}");
}

#[test]
fn a_node_remembers_whom_it_served() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::write(&source, data::bytes("peers", 1 << 20)).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let copy = dir.path().join("copy");
    bob.run(&["get", &ticket, copy.to_str().unwrap()]).ok();
    let peers = alice.run(&["--json", "peers"]).ok().stdout;
    let peer: serde_json::Value =
        serde_json::from_str(peers.lines().next().expect("a peer")).unwrap();
    assert!(peer["wire_out"].as_u64().unwrap() > 1 << 20, "{peer}");
}
