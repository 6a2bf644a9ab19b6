//! What a folder or a file becomes.

use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;
use shoal_protocol::snapshot::Shape;

use super::*;
use crate::ingest::report::{AddWarning, LeftOutReason};

const MODES: [AddMode; 2] = [AddMode::Keep, AddMode::InPlace];

#[test]
fn a_folder_comes_back_as_it_was() {
    for mode in MODES {
        let world = World::new();
        world.write("a.txt", "a");
        world.write("a/b", noise(1, 100_000));
        world.write("a/empty", "");
        world.write("a-b", noise(2, 1_000_000));
        world.write("run.sh", "#!/bin/sh\n");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(world.path("run.sh"), executable).unwrap();
        symlink("../nowhere", world.path("link")).unwrap();
        std::fs::create_dir_all(world.path("void/inner")).unwrap();
        world.write("odd name \n é", "odd");
        let added = world.add(mode);
        assert_eq!(
            world.listing(&added.snapshot),
            [
                "a/b 100000",
                "a/empty 0",
                "a-b 1000000",
                "a.txt 1",
                "link -> ../nowhere",
                "odd name \n é 3",
                "run.sh* 10",
                "void/inner/",
            ]
        );
        assert_eq!(added.entries, 8);
        assert_eq!(added.bytes, 1_100_014);
        assert_eq!(added.bytes_new, 1_100_014);
        assert_eq!(world.bytes_of(&added.snapshot, "a-b"), noise(2, 1_000_000));
        assert!(added.lost.is_empty() && added.warnings.is_empty() && added.left_out.is_empty());
        let row = world
            .store
            .view()
            .snapshot(&added.snapshot)
            .unwrap()
            .unwrap();
        assert_eq!(row.snapshot.shape, Shape::Folder);
        assert!(row.kept);
    }
}

