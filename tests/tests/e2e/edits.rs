//! An edit moves what changed. The full sizes are in the benchmark; these are an eighth.

use std::path::Path;

use shoal_tests::chunks::new_chunk_bytes;
use shoal_tests::data::{Csv, Folder, Model};
use shoal_tests::shoal::Home;

use crate::sharing::assert_same_tree;

/// Shares `path` from `alice`, gets it to `copy` at `bob`; gives the socket bytes moved.
fn transfer(alice: &Home, bob: &Home, path: &Path, copy: &Path) -> u64 {
    let (ticket, _sharer) = alice.share(path);
    get(bob, &ticket, path, copy)
}

/// Gets what is the same as `path` to `copy`; gives the socket bytes moved.
fn get(bob: &Home, ticket: &str, path: &Path, copy: &Path) -> u64 {
    let got = bob
        .run(&["--json", "get", ticket, copy.to_str().unwrap()])
        .ok();
    let said: serde_json::Value = serde_json::from_str(&got.stdout).expect("JSON on stdout");
    assert_same_tree(path, copy);
    said["wire_in"].as_u64().expect("wire_in") + said["wire_out"].as_u64().expect("wire_out")
}

fn check(what: &str, fresh: u64, moved: u64, factor: f64) {
    assert!(
        moved as f64 <= fresh as f64 * factor,
        "{what}: {moved} bytes moved for {fresh} new ones"
    );
    assert!(moved >= fresh, "{what}: {moved} bytes cannot carry {fresh}");
}

#[test]
fn an_edited_model_moves_its_new_tensors() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("model"), dir.path().join("copy"));
    // Tensors of the size that the full model has: an edit costs chunks at its borders.
    let model = Model {
        seed: 21,
        bytes: 256 << 20,
        tensors: 32,
    };
    model.write(&path).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    transfer(&alice, &bob, &path, &copy);
    let fresh = model.write_edited(&path).unwrap();
    check("model", fresh, transfer(&alice, &bob, &path, &copy), 1.05);
}

#[test]
fn an_edited_folder_moves_its_new_files_and_renames_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("folder"), dir.path().join("copy"));
    let folder = Folder {
        seed: 22,
        files: 2500,
        bytes: 128 << 20,
    };
    folder.write(&path).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    transfer(&alice, &bob, &path, &copy);
    let fresh = folder.edit(&path).unwrap();
    check("folder", fresh, transfer(&alice, &bob, &path, &copy), 1.2);
}

#[test]
fn rows_inserted_into_a_table_do_not_move_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy, old) = (
        dir.path().join("csv"),
        dir.path().join("copy"),
        dir.path().join("old"),
    );
    let csv = Csv {
        seed: 23,
        bytes: 64 << 20,
    };
    csv.write(&path).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    transfer(&alice, &bob, &path, &copy);
    std::fs::rename(&path, &old).unwrap();
    // Thirty rows touch some thirty of about a thousand chunks.
    let fresh = csv.write_with_rows(&old, &path, 30).unwrap();
    let moved = transfer(&alice, &bob, &path, &copy);
    assert!(moved > fresh && moved < 16 << 20, "{moved} bytes moved");
}

#[test]
fn an_edit_between_kept_versions_moves_far_less_than_its_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy, old) = (
        dir.path().join("csv"),
        dir.path().join("copy"),
        dir.path().join("old"),
    );
    let csv = Csv {
        seed: 24,
        bytes: 32 << 20,
    };
    csv.write(&path).unwrap();
    std::fs::copy(&path, &old).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let _daemon = alice.up();
    let keep_and_share = || {
        let path = path.to_str().unwrap();
        alice.run(&["add", path]).ok();
        let shared = alice.run(&["share", path]).ok();
        shared.stdout.trim().to_owned()
    };
    get(&bob, &keep_and_share(), &path, &copy);
    let fresh = csv.write_with_rows(&old, &path, 100).unwrap();
    let moved = get(&bob, &keep_and_share(), &path, &copy);
    let chunks = new_chunk_bytes(&old, &path).unwrap();
    assert!(
        moved > fresh && moved < chunks / 8,
        "{moved} bytes moved for {fresh} new ones, whose chunks have {chunks}"
    );
}
