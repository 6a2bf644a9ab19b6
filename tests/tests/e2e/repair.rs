//! What is damaged here is mended from the peer that it came from.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use shoal_tests::data::Folder;
use shoal_tests::shoal::{Home, Running};

use crate::sharing::assert_same_tree;

/// Bob got alice's folder, which she still shares.
struct Scene {
    dir: tempfile::TempDir,
    source: PathBuf,
    copy: PathBuf,
    bob: Home,
    snapshot: String,
    _alice: (Home, Running),
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (source, copy) = (dir.path().join("data"), dir.path().join("copy"));
        let folder = Folder {
            seed: 61,
            files: 20,
            bytes: 8 << 20,
        };
        folder.write(&source).unwrap();
        let (alice, bob) = (Home::new(), Home::new());
        let (ticket, sharer) = alice.share(&source);
        let got = bob
            .run(&["--json", "get", &ticket, copy.to_str().unwrap()])
            .ok();
        let got: serde_json::Value = serde_json::from_str(&got.stdout).unwrap();
        Self {
            snapshot: got["snapshot"].as_str().unwrap().to_owned(),
            dir,
            source,
            copy,
            bob,
            _alice: (alice, sharer),
        }
    }

    /// Damage is found, mended over the wire, and what bob holds is right again.
    fn assert_mended(&self) {
        let found = self.bob.run(&["verify"]);
        assert_eq!(found.code(), 6, "{found:?}");
        let mended = self.bob.run(&["verify", "--repair"]).ok();
        assert!(mended.stdout.contains("repaired"), "{mended:?}");
        self.bob.run(&["verify"]).ok();
        let again = self.dir.path().join("again");
        self.bob
            .run(&["get", &self.snapshot, again.to_str().unwrap()])
            .ok();
        assert_same_tree(&self.source, &again);
    }
}

/// Changes a byte in the middle of a file, as a bad disk would.
fn flip(path: &Path) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
}

#[test]
fn a_damaged_copy_is_mended_from_the_tickets_peer() {
    let scene = Scene::new();
    flip(&scene.copy.join("class007/sample-000007.bin"));
    scene.assert_mended();
}

#[test]
fn a_damaged_pack_is_mended_from_the_tickets_peer() {
    let scene = Scene::new();
    let copy = scene.copy.to_str().unwrap();
    scene.bob.run(&["add", copy]).ok();
    std::fs::remove_dir_all(&scene.copy).unwrap();
    let packs = std::fs::read_dir(scene.bob.path().join("packs")).unwrap();
    let largest = packs
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| path.metadata().unwrap().len())
        .expect("an add fills a pack");
    flip(&largest);
    scene.assert_mended();
}
