#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use super::*;

fn fresh() -> (tempfile::TempDir, Arc<dyn Root>) {
    let dir = tempfile::tempdir().unwrap();
    let root = RealDisk.root(dir.path(), false).unwrap();
    (dir, root)
}

fn write(root: &Arc<dyn Root>, name: &str, bytes: &[u8]) {
    let file = root.open(Path::new(name), OpenMode::Create).unwrap();
    file.write_at(0, bytes).unwrap();
}

fn read(root: &Arc<dyn Root>, name: &str) -> Vec<u8> {
    let file = root.open(Path::new(name), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.identity().unwrap().size as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

#[test]
fn nothing_leads_out_of_a_root() {
    let (dir, root) = fresh();
    std::fs::create_dir(dir.path().join("inner")).unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("..", dir.path().join("inner/up")).unwrap();
    std::os::unix::fs::symlink("../secret", dir.path().join("inner/file")).unwrap();
    let inner = RealDisk.root(&dir.path().join("inner"), false).unwrap();
    for name in [
        "up/secret",
        "file",
        "../secret",
        "/etc/passwd",
        "up/../up/secret",
    ] {
        let name = Path::new(name);
        assert!(inner.open(name, OpenMode::Read).is_err(), "{name:?}");
        assert!(inner.open(name, OpenMode::Create).is_err(), "{name:?}");
    }
    for name in ["up/secret", "../secret", "/etc/passwd"] {
        let name = Path::new(name);
        assert!(!matches!(inner.stat(name), Ok(Some(_))), "{name:?}");
        assert!(inner.remove_file(name).is_err(), "{name:?}");
        assert!(inner.symlink("x", name).is_err(), "{name:?}");
        assert!(inner.create_dir(&name.join("d")).is_err(), "{name:?}");
        assert!(inner.rename(Path::new("file"), name).is_err(), "{name:?}");
    }
    assert!(inner.list(Path::new("up")).is_err());
    let link = inner.stat(Path::new("file")).unwrap().unwrap();
    assert_eq!(link.kind, FileKind::Symlink);
    assert_eq!(read(&root, "secret"), b"secret");
}

#[test]
fn only_regular_files_open_and_a_fifo_does_not_block() {
    let (dir, root) = fresh();
    std::fs::create_dir(dir.path().join("dir")).unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for name in ["dir", "fifo"] {
        assert!(root.open(Path::new(name), OpenMode::Read).is_err());
        assert!(root.open(Path::new(name), OpenMode::Write).is_err());
    }
    let kind = root.stat(Path::new("fifo")).unwrap().unwrap().kind;
    assert_eq!(kind, FileKind::Special);
}

#[test]
fn directories_are_made_and_removed() {
    let (_dir, root) = fresh();
    root.create_dir(Path::new("a/b/c")).unwrap();
    root.create_dir(Path::new("a/b/c")).unwrap();
    write(&root, "a/b/c/file", b"1");
    assert!(root.create_dir(Path::new("a/b/c/file")).is_err());
    assert!(root.remove_dir(Path::new("a/b/c")).is_err());
    root.remove_file(Path::new("a/b/c/file")).unwrap();
    root.remove_dir(Path::new("a/b/c")).unwrap();
    assert_eq!(root.list(Path::new("a/b")).unwrap(), Vec::<OsString>::new());
    root.sync_dir(Path::new("a/b")).unwrap();
    root.sync_all().unwrap();
}

#[test]
fn a_rename_to_a_new_name_replaces_nothing() {
    let (_dir, root) = fresh();
    write(&root, "from", b"1");
    write(&root, "file", b"2");
    root.create_dir(Path::new("directory")).unwrap();
    root.symlink("file", Path::new("link")).unwrap();
    for taken in ["file", "directory", "link"] {
        let renamed = root.rename_new(Path::new("from"), Path::new(taken));
        assert_eq!(
            renamed.unwrap_err().kind(),
            io::ErrorKind::AlreadyExists,
            "{taken}"
        );
    }
    assert_eq!(read(&root, "file"), b"2");
    root.rename_new(Path::new("from"), Path::new("free"))
        .unwrap();
    assert_eq!(read(&root, "free"), b"1");
    assert_eq!(root.stat(Path::new("from")).unwrap(), None);
}

#[test]
fn a_directory_that_was_replaced_from_outside_is_found_again() {
    let (dir, root) = fresh();
    root.create_dir(Path::new("a")).unwrap();
    write(&root, "a/file", b"old");
    std::fs::remove_dir_all(dir.path().join("a")).unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    write(&root, "a/file", b"new");
    assert_eq!(std::fs::read(dir.path().join("a/file")).unwrap(), b"new");
}

#[test]
fn files_move_between_roots() {
    let (_a, one) = fresh();
    let (_b, other) = fresh();
    write(&one, "file", b"moves");
    one.rename_into(Path::new("file"), &*other, Path::new("moved"))
        .unwrap();
    assert_eq!(read(&other, "moved"), b"moves");
    assert_eq!(one.stat(Path::new("file")).unwrap(), None);
}

#[test]
fn a_second_lock_is_told_who_has_the_first() {
    let (dir, root) = fresh();
    let name = Path::new("lock");
    let first = root.lock(name, "process 1").unwrap().ok().unwrap();
    let again = RealDisk.root(dir.path(), false).unwrap();
    let refused = again.lock(name, "process 2").unwrap().err();
    assert_eq!(refused.as_deref(), Some("process 1"));
    std::fs::remove_file(dir.path().join(name)).unwrap();
    let refused = again.lock(name, "process 2").unwrap().err();
    assert!(refused.is_some(), "the lock went with its file");
    drop(first);
    assert!(again.lock(name, "process 2").unwrap().is_ok());
}

#[test]
fn holes_and_the_executable_bit_are_seen() {
    let (dir, root) = fresh();
    let file = root.open(Path::new("f"), OpenMode::CreateNew).unwrap();
    assert!(root.open(Path::new("f"), OpenMode::CreateNew).is_err());
    file.set_len(1 << 20).unwrap();
    assert_eq!(file.next_data(0).unwrap(), None);
    file.write_at(512 << 10, b"data").unwrap();
    let data = file.next_data(0).unwrap().unwrap();
    assert!(data.contains(&(512 << 10)) && data.end < 1 << 20);
    assert_eq!(file.next_data(data.end).unwrap(), None);
    assert!(!file.identity().unwrap().executable);
    file.set_executable(true).unwrap();
    assert!(file.identity().unwrap().executable);
    let mode = std::fs::metadata(dir.path().join("f")).unwrap();
    assert_eq!(
        mode.permissions().mode() & 0o111,
        (mode.permissions().mode() & 0o444) >> 2
    );
    file.sync().unwrap();
    root.make_private().unwrap();
    assert!(root.file_system().unwrap().free > 0);
    assert_eq!(root.file_system().unwrap().network, None);
}

#[test]
fn identity_changes_with_the_bytes_and_settles() {
    let (_dir, root) = fresh();
    write(&root, "f", b"1");
    let before = root.stat(Path::new("f")).unwrap().unwrap();
    write(&root, "f", b"12");
    let after = root.stat(Path::new("f")).unwrap().unwrap();
    assert_ne!(before, after);
    assert!(!after.is_settled(after.changed_ns));
    assert!(after.is_settled(after.changed_ns + 3_000_000_000));
}

#[test]
fn what_is_written_behind_is_there_to_be_read() {
    let (dir, root) = fresh();
    let file = root.open(Path::new("f"), OpenMode::CreateNew).unwrap();
    let long: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    file.write_behind(5, &[b"head", &[], &long]).unwrap();
    file.write_behind(9 + long.len() as u64, &[]).unwrap();
    file.write_behind(0, &[b"first"]).unwrap();
    file.sync().unwrap();
    let expected = [b"firsthead", &long[..]].concat();
    assert!(std::fs::read(dir.path().join("f")).unwrap() == expected);
}
