//! Files used in place are edited, and nothing is lost silently.

use std::path::{Path, PathBuf};

use shoal_tests::data::{self, Folder};
use shoal_tests::shoal::Home;

use crate::sharing::assert_same_tree;

fn kept_in_place(home: &Home, dir: &Path) -> PathBuf {
    let source = dir.join("data");
    Folder {
        seed: 51,
        files: 5,
        bytes: 1 << 20,
    }
    .write(&source)
    .unwrap();
    home.run(&[
        "add",
        "--in-place",
        source.to_str().unwrap(),
        "--name",
        "lab/set",
        "-m",
        "one",
    ])
    .ok();
    source
}

/// One way to change a file that a kept version relies on.
fn harm(file: &Path, how: &str) {
    match how {
        "edited" => {
            let mut bytes = std::fs::read(file).unwrap();
            bytes[10] ^= 1;
            std::fs::write(file, bytes).unwrap();
        }
        "truncated" => std::fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(100)
            .unwrap(),
        "replaced" => {
            let beside = file.with_extension("new");
            std::fs::write(&beside, data::bytes("replaced", 5000)).unwrap();
            std::fs::rename(beside, file).unwrap();
        }
        "deleted" => std::fs::remove_file(file).unwrap(),
        other => unreachable!("{other}"),
    }
}

#[test]
fn what_a_kept_version_lost_is_named() {
    for how in ["edited", "truncated", "replaced", "deleted"] {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new();
        let source = kept_in_place(&home, dir.path());
        harm(&source.join("class002/sample-000002.bin"), how);

        let verify = home.run(&["verify"]);
        assert_eq!(verify.code(), 6, "{how}: {verify:?}");
        let said = format!("{}{}", verify.stdout, verify.stderr);
        assert!(said.contains("lab/set"), "{how}: no version named: {said}");
        assert!(
            said.contains("sample-000002.bin"),
            "{how}: no path named: {said}"
        );

        let status = home.run(&["status"]).ok();
        let said = format!("{}{}", status.stdout, status.stderr);
        assert!(
            said.contains("lab/set"),
            "{how}: status names no version: {said}"
        );
    }
}

#[test]
fn a_re_add_says_what_the_older_version_lost() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new();
    let source = kept_in_place(&home, dir.path());
    harm(&source.join("class002/sample-000002.bin"), "edited");
    let again = home
        .run(&[
            "add",
            "--in-place",
            source.to_str().unwrap(),
            "--name",
            "lab/set",
            "-m",
            "two",
        ])
        .ok();
    assert!(again.stderr.contains("lab/set@"), "{}", again.stderr);
    assert!(
        again.stderr.contains("sample-000002.bin"),
        "{}",
        again.stderr
    );
}

#[test]
fn wrong_bytes_are_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let source = dir.path().join("data");
    Folder {
        seed: 52,
        files: 5,
        bytes: 1 << 20,
    }
    .write(&source)
    .unwrap();
    let (ticket, mut sharer) = alice.share(&source);
    harm(&source.join("class002/sample-000002.bin"), "edited");
    let copy = dir.path().join("copy");
    let got = bob.run(&["get", &ticket, copy.to_str().unwrap(), "--timeout", "2s"]);
    assert_eq!(got.code(), 5, "{got:?}");
    sharer
        .stderr_line(|line| line.contains("not on this disk as they were shared"))
        .expect("the sharer is told");
    assert!(
        !copy.join("class002/sample-000002.bin").exists(),
        "a file with missing bytes is not shown"
    );
}

#[test]
fn a_new_version_needs_no_force_where_nothing_was_edited() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let folder = Folder {
        seed: 53,
        files: 200,
        bytes: 8 << 20,
    };
    folder.write(&source).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let to = copy.to_str().unwrap();
    {
        let (ticket, _sharer) = alice.share(&source);
        bob.run(&["get", &ticket, to]).ok();
    }
    folder.edit(&source).unwrap();
    let (ticket, _sharer) = alice.share(&source);
    bob.run(&["get", &ticket, to]).ok();
    assert_same_tree(&source, &copy);
}

