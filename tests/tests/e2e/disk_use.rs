//! No doubled disk: in-place adds, shares and gets keep no second copy.

use shoal_tests::data::Folder;
use shoal_tests::shoal::Home;

const FILES: u64 = 2000;
const BYTES: u64 = 100 << 20;

/// 2 % of the artifact plus 600 bytes a file, and what an empty store takes.
fn allowed(empty: u64) -> u64 {
    BYTES / 50 + FILES * 600 + empty
}

fn empty_store_bytes() -> u64 {
    let home = Home::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tiny");
    std::fs::write(&file, b"x").unwrap();
    home.run(&["add", "--in-place", file.to_str().unwrap()])
        .ok();
    home.disk_bytes()
}

#[test]
fn an_in_place_add_a_share_and_a_get_keep_no_second_copy() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    Folder {
        seed: 11,
        files: FILES,
        bytes: BYTES,
    }
    .write(&source)
    .unwrap();
    let empty = empty_store_bytes();
    let (adder, alice, bob) = (Home::new(), Home::new(), Home::new());

    adder
        .run(&["add", "--in-place", source.to_str().unwrap()])
        .ok();
    assert!(
        adder.disk_bytes() <= allowed(empty),
        "add --in-place: {}",
        adder.disk_bytes()
    );

    let (ticket, _sharer) = alice.share(&source);
    assert!(
        alice.disk_bytes() <= allowed(empty),
        "share: {}",
        alice.disk_bytes()
    );

    let copy = dir.path().join("copy");
    bob.run(&["get", &ticket, copy.to_str().unwrap()]).ok();
    assert!(
        bob.disk_bytes() <= allowed(empty),
        "get: {}",
        bob.disk_bytes()
    );
    assert!(
        !copy.join(".shoal-partial").exists(),
        "nothing of the transfer stays in DEST"
    );
}
