#![allow(clippy::unwrap_used)]

mod again;
mod crash;
mod folder;
mod trouble;

use std::path::{Path, PathBuf};

use shoal_protocol::chunking::{PROFILE_1, cuts};
use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::manifest::{Entry, EntryKind, SnapshotCursor, Step};

use super::{AddError, AddMode, AddRequest, Added};
use crate::disk::real::RealDisk;
use crate::progress::Silent;
use crate::{Store, StoreOptions};

/// A store and a folder to add to it, in a directory of their own.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) store: Store,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("source")).unwrap();
        let store = open(&dir.path().join("home"));
        Self { dir, store }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.source().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Writes a file that looks as though it had been there for long.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }

    pub(crate) fn add(&self, mode: AddMode) -> Added {
        self.try_add(&self.source(), mode).unwrap()
    }

    pub(crate) fn try_add(&self, path: &Path, mode: AddMode) -> Result<Added, AddError> {
        self.store.add(&request(path, mode), &Silent)
    }

    pub(crate) fn reopen(self) -> Self {
        let Self { dir, store } = self;
        store.close().unwrap();
        let store = open(&dir.path().join("home"));
        Self { dir, store }
    }

    /// The entries of a snapshot and the bytes of its files, read from the store.
    pub(crate) fn contents(&self, id: &SnapshotId) -> Vec<(Entry, Vec<u8>)> {
        let row = self.store.view().snapshot(id).unwrap().unwrap();
        let mut cursor = SnapshotCursor::new(&row.snapshot);
        let mut contents: Vec<(Entry, Vec<u8>)> = Vec::new();
        let mut bytes = Vec::new();
        while let Some(step) = cursor.next(&self.store).unwrap() {
            match step {
                Step::Entry { entry, .. } => contents.push((entry, Vec::new())),
                Step::Chunk { chunk, .. } => {
                    self.store.read_chunk(&chunk.id, &mut bytes).unwrap();
                    contents.last_mut().unwrap().1.extend_from_slice(&bytes);
                }
            }
        }
        contents
    }

    /// Entries as texts: files with their length, links with their target.
    pub(crate) fn listing(&self, id: &SnapshotId) -> Vec<String> {
        let contents = self.contents(id);
        let line = |(entry, bytes): &(Entry, Vec<u8>)| match &entry.kind {
            EntryKind::File {
                executable, size, ..
            } => {
                assert_eq!(*size, bytes.len() as u64);
                let mark = if *executable { "*" } else { "" };
                format!("{}{mark} {}", entry.path, bytes.len())
            }
            EntryKind::Symlink { target } => format!("{} -> {}", entry.path, target.as_str()),
            EntryKind::EmptyDirectory => format!("{}/", entry.path),
        };
        contents.iter().map(line).collect()
    }

    pub(crate) fn bytes_of(&self, id: &SnapshotId, path: &str) -> Vec<u8> {
        let contents = self.contents(id);
        let found = contents.into_iter().find(|(e, _)| e.path.as_str() == path);
        found.unwrap().1
    }
}

pub(crate) fn open(home: &Path) -> Store {
    Store::open(RealDisk::shared(), home, StoreOptions::default()).unwrap()
}

pub(crate) fn request(path: &Path, mode: AddMode) -> AddRequest {
    AddRequest {
        path: path.to_owned(),
        all: false,
        mode,
        kept: true,
        audience: None,
    }
}

/// Bytes without repetitions, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// The chunks of one sequential pass.
pub(crate) fn sequential(bytes: &[u8]) -> Vec<(ChunkId, u32)> {
    cuts(&PROFILE_1, bytes, bytes.len())
        .map(|range| (ChunkId::of(&bytes[range.clone()]), range.len() as u32))
        .collect()
}

/// Waits until what was written before can be told from what is written after, by looking at
/// the clock of the file system rather than at ours.
pub(crate) fn settle(world: &World) {
    let disk = RealDisk::shared();
    let root = crate::disk::Disk::root(&*disk, &world.source(), false).unwrap();
    let probe = world.home().join("tmp/settle");
    std::fs::create_dir_all(probe.parent().unwrap()).unwrap();
    let written = newest(&*root, Path::new(""));
    loop {
        std::fs::write(&probe, b"").unwrap();
        let now = std::fs::metadata(&probe).unwrap().modified().unwrap();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        if now.as_nanos() as i128 - written > 60_000_000 {
            return;
        }
        std::thread::yield_now();
    }
}

fn newest(root: &dyn crate::disk::Root, dir: &Path) -> i128 {
    let mut newest = 0;
    for name in root.list(dir).unwrap() {
        let path = dir.join(name);
        let identity = root.stat(&path).unwrap().unwrap();
        newest = newest.max(identity.changed_ns);
        if identity.kind == crate::disk::FileKind::Directory {
            newest = newest.max(self::newest(root, &path));
        }
    }
    newest
}
