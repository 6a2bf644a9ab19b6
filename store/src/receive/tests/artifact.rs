//! A snapshot in memory, and what it is in a folder.
//!
//! Owns: the things that stand in a folder, as a test writes them down, and the pages and
//! bytes that another node would send of them.

use std::collections::BTreeMap;
use std::path::Path;

use shoal_protocol::chunking::{PROFILE_1, cuts};
use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::manifest::{Content, Entry, EntryKind, SymlinkTarget};
use shoal_protocol::paged_list::{Builder, ChunkRef, MemoryPages};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::{Shape, Snapshot};

use crate::disk::{FileKind, OpenMode, Root};

/// Bytes that look random, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// What stands at a path.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Thing {
    File(Vec<u8>),
    Program(Vec<u8>),
    Link(&'static str),
    Folder,
}

/// Without the bytes, which nobody wants to read.
impl std::fmt::Debug for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(bytes) => write!(f, "File({}, {:?})", bytes.len(), ChunkId::of(bytes)),
            Self::Program(bytes) => write!(f, "Program({}, {:?})", bytes.len(), ChunkId::of(bytes)),
            Self::Link(target) => write!(f, "Link({target:?})"),
            Self::Folder => f.write_str("Folder"),
        }
    }
}

pub(crate) type Things = BTreeMap<ManifestPath, Thing>;

pub(crate) fn path(text: &str) -> ManifestPath {
    ManifestPath::new(text).expect("a path")
}

pub(crate) fn things<const N: usize>(things: [(&str, Thing); N]) -> Things {
    things
        .into_iter()
        .map(|(text, thing)| (path(text), thing))
        .collect()
}

/// A snapshot with all its pages and bytes.
pub(crate) struct Artifact {
    pub(crate) snapshot: Snapshot,
    pub(crate) pages: MemoryPages,
    pub(crate) bytes: Vec<u8>,
}

impl Artifact {
    pub(crate) fn folder(things: &Things) -> Self {
        Self::of(Shape::Folder, things)
    }

    pub(crate) fn file(name: &str, bytes: Vec<u8>) -> Self {
        Self::of(Shape::File, &things([(name, Thing::File(bytes))]))
    }

    fn of(shape: Shape, things: &Things) -> Self {
        let mut pages = MemoryPages::new();
        let mut all = Vec::new();
        let mut manifest = Builder::<Entry>::new();
        for (path, thing) in things {
            let kind = match thing {
                Thing::File(bytes) | Thing::Program(bytes) => {
                    all.extend_from_slice(bytes);
                    EntryKind::File {
                        executable: matches!(thing, Thing::Program(_)),
                        size: bytes.len() as u64,
                        content: content(&mut pages, bytes),
                    }
                }
                Thing::Link(target) => EntryKind::Symlink {
                    target: SymlinkTarget::new(*target).expect("a target"),
                },
                Thing::Folder => EntryKind::EmptyDirectory,
            };
            let entry = Entry {
                path: path.clone(),
                kind,
            };
            manifest
                .push(&entry, &mut |id, bytes| pages.put(id, bytes))
                .expect("sorted");
        }
        let root = manifest.finish(&mut |id, bytes| pages.put(id, bytes));
        Self {
            snapshot: Snapshot {
                profile: PROFILE_1.id,
                shape,
                manifest: root.map(|root| root.page),
                entries: things.len() as u64,
                bytes: all.len() as u64,
            },
            pages,
            bytes: all,
        }
    }

    pub(crate) fn id(&self) -> SnapshotId {
        self.snapshot.id()
    }
}

fn content(pages: &mut MemoryPages, bytes: &[u8]) -> Content {
    let mut chunks: Vec<ChunkRef> = cuts(&PROFILE_1, bytes, bytes.len())
        .map(|range| ChunkRef {
            length: range.len() as u32,
            id: ChunkId::of(&bytes[range]),
        })
        .collect();
    match chunks.len() {
        0 => Content::Empty,
        1 => Content::Chunk(chunks.remove(0).id),
        _ => {
            let mut list = Builder::<ChunkRef>::new();
            for chunk in &chunks {
                list.push(chunk, &mut |id, bytes| pages.put(id, bytes))
                    .expect("chunks need no order");
            }
            let root = list.finish(&mut |id, bytes| pages.put(id, bytes));
            Content::List(root.expect("not empty").page)
        }
    }
}

pub(crate) fn read(root: &dyn Root, name: &Path) -> Vec<u8> {
    let file = root.open(name, OpenMode::Read).expect("a file");
    let mut bytes = vec![0; file.identity().expect("readable").size as usize];
    let read = file.read_at(0, &mut bytes).expect("readable");
    assert_eq!(read, bytes.len());
    bytes
}

pub(crate) fn collect(root: &dyn Root, dir: &str, things: &mut Things) {
    let names = root.list(Path::new(dir)).expect("a directory");
    if names.is_empty() && !dir.is_empty() {
        things.insert(path(dir), Thing::Folder);
    }
    for name in names {
        let name = name.to_str().expect("text");
        let full = match dir {
            "" => name.to_owned(),
            dir => format!("{dir}/{name}"),
        };
        let found = root
            .stat(Path::new(&full))
            .expect("readable")
            .expect("there");
        let thing = match found.kind {
            FileKind::Directory => {
                collect(root, &full, things);
                continue;
            }
            FileKind::Regular => match read(root, Path::new(&full)) {
                bytes if found.executable => Thing::Program(bytes),
                bytes => Thing::File(bytes),
            },
            FileKind::Symlink => {
                let target = root.read_link(Path::new(&full)).expect("a link");
                Thing::Link(String::leak(target.to_string_lossy().into_owned()))
            }
            FileKind::Special => panic!("nothing here makes such"),
        };
        things.insert(path(&full), thing);
    }
}