#[test]
fn both_modes_and_every_machine_give_the_same_snapshot() {
    let ids: Vec<_> = MODES
        .into_iter()
        .map(|mode| {
            let world = World::new();
            world.write("x/y", noise(3, 700_000));
            world.write("z", "z");
            world.add(mode).snapshot
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn an_empty_folder_is_a_snapshot_too() {
    let world = World::new();
    let added = world.add(AddMode::Keep);
    assert_eq!((added.entries, added.bytes), (0, 0));
    assert!(world.listing(&added.snapshot).is_empty());
}

#[test]
fn a_lone_file_is_a_snapshot_of_its_own_shape() {
    let world = World::new();
    world.write("model.bin", noise(4, 300_000));
    world.write("other", "not added");
    let added = world
        .try_add(&world.path("model.bin"), AddMode::InPlace)
        .unwrap();
    assert_eq!(world.listing(&added.snapshot), ["model.bin 300000"]);
    let row = world
        .store
        .view()
        .snapshot(&added.snapshot)
        .unwrap()
        .unwrap();
    assert_eq!(row.snapshot.shape, Shape::File);
}

#[test]
fn a_symlink_as_the_path_is_followed_and_said() {
    let world = World::new();
    world.write("data/x", "x");
    symlink("data", world.path("latest")).unwrap();
    let added = world.try_add(&world.path("latest"), AddMode::Keep).unwrap();
    assert_eq!(world.listing(&added.snapshot), ["x 1"]);
    let target = world.path("data");
    assert_eq!(added.warnings, [AddWarning::Followed { target }]);
}

#[test]
fn a_big_file_is_cut_as_in_one_pass() {
    // Several segments whatever the number of cores; noise, zeros, and noise again.
    let mut bytes = noise(5, 40 << 20);
    bytes[10 << 20..19 << 20].fill(0);
    for mode in MODES {
        let world = World::new();
        world.write("big", &bytes);
        let added = world.add(mode);
        assert!(world.bytes_of(&added.snapshot, "big") == bytes);
        let row = world
            .store
            .view()
            .snapshot(&added.snapshot)
            .unwrap()
            .unwrap();
        let mut cursor = SnapshotCursor::new(&row.snapshot);
        let mut chunks = Vec::new();
        while let Some(step) = cursor.next(&world.store).unwrap() {
            if let Step::Chunk { chunk, .. } = step {
                chunks.push((chunk.id, chunk.length));
            }
        }
        assert!(chunks == sequential(&bytes));
    }
}

#[test]
fn a_sparse_file_has_the_chunks_of_its_zeros() {
    for mode in MODES {
        sparse_and_full_are_one(mode);
    }
}

fn sparse_and_full_are_one(mode: AddMode) {
    let full = World::new();
    let mut bytes = vec![0; 50 << 20];
    bytes[30 << 20..31 << 20].copy_from_slice(&noise(6, 1 << 20));
    full.write("f", &bytes);
    let sparse = World::new();
    sparse.write("f", "");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(sparse.path("f"))
        .unwrap();
    file.set_len(50 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &noise(6, 1 << 20), 30 << 20).unwrap();
    let ids = [&full, &sparse].map(|world| world.add(mode).snapshot);
    assert_eq!(chunks_of(&full, &ids[0]), sequential(&bytes));
    assert_eq!(ids[0], ids[1]);
    assert!(sparse.bytes_of(&ids[1], "f") == bytes);
}

#[test]
fn ignore_files_git_and_shoals_own_are_left_out_and_said() {
    let world = World::new();
    world.write(".shoalignore", "*.log\n!keep.log\nbuild/\n");
    world.write(".dvcignore", "*.tmp\nkeep.log\n");
    world.write(".gitignore", "*.data\n");
    world.write("x.log", "");
    world.write("keep.log", "");
    world.write("x.tmp", "");
    world.write("x.data", "");
    world.write("build/x", "");
    world.write(".git/HEAD", "");
    world.write("sub/.shoalignore", "!x.log\n");
    world.write("sub/x.log", "");
    world.write("sub/build/x", "");
    world.write(".x.shoal-partial", "");
    let added = world.add(AddMode::Keep);
    assert_eq!(
        world.listing(&added.snapshot),
        [
            ".dvcignore 15",
            ".gitignore 7",
            ".shoalignore 23",
            "keep.log 0",
            "sub/.shoalignore 7",
            "sub/x.log 0",
            "x.data 0",
        ]
    );
    let mut left_out: Vec<_> = added.left_out.iter().map(ToString::to_string).collect();
    left_out.sort();
    assert_eq!(
        left_out,
        [
            ".git (Git's own; --all takes it)",
            ".x.shoal-partial (shoal's own)",
            "build (a rule in .shoalignore)",
            "sub/build (a rule in .shoalignore)",
            "x.log (a rule in .shoalignore)",
            "x.tmp (a rule in .dvcignore)",
        ]
    );
    let mut all = request(&world.source(), AddMode::Keep);
    all.all = true;
    let added = world.store.add(&all, &Silent).unwrap();
    assert_eq!(added.entries, 12);
    assert_eq!(added.left_out_total, 1);
}

#[test]
fn a_store_inside_the_folder_is_left_out() {
    let world = World::new();
    world.write("x", "x");
    let inner = open(&world.path("inner/home"));
    let added = inner
        .add(&request(&world.source(), AddMode::InPlace), &Silent)
        .unwrap();
    assert_eq!(added.entries, 2);
    assert_eq!(added.left_out[0].why, LeftOutReason::Shoal);
    for path in ["inner/home", "inner/home/packs"] {
        let error = inner.add(&request(&world.path(path), AddMode::InPlace), &Silent);
        assert!(matches!(error, Err(AddError::InsideStore(_))), "{path}");
    }
}

#[test]
fn special_files_are_left_out_with_a_warning() {
    let world = World::new();
    world.write("x", "x");
    let socket = world.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let added = world.add(AddMode::Keep);
    assert_eq!(world.listing(&added.snapshot), ["x 1"]);
    let example = "socket".into();
    assert_eq!(added.warnings, [AddWarning::Special { example, count: 1 }]);
    let error = world.try_add(&socket, AddMode::Keep).unwrap_err();
    assert!(matches!(error, AddError::NotAFileOrFolder(_)));
}

#[test]
fn names_that_collide_elsewhere_are_warned_about() {
    let world = World::new();
    world.write("d/Readme", "");
    world.write("d/README", "");
    world.write("\u{e9}", "");
    world.write("e\u{301}", "");
    world.write("e", "");
    let added = world.add(AddMode::Keep);
    assert_eq!(added.entries, 5);
    let pair = |first: &str, second: &str| AddWarning::Collision {
        first: first.into(),
        second: second.into(),
    };
    assert_eq!(
        added.warnings,
        [pair("d/README", "d/Readme"), pair("e\u{301}", "\u{e9}")]
    );
}

#[test]
fn clutter_is_added_and_pointed_out() {
    let world = World::new();
    world.write("src/__pycache__/a.pyc", "12");
    world.write("src/deep/__pycache__/b.pyc", "345");
    world.write("node_modules/x/node_modules/y", "1");
    let added = world.add(AddMode::Keep);
    let texts: Vec<_> = added.warnings.iter().map(ToString::to_string).collect();
    assert!(texts[0].starts_with("1 `node_modules` folder(s) with 1 entries and 1 B"));
    assert!(texts[1].starts_with("2 `__pycache__` folder(s) with 2 entries and 5 B"));
}

#[test]
fn the_source_is_never_written_to() {
    for mode in MODES {
        let world = World::new();
        world.write("d/x", noise(8, 3 << 20));
        let before = newest(&*root_of(&world), Path::new(""));
        let readonly = std::fs::Permissions::from_mode(0o555);
        std::fs::set_permissions(world.path("d"), readonly).unwrap();
        let after_chmod = newest(&*root_of(&world), Path::new(""));
        assert!(after_chmod >= before);
        world.add(mode);
        assert_eq!(newest(&*root_of(&world), Path::new("")), after_chmod);
        let writable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(world.path("d"), writable).unwrap();
    }
}

fn chunks_of(world: &World, id: &SnapshotId) -> Vec<(ChunkId, u32)> {
    let row = world.store.view().snapshot(id).unwrap().unwrap();
    let mut cursor = SnapshotCursor::new(&row.snapshot);
    let mut chunks = Vec::new();
    while let Some(step) = cursor.next(&world.store).unwrap() {
        if let Step::Chunk { chunk, .. } = step {
            chunks.push((chunk.id, chunk.length));
        }
    }
    chunks
}

fn root_of(world: &World) -> std::sync::Arc<dyn crate::disk::Root> {
    crate::disk::Disk::root(&RealDisk, &world.source(), false).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Zeros and repetitions are where boundaries of segments meet late.
    #[test]
    fn any_big_file_is_cut_as_in_one_pass(
        parts in prop::collection::vec((0u8..4, 1usize..6_000_000), 1..6),
    ) {
        let mut bytes = Vec::new();
        for (kind, length) in parts {
            match kind {
                0 => bytes.resize(bytes.len() + length, 0),
                1 => bytes.extend(b"0123456789abcdef".iter().cycle().take(length)),
                kind => bytes.extend(noise(u64::from(kind), length)),
            }
        }
        let world = World::new();
        world.write("f", &bytes);
        let added = world.add(AddMode::InPlace);
        prop_assert_eq!(chunks_of(&world, &added.snapshot), sequential(&bytes));
    }
}
