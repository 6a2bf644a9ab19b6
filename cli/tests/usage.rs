//! What the command line refuses, and what it answers without a node.

#![allow(missing_docs)]

use std::path::Path;

use assert_cmd::Command;

fn shoal(home: &Path) -> Command {
    let mut command = Command::cargo_bin("shoal").expect("cargo builds the binary for its tests");
    command
        .env_clear()
        .env("HOME", home)
        .env("SHOAL_HOME", home.join("store"))
        .current_dir(home);
    command
}

fn check(args: &[&str], code: i32, words: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let output = shoal(dir.path()).args(args).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?} wrote to stdout");
    for word in words {
        assert!(stderr.contains(word), "{args:?}: no `{word}` in: {stderr}");
    }
    assert!(!dir.path().join("store").exists(), "{args:?} made a store");
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    check(&[], 2, &["Usage:", "shoal demo"]);
    check(&["frobnicate"], 2, &["unrecognized subcommand"]);
    check(&["statsu"], 2, &["status"]);
    check(&["add"], 2, &["<PATH>..."]);
    check(&["get"], 2, &["<WHAT>"]);
    check(&["get", "x", "--timeout", "60"], 2, &["60s"]);
    check(&["share", "x", "--expires", "never"], 2, &["24h"]);
    check(&["cat", "x", "--offset", "1.5MB"], 2, &["64KiB"]);
    check(&["add", "x", "-m", "why"], 2, &["--name"]);
    check(
        &["add", "x", "y", "--name", "lab/x"],
        2,
        &["one PATH", "hint:"],
    );
    check(&["status", "--progress", "loud"], 2, &["plain"]);
    check(&["status", "-q", "-v"], 2, &["cannot be used with"]);
    check(&["status", "-c", "nonsense"], 2, &["listen="]);
    check(&["diff", "-", "-"], 2, &["stdin"]);
    check(&["get", "-"], 2, &["no ticket on stdin"]);
    check(
        &["get", "-", "--progress", "json"],
        2,
        &[r#"{"error":{"code":2,"kind":"usage""#],
    );
}

#[test]
fn help_and_version_go_to_stdout() {
    let dir = tempfile::tempdir().expect("a directory");
    for args in [&["--help"][..], &["get", "-h"], &["--version"]] {
        let output = shoal(dir.path()).args(args).output().expect("it runs");
        assert!(output.status.success());
        assert!(
            !output.stdout.is_empty() && output.stderr.is_empty(),
            "{args:?}"
        );
    }
}

#[test]
fn completions_and_manual_pages_need_no_store() {
    let dir = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish"] {
        let output = shoal(dir.path())
            .args(["completions", shell])
            .output()
            .expect("it runs");
        assert!(output.status.success());
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("shoal"),
            "{shell}"
        );
    }
    let pages = dir.path().join("man1");
    shoal(dir.path()).arg("man").arg(&pages).assert().success();
    assert!(pages.join("shoal.1").exists() && pages.join("shoal-get.1").exists());
    assert!(!dir.path().join("store").exists());
}

#[test]
fn the_configuration_is_shown_with_its_origin() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = shoal(dir.path())
        .args(["config", "show", "--json", "-c", "connections_max=7"])
        .env("SHOAL_LOG", "debug")
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |key: &str| lines.iter().find(|line| line["key"] == key).expect(key);
    assert_eq!(of("connections_max")["origin"], "flag");
    assert_eq!(of("connections_max")["value"], "7");
    assert_eq!(of("log")["place"], "SHOAL_LOG");
    assert_eq!(of("listen")["origin"], "default");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("shoal"))
        .args(["completions", "bash"])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
