//! Bad input: a clear message, its exit code, nothing lost.

use shoal_tests::data;
use shoal_tests::shoal::{Finished, Home};

fn assert_error(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code(), code, "{finished:?}");
    assert!(finished.stderr.contains("error:"), "{}", finished.stderr);
    for word in words {
        assert!(
            finished.stderr.contains(word),
            "`{word}` is not in: {}",
            finished.stderr
        );
    }
}

#[test]
fn tickets_that_are_no_good() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("f");
    std::fs::write(&source, b"hello").unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let copy = dir.path().join("copy");
    let get = |ticket: &str| bob.run(&["get", ticket, copy.to_str().unwrap(), "--timeout", "5s"]);

    assert_error(&get("shoal1garbage"), 2, &["ticket"]);
    let cut = &ticket[..ticket.len() - 7];
    assert_error(&get(cut), 2, &["ticket"]);
    let mut changed = ticket.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'a' { b'b' } else { b'a' };
    assert_error(&get(std::str::from_utf8(&changed).unwrap()), 2, &["ticket"]);
    let long = format!("shoal1{}", "a".repeat(100_000));
    assert_error(&get(&long), 2, &["ticket"]);
    assert!(!copy.exists());
    assert_eq!(get(&ticket).code(), 0);
}

#[test]
fn a_ticket_bound_to_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("f");
    std::fs::write(&source, b"hello").unwrap();
    let (alice, bob, eve) = (Home::new(), Home::new(), Home::new());
    let status = bob.run(&["--json", "status"]).ok();
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let peer = status["peer"].as_str().expect("a peer id").to_owned();
    let mut sharer = alice.start(&["share", source.to_str().unwrap(), "--to", &peer]);
    let ticket = sharer.line();
    let copy = dir.path().join("copy");
    let refused = eve.run(&["get", &ticket, copy.to_str().unwrap(), "--timeout", "5s"]);
    assert_error(&refused, 7, &["another node"]);
    bob.run(&["get", &ticket, copy.to_str().unwrap()]).ok();
}

#[test]
fn dest_with_the_users_own_content_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("notes"), b"theirs").unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::write(copy.join("notes"), b"mine").unwrap();
    std::fs::write(copy.join("other"), b"also mine").unwrap();
    let refused = bob.run(&["get", &ticket, copy.to_str().unwrap()]);
    assert_error(&refused, 1, &["notes", "--force"]);
    assert_eq!(std::fs::read(copy.join("notes")).unwrap(), b"mine");
    bob.run(&["get", &ticket, copy.to_str().unwrap(), "--force"])
        .ok();
    assert_eq!(std::fs::read(copy.join("notes")).unwrap(), b"theirs");
    assert_eq!(
        std::fs::read(copy.join("other")).unwrap(),
        b"also mine",
        "--force replaces, it does not clean"
    );
}

#[test]
fn names_that_are_not_utf8_are_named() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(
        source.join(std::ffi::OsStr::from_bytes(b"bad\xff name")),
        b"x",
    )
    .unwrap();
    assert_error(
        &Home::new().run(&["add", source.to_str().unwrap()]),
        1,
        &["UTF-8"],
    );
}

#[test]
fn special_files_are_left_out_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), b"x").unwrap();
    std::process::Command::new("mkfifo")
        .arg(source.join("pipe"))
        .status()
        .unwrap();
    let added = Home::new().run(&["add", source.to_str().unwrap()]).ok();
    assert!(added.stderr.contains("pipe"), "{}", added.stderr);
}

#[test]
fn what_does_not_exist_is_code_4_and_wrong_usage_is_code_2() {
    let home = Home::new();
    assert_error(&home.run(&["add", "./nowhere"]), 4, &["nowhere"]);
    assert_error(&home.run(&["ls", "lab/nothing"]), 4, &["lab/nothing"]);
    assert_eq!(home.run(&["add"]).code(), 2);
    assert_eq!(home.run(&["frobnicate"]).code(), 2);
}

#[test]
fn a_stranger_without_a_ticket_gets_nothing_by_an_id() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("f");
    std::fs::write(&source, data::bytes("secret", 1000)).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let id = alice
        .run(&["add", source.to_str().unwrap()])
        .ok()
        .stdout
        .trim()
        .to_owned();
    let copy = dir.path().join("copy");
    let refused = bob.run(&["get", &id, copy.to_str().unwrap(), "--timeout", "1s"]);
    assert_eq!(refused.code(), 4, "{refused:?}");
}

#[test]
fn an_unknown_key_in_the_configuration_is_an_error() {
    let home = Home::new();
    home.run(&["status"]).ok();
    std::fs::write(home.path().join("config.toml"), "no_such_key = 1\n").unwrap();
    assert_error(&home.run(&["status"]), 2, &["no_such_key"]);
}
