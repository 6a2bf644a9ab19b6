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

#[test]
fn each_damaged_file_is_told_with_its_own_bytes_and_that_it_stays_as_it_is() {
    let scene = Scene::new();
    let damaged = ["class003/sample-000003.bin", "class007/sample-000007.bin"];
    let paths = damaged.map(|name| scene.copy.join(name));
    paths.iter().for_each(|path| flip(path));
    let found = scene.bob.run(&["--json", "verify"]);
    assert_eq!(found.code(), 6, "{found:?}");
    for (name, path) in damaged.iter().zip(&paths) {
        let of_it = |line: &&str| line.contains(name);
        let problem = found.stdout.lines().find(of_it).expect("it is named");
        let problem: serde_json::Value = serde_json::from_str(problem).unwrap();
        let bytes = problem["bytes"].as_u64().unwrap();
        let most = path.metadata().unwrap().len();
        assert!(0 < bytes && bytes <= most, "{bytes} of {most} in {name}");
    }
    let mended = scene.bob.run(&["verify", "--repair"]).ok();
    assert!(mended.stderr.contains("get --force"), "{mended:?}");
}
