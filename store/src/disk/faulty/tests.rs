#![allow(clippy::unwrap_used)]

use super::*;
use crate::disk::{DiskFile, OpenMode};

fn root(disk: &FaultyDisk) -> Arc<dyn Root> {
    disk.root(Path::new("/home"), true).unwrap()
}

fn create(root: &Arc<dyn Root>, name: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = root.open(Path::new(name), OpenMode::Create).unwrap();
    file.write_at(0, bytes).unwrap();
    file
}

fn content(disk: &FaultyDisk, name: &str) -> Option<Vec<u8>> {
    let root = root(disk);
    let size = root.stat(Path::new(name)).unwrap()?.size;
    let mut bytes = vec![0; size as usize + 10];
    let file = root.open(Path::new(name), OpenMode::Read).unwrap();
    let read = file.read_at(0, &mut bytes).unwrap();
    bytes.truncate(read);
    Some(bytes)
}

#[test]
fn files_are_written_read_and_cut() {
    let disk = FaultyDisk::new();
    let file = create(&root(&disk), "f", b"hello");
    file.write_at(10_000, b"world").unwrap();
    let mut all = vec![0; 10_005];
    all[..5].copy_from_slice(b"hello");
    all[10_000..].copy_from_slice(b"world");
    assert_eq!(content(&disk, "f"), Some(all));
    assert_eq!(file.next_data(0).unwrap(), Some(0..4096));
    assert_eq!(file.next_data(5_000).unwrap(), Some(8192..10_005));
    file.set_len(3).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(content(&disk, "f"), Some(b"hel\0\0\0".to_vec()));
    assert_eq!(file.next_data(4096).unwrap(), None);
}

#[test]
fn only_what_was_synced_is_sure_to_be_found() {
    let disk = FaultyDisk::new();
    let root = root(&disk);
    let file = create(&root, "f", b"one");
    // Bytes without a name.
    file.sync().unwrap();
    assert_eq!(content(&disk.after_cut(Fate::Lost), "f"), None);
    assert_eq!(
        content(&disk.after_cut(Fate::Kept), "f"),
        Some(b"one".to_vec())
    );
    root.sync_dir(Path::new("")).unwrap();
    file.write_at(0, b"two").unwrap();
    assert_eq!(
        content(&disk.after_cut(Fate::Lost), "f"),
        Some(b"one".to_vec())
    );
    assert_eq!(
        content(&disk.after_cut(Fate::Kept), "f"),
        Some(b"two".to_vec())
    );
    root.sync_all().unwrap();
    assert_eq!(
        content(&disk.after_cut(Fate::Lost), "f"),
        Some(b"two".to_vec())
    );
    // A name without bytes.
    create(&root, "g", b"three");
    root.sync_dir(Path::new("")).unwrap();
    assert_eq!(content(&disk.after_cut(Fate::Lost), "g"), Some(Vec::new()));
}

#[test]
fn a_mixed_fate_keeps_some_loses_some_and_is_the_same_for_a_seed() {
    let disk = FaultyDisk::new();
    let file = create(&root(&disk), "f", &vec![0; 64 * 4096]);
    root(&disk).sync_all().unwrap();
    file.write_at(0, &vec![1; 64 * 4096]).unwrap();
    let found = |seed| content(&disk.after_cut(Fate::Mixed(seed)), "f").unwrap();
    let bytes = found(1);
    assert!(bytes.contains(&0) && bytes.contains(&1));
    assert_eq!(bytes, found(1));
    assert_ne!(bytes, found(2));
    let torn = bytes.chunks(4096).any(|b| b.contains(&0) && b.contains(&1));
    assert!(torn, "some block is torn");
}

#[test]
fn a_rename_is_seen_whole_or_not_at_all() {
    let disk = FaultyDisk::new();
    let home = root(&disk);
    home.create_dir(Path::new("a")).unwrap();
    home.create_dir(Path::new("b")).unwrap();
    create(&home, "a/f", b"x");
    home.sync_all().unwrap();
    home.rename(Path::new("a/f"), Path::new("b/g")).unwrap();
    let states: Vec<_> = (0..20)
        .map(|seed| {
            let found = disk.after_cut(Fate::Mixed(seed));
            (
                content(&found, "a/f").is_some(),
                content(&found, "b/g").is_some(),
            )
        })
        .collect();
    assert!(states.contains(&(true, false)) && states.contains(&(false, true)));
    assert!(states.iter().all(|(from, to)| from != to));
    // Syncing one side makes the whole change durable.
    home.sync_dir(Path::new("b")).unwrap();
    let found = disk.after_cut(Fate::Lost);
    assert_eq!(content(&found, "a/f"), None);
    assert_eq!(content(&found, "b/g"), Some(b"x".to_vec()));
}

#[test]
fn a_directory_whose_name_was_not_synced_takes_its_files_along() {
    let disk = FaultyDisk::new();
    let home = root(&disk);
    home.create_dir(Path::new("a/b")).unwrap();
    create(&home, "a/b/f", b"x").sync().unwrap();
    home.sync_dir(Path::new("a/b")).unwrap();
    home.sync_dir(Path::new("a")).unwrap();
    assert_eq!(content(&disk.after_cut(Fate::Lost), "a/b/f"), None);
    home.sync_dir(Path::new("")).unwrap();
    assert_eq!(
        content(&disk.after_cut(Fate::Lost), "a/b/f"),
        Some(b"x".to_vec())
    );
}

