//! Power cuts while things are added, forgotten and collected.

use super::*;
use crate::check::VerifyScope;
use crate::disk::faulty::FaultyDisk;
use crate::disk::{OpenMode, Root};
use crate::testing::{cut_everywhere, open as open_faulty};

/// A snapshot that must be there, with the files that it was made from.
struct Kept {
    snapshot: SnapshotId,
    files: Vec<(String, Vec<u8>)>,
}

/// The user's folder in the faulty world.
struct Folder {
    root: std::sync::Arc<dyn Root>,
    files: Vec<(String, Vec<u8>)>,
}

impl Folder {
    fn new(disk: &FaultyDisk) -> Self {
        let root = disk.shared().root(Path::new("/data"), true).unwrap();
        let files = Vec::new();
        Self { root, files }
    }

    fn write(&mut self, name: &str, bytes: Vec<u8>) {
        self.remove(name);
        let file = self
            .root
            .open(Path::new(name), OpenMode::CreateNew)
            .unwrap();
        file.write_at(0, &bytes).unwrap();
        self.files.push((name.to_owned(), bytes));
        self.files.sort();
        self.root.sync_all().unwrap();
    }

    fn remove(&mut self, name: &str) {
        if self.files.iter().any(|(known, _)| known == name) {
            self.root.remove_file(Path::new(name)).unwrap();
            self.files.retain(|(known, _)| known != name);
        }
    }

    fn add(&self, store: &Store, mode: AddMode) -> Kept {
        let added = store.add(&request(Path::new("/data"), mode), &Silent);
        Kept {
            snapshot: added.unwrap().snapshot,
            files: self.files.clone(),
        }
    }
}

fn check(disk: &FaultyDisk, kept: &[&Option<Kept>], forgotten: Option<&SnapshotId>) {
    let store = open_faulty(disk);
    for kept in kept.iter().filter_map(|kept| kept.as_ref()) {
        if Some(&kept.snapshot) == forgotten {
            continue;
        }
        let row = store.view().snapshot(&kept.snapshot).unwrap();
        let row = row.expect("an acknowledged snapshot");
        let mut cursor = SnapshotCursor::new(&row.snapshot);
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut bytes = Vec::new();
        while let Some(step) = cursor.next(&store).unwrap() {
            match step {
                Step::Entry { entry, .. } => files.push((entry.path.to_string(), Vec::new())),
                Step::Chunk { chunk, .. } => {
                    store.read_chunk(&chunk.id, &mut bytes).unwrap();
                    files.last_mut().unwrap().1.extend_from_slice(&bytes);
                }
            }
        }
        assert!(files == kept.files, "an acknowledged file was lost");
    }
    let report = store.verify(VerifyScope::All, &Silent).unwrap();
    assert!(report.damaged.is_empty(), "{:?}", report.damaged.named);
    assert!(report.is_whole(), "something is offered that is not there");
    // And it goes on working.
    disk.shared().root(Path::new("/data"), true).unwrap();
    let add = || store.add(&request(Path::new("/data"), AddMode::Keep), &Silent);
    let added = add().unwrap();
    store.collect(&Silent).unwrap();
    assert_eq!(add().unwrap().snapshot, added.snapshot);
}

#[test]
fn what_add_acknowledged_survives_a_power_cut_at_any_operation() {
    cut_everywhere(
        |disk, acknowledged| {
            let store = open_faulty(disk);
            let mut folder = Folder::new(disk);
            folder.write("a", noise(1, 90_000));
            folder.write("b", noise(2, 500));
            acknowledged.note(Some(folder.add(&store, AddMode::Keep)));
            folder.write("a", noise(3, 70_000));
            folder.write("c", noise(4, 1_100_000));
            acknowledged.note(Some(folder.add(&store, AddMode::Keep)));
            folder.remove("b");
            acknowledged.note(Some(folder.add(&store, AddMode::Keep)));
            store.close().unwrap();
        },
        |disk, kept: &[&Option<Kept>]| check(disk, kept, None),
    );
}

#[test]
fn files_in_place_are_neither_lost_nor_wrongly_believed() {
    cut_everywhere(
        |disk, acknowledged| {
            let mut folder = Folder::new(disk);
            folder.write("a", noise(1, 90_000));
            folder.write("b", noise(2, 500));
            let store = open_faulty(disk);
            acknowledged.note(Some(folder.add(&store, AddMode::InPlace)));
            folder.write("c", noise(4, 200_000));
            acknowledged.note(Some(folder.add(&store, AddMode::InPlace)));
        },
        |disk, kept: &[&Option<Kept>]| check(disk, kept, None),
    );
}

#[test]
fn a_collection_can_be_cut_at_any_operation() {
    let forgotten = std::sync::Mutex::new(None);
    cut_everywhere(
        |disk, acknowledged| {
            let store = open_faulty(disk);
            let mut folder = Folder::new(disk);
            folder.write("a", noise(1, 300_000));
            folder.write("b", noise(2, 30_000));
            let first = folder.add(&store, AddMode::Keep);
            folder.write("a", noise(3, 70_000));
            acknowledged.note(Some(folder.add(&store, AddMode::Keep)));
            *forgotten.lock().unwrap() = Some(first.snapshot);
            store.forget(&first.snapshot).unwrap();
            let collected = store.collect(&Silent).unwrap();
            assert!(collected.packs > 0);
            acknowledged.note(None);
        },
        |disk, kept: &[&Option<Kept>]| {
            check(disk, kept, forgotten.lock().unwrap().as_ref());
        },
    );
}