#[test]
fn a_file_that_the_user_edited_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let folder = Folder {
        seed: 54,
        files: 200,
        bytes: 8 << 20,
    };
    folder.write(&source).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let to = copy.to_str().unwrap();
    {
        let (ticket, _sharer) = alice.share(&source);
        bob.run(&["get", &ticket, to]).ok();
    }
    let mine = copy.join("class007/sample-000007.bin");
    std::fs::write(&mine, b"my own notes").unwrap();
    folder.edit(&source).unwrap();
    let (ticket, _sharer) = alice.share(&source);
    let refused = bob.run(&["get", &ticket, to]);
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        refused.stderr.contains("sample-000007.bin"),
        "{}",
        refused.stderr
    );
    assert_eq!(std::fs::read(&mine).unwrap(), b"my own notes");
    bob.run(&["get", &ticket, to, "--force"]).ok();
    assert_same_tree(&source, &copy);
}

#[test]
fn a_kept_version_can_be_got_back_after_its_place_was_updated() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let folder = Folder {
        seed: 55,
        files: 200,
        bytes: 8 << 20,
    };
    folder.write(&source).unwrap();
    let before = dir.path().join("before");
    std::process::Command::new("cp")
        .arg("-r")
        .arg(&source)
        .arg(&before)
        .status()
        .unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let to = copy.to_str().unwrap();
    {
        let (ticket, _sharer) = alice.share(&source);
        bob.run(&["get", &ticket, to]).ok();
    }
    bob.run(&["add", "--in-place", to, "--name", "lab/set"])
        .ok();
    folder.edit(&source).unwrap();
    let (ticket, _sharer) = alice.share(&source);
    bob.run(&["get", &ticket, to]).ok();
    assert_same_tree(&source, &copy);
    let back = dir.path().join("back");
    bob.run(&["get", "lab/set@v1", back.to_str().unwrap()]).ok();
    assert_same_tree(&before, &back);
}

#[test]
fn files_that_were_away_are_served_once_they_are_back() {
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (source, elsewhere) = (dir.path().join("data"), dir.path().join("unmounted"));
    let folder = Folder {
        seed: 53,
        files: 5,
        bytes: 1 << 20,
    };
    folder.write(&source).unwrap();
    let (ticket, _sharer) = alice.share(&source);
    std::fs::rename(&source, &elsewhere).unwrap();
    let copy = dir.path().join("copy");
    let get = ["get", &ticket, copy.to_str().unwrap(), "--timeout", "2s"];
    let refused = bob.run(&get);
    assert_eq!(refused.code(), 5, "{refused:?}");
    std::fs::rename(&elsewhere, &source).unwrap();
    bob.run(&get).ok();
    assert_same_tree(&source, &copy);
}

#[test]
fn looking_at_differences_leaves_nothing_to_miss() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    let folder = Folder {
        seed: 54,
        files: 5,
        bytes: 1 << 20,
    };
    folder.write(&source).unwrap();
    let home = Home::new();
    home.run(&["add", source.to_str().unwrap(), "--name", "lab/set"])
        .ok();
    let file = source.join("class002/sample-000002.bin");
    let before = std::fs::read(&file).unwrap();
    harm(&file, "edited");
    let differs = home.run(&["diff", "lab/set", source.to_str().unwrap()]);
    assert_eq!(differs.code(), 3, "{differs:?}");
    std::fs::write(&file, before).unwrap();
    home.run(&["verify"]).ok();
    assert_eq!(home.run(&["ls"]).ok().stdout.lines().count(), 1);
}

#[test]
fn what_nobody_kept_is_forgotten_and_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::write(&source, b"as it was").unwrap();
    let home = Home::new();
    let (_ticket, sharer) = home.share(&source);
    // The ticket is still good, so the bytes are missed.
    sharer.kill();
    std::fs::write(&source, b"as it is").unwrap();
    assert_eq!(home.run(&["verify"]).code(), 6);
}