#[test]
fn after_a_cut_nothing_works_and_the_cut_sync_did_not_happen() {
    let disk = FaultyDisk::new();
    let home = root(&disk);
    let file = create(&home, "f", b"x");
    disk.cut_at(disk.operations() + 1);
    assert!(file.sync().is_err());
    assert!(disk.is_cut());
    assert!(file.read_at(0, &mut [0]).is_err());
    assert!(home.stat(Path::new("f")).is_err());
    assert!(file.write_at(0, b"y").is_err());
    assert_eq!(content(&disk.after_cut(Fate::Lost), "f"), None);
    assert_eq!(
        content(&disk.after_cut(Fate::Kept), "f"),
        Some(b"x".to_vec())
    );
}

#[test]
fn every_operation_leaves_an_image() {
    let disk = FaultyDisk::new();
    let home = root(&disk);
    disk.record();
    let before = disk.operations();
    let file = create(&home, "f", b"1");
    home.sync_dir(Path::new("")).unwrap();
    file.sync().unwrap();
    file.write_at(0, b"2").unwrap();
    let images = disk.images();
    assert_eq!(images.len() as u64, disk.operations() - before);
    let found = |fate| -> Vec<_> {
        let disks = images.iter().map(|image| image.found(fate));
        disks.map(|disk| content(&disk, "f")).collect()
    };
    let one = || Some(b"1".to_vec());
    let empty = || Some(Vec::new());
    assert_eq!(found(Fate::Lost), [None, None, None, empty(), one()]);
    assert_eq!(
        found(Fate::Kept),
        [empty(), one(), one(), one(), Some(b"2".to_vec())]
    );
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_room() {
    let disk = FaultyDisk::new();
    let home = root(&disk);
    disk.set_room(Some(3 * 4096));
    let file = create(&home, "f", &[1; 8192]);
    let full = file.write_at(8192, &[1; 8192]).unwrap_err();
    assert!(crate::is_no_space(&full));
    assert_eq!(file.identity().unwrap().size, 8192);
    assert_eq!(home.file_system().unwrap().free, 4096);
    file.write_at(0, &[2; 8192]).unwrap();
    disk.set_room(None);
    file.write_at(8192, &[1; 8192]).unwrap();
}

#[test]
fn flipped_bits_are_read_and_nothing_tells() {
    let disk = FaultyDisk::new();
    let home = root(&disk);
    let file = create(&home, "f", b"abc");
    let before = file.identity().unwrap();
    disk.flip(Path::new("/home/f"), 1, 0x20);
    assert_eq!(content(&disk, "f"), Some(b"aBc".to_vec()));
    assert_eq!(file.identity().unwrap(), before);
}

#[test]
fn names_behave_as_on_a_real_disk() {
    let disk = FaultyDisk::new();
    let home = root(&disk);
    home.create_dir(Path::new("d")).unwrap();
    home.create_dir(Path::new("d")).unwrap();
    create(&home, "f", b"x");
    let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
    assert_eq!(
        kind(home.create_dir(Path::new("f"))),
        Err(io::ErrorKind::AlreadyExists)
    );
    assert_eq!(
        kind(home.remove_file(Path::new("d"))),
        Err(io::ErrorKind::IsADirectory)
    );
    assert_eq!(
        kind(home.remove_file(Path::new("none"))),
        Err(io::ErrorKind::NotFound)
    );
    home.symlink("f", Path::new("l")).unwrap();
    assert!(home.open(Path::new("l"), OpenMode::Read).is_err());
    assert_eq!(home.read_link(Path::new("l")).unwrap(), "f");
    home.symlink("d", Path::new("m")).unwrap();
    assert!(home.open(Path::new("m/x"), OpenMode::Create).is_err());
    assert!(home.open(Path::new("../x"), OpenMode::Create).is_err());
    assert!(home.open(Path::new("f"), OpenMode::CreateNew).is_err());
    create(&home, "d/g", b"y");
    assert_eq!(
        kind(home.remove_dir(Path::new("d"))),
        Err(io::ErrorKind::DirectoryNotEmpty)
    );
    let mut names = home.list(Path::new("")).unwrap();
    names.sort();
    assert_eq!(names, ["d", "f", "l", "m"]);
    let lock = home.lock(Path::new("lock"), "one").unwrap().ok().unwrap();
    assert_eq!(
        home.lock(Path::new("lock"), "two")
            .unwrap()
            .err()
            .as_deref(),
        Some("one")
    );
    drop(lock);
    assert!(home.lock(Path::new("lock"), "two").unwrap().is_ok());
    let file = home.open(Path::new("f"), OpenMode::Read).unwrap();
    assert!(home.reflink(&*file, Path::new("copy")).unwrap());
    assert_eq!(content(&disk, "copy"), Some(b"x".to_vec()));
}
