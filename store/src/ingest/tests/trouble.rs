//! What cannot be added.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::disk::OpenMode;
use crate::disk::faulty::FaultyDisk;
use crate::progress::{Note, Progress};

const MODES: [AddMode; 2] = [AddMode::Keep, AddMode::InPlace];

fn no_snapshot(world: &World) {
    assert!(world.store.view().snapshots().unwrap().is_empty());
}

/// Changes a file whenever some of it has been read, so many times.
struct Meddler {
    path: PathBuf,
    times: AtomicU32,
    meddle: fn(&Path),
    notes: Mutex<Vec<Note>>,
}

impl Meddler {
    fn new(path: PathBuf, times: u32, meddle: fn(&Path)) -> Self {
        Self {
            path,
            times: AtomicU32::new(times),
            meddle,
            notes: Mutex::default(),
        }
    }
}

impl Progress for Meddler {
    fn bytes(&self, _more: u64) {
        let left = |times: u32| times.checked_sub(1);
        let order = Ordering::SeqCst;
        if self.times.fetch_update(order, order, left).is_ok() {
            (self.meddle)(&self.path);
        }
    }

    fn note(&self, note: Note) {
        self.notes.lock().unwrap().push(note);
    }
}

fn append(path: &Path) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"more").unwrap();
}

fn shrink(path: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(100).unwrap();
}

fn replace(path: &Path) {
    let new = path.with_extension("new");
    std::fs::write(&new, noise(77, 5_000)).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    for mode in MODES {
        for length in [1_000, 40 << 20] {
            for meddle in [append, shrink] {
                let world = World::new();
                world.write("still", "still");
                world.write("log", noise(1, length));
                let meddler = Meddler::new(world.path("log"), 1, meddle);
                let added = world.store.add(&request(&world.source(), mode), &meddler);
                let added = added.unwrap();
                let now = std::fs::read(world.path("log")).unwrap();
                assert!(world.bytes_of(&added.snapshot, "log") == now);
                let notes = meddler.notes.into_inner().unwrap();
                let path = world.path("log");
                let told = Note::ChangedWhileRead { path, attempt: 1 };
                assert!(notes.contains(&told), "{notes:?}");
            }
        }
    }
}

#[test]
fn a_file_that_does_not_stop_changing_is_named() {
    for mode in MODES {
        for length in [1_000, 40 << 20] {
            let world = World::new();
            world.write("log", noise(1, length));
            let meddler = Meddler::new(world.path("log"), u32::MAX, append);
            let error = world.store.add(&request(&world.source(), mode), &meddler);
            let AddError::Changing(paths) = error.unwrap_err() else {
                panic!("another error");
            };
            assert_eq!(paths.to_string(), "log");
            no_snapshot(&world);
            // Nothing wrong is believed later either.
            let added = world.add(mode);
            let now = std::fs::read(world.path("log")).unwrap();
            assert!(world.bytes_of(&added.snapshot, "log") == now);
        }
    }
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_one_or_the_other() {
    let world = World::new();
    world.write("f", noise(1, 1_000));
    let meddler = Meddler::new(world.path("f"), 1, replace);
    let added = world
        .store
        .add(&request(&world.source(), AddMode::InPlace), &meddler);
    let bytes = std::fs::read(world.path("f")).unwrap();
    let added = added.unwrap().snapshot;
    assert!(world.listing(&added) == ["f 1000"] || world.bytes_of(&added, "f") == bytes);
    let again = world.add(AddMode::InPlace).snapshot;
    assert!(world.bytes_of(&again, "f") == bytes);
}

#[test]
fn names_that_are_not_text_are_all_named() {
    let world = World::new();
    world.write("fine", "fine");
    for i in 0..25u8 {
        let name = [b'x', 0xff, b'a' + i];
        let path = world.source().join(std::ffi::OsStr::from_bytes(&name));
        std::fs::write(path, "").unwrap();
    }
    let error = world.try_add(&world.source(), AddMode::Keep).unwrap_err();
    let AddError::Unusable(paths) = &error else {
        panic!("{error}");
    };
    assert_eq!((paths.named.len(), paths.total), (20, 25));
    assert!(error.to_string().contains("\\xFF"), "{error}");
    assert!(error.to_string().ends_with("and 5 more"), "{error}");
    no_snapshot(&world);
}

#[test]
fn unreadable_files_and_folders_are_all_named() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root can read everything");
        return;
    }
    let world = World::new();
    let closed = std::fs::Permissions::from_mode(0o000);
    for name in ["a", "d/b"] {
        world.write(name, "secret");
        std::fs::set_permissions(world.path(name), closed.clone()).unwrap();
    }
    let error = world.try_add(&world.source(), AddMode::Keep).unwrap_err();
    let AddError::Unusable(paths) = &error else {
        panic!("{error}");
    };
    assert_eq!(paths.total, 2);
    no_snapshot(&world);
}

#[test]
fn rules_that_are_no_rules_are_an_error() {
    let world = World::new();
    world.write("d/.shoalignore", "ok\n{unclosed\n");
    let error = world.try_add(&world.source(), AddMode::Keep).unwrap_err();
    assert!(error.to_string().contains("d/.shoalignore"), "{error}");
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let world = World::new();
    world.write("file", "");
    std::os::unix::fs::symlink("nowhere", world.path("dangling")).unwrap();
    std::os::unix::fs::symlink("round", world.path("round")).unwrap();
    for name in ["nothing", "file/nothing", "dangling"] {
        let error = world.try_add(&world.path(name), AddMode::Keep).unwrap_err();
        assert!(matches!(error, AddError::NotFound(_)), "{name}: {error}");
    }
    let error = world.try_add(&world.path("round"), AddMode::Keep);
    assert!(matches!(error, Err(AddError::NotAFileOrFolder(_))));
    let error = world.try_add(Path::new("relative"), AddMode::Keep);
    assert!(matches!(error, Err(AddError::NotAbsolute(_))));
}

/// Asks to stop once some bytes were read.
struct Impatient(AtomicU32);

impl Progress for Impatient {
    fn bytes(&self, _more: u64) {
        self.0.store(1, Ordering::SeqCst);
    }

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

#[test]
fn an_add_can_be_cancelled() {
    let world = World::new();
    world.write("a", noise(1, 60 << 20));
    let impatient = Impatient(AtomicU32::new(0));
    let error = world
        .store
        .add(&request(&world.source(), AddMode::Keep), &impatient);
    assert!(matches!(error, Err(AddError::Cancelled)));
    no_snapshot(&world);
}

#[test]
fn what_cannot_fit_is_refused_before_it_is_copied() {
    let disk = FaultyDisk::new();
    let store = crate::testing::open(&disk);
    let data = disk.shared().root(Path::new("/data"), true).unwrap();
    for i in 0..40 {
        let file = data.open(Path::new(&i.to_string()), OpenMode::CreateNew);
        file.unwrap().write_at(0, &noise(i, 900_000)).unwrap();
    }
    disk.set_room(Some(disk.used() + (30 << 20)));
    let used = disk.used();
    let error = store.add(&request(Path::new("/data"), AddMode::Keep), &Silent);
    let AddError::NoSpace { needed, free } = error.unwrap_err() else {
        panic!("another error");
    };
    assert!(needed > 36_000_000 && free <= 30 << 20);
    assert!(disk.used() < used + (1 << 20));
    assert!(store.view().snapshots().unwrap().is_empty());
    // In place it fits.
    store
        .add(&request(Path::new("/data"), AddMode::InPlace), &Silent)
        .unwrap();
}

#[test]
fn a_disk_that_fills_up_meanwhile_is_an_error_that_says_so() {
    let disk = FaultyDisk::new();
    let store = crate::testing::open(&disk);
    let data = disk.shared().root(Path::new("/data"), true).unwrap();
    for i in 0..10 {
        let file = data.open(Path::new(&i.to_string()), OpenMode::CreateNew);
        file.unwrap().write_at(0, &noise(i, 900_000)).unwrap();
    }
    store
        .add(&request(Path::new("/data/0"), AddMode::Keep), &Silent)
        .unwrap();
    struct Filler(FaultyDisk);
    impl Progress for Filler {
        fn bytes(&self, _more: u64) {
            self.0.set_room(Some(self.0.used()));
        }
    }
    let error = store.add(
        &request(Path::new("/data"), AddMode::Keep),
        &Filler(disk.clone()),
    );
    assert!(error.unwrap_err().is_no_space());
    assert_eq!(store.view().snapshots().unwrap().len(), 1);
}
