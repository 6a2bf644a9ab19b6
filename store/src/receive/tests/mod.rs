//! What a receive must keep, as facts.
//!
//! [`Artifact`] is a snapshot in memory, with everything that another node would send;
//! [`World`] is a disk with a store and a destination.

mod audience;
mod conflicts;
mod crash;
mod fresh;
mod hostile;
mod resume;
mod update;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shoal_protocol::chunking::{PROFILE_1, cuts};
use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::manifest::{Content, Entry, EntryKind, SymlinkTarget};
use shoal_protocol::paged_list::{Builder, ChunkRef, MemoryPages, PageSource};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::{Shape, Snapshot};

use super::{Next, Receive, ReceiveError, ReceiveRequest, Received, Run};
use crate::disk::faulty::FaultyDisk;
use crate::disk::real::RealDisk;
use crate::disk::{Disk, FileKind, OpenMode, Root};
use crate::index::{AbsolutePath, AudienceId, Coverage, Origin, SnapshotRow};
use crate::{Store, StoreOptions};

/// Bytes that look random, the same for the same seed.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// What stands at a path.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Thing {
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

pub(super) type Things = BTreeMap<ManifestPath, Thing>;

pub(super) fn path(text: &str) -> ManifestPath {
    ManifestPath::new(text).expect("a path")
}

pub(super) fn things<const N: usize>(things: [(&str, Thing); N]) -> Things {
    things
        .into_iter()
        .map(|(text, thing)| (path(text), thing))
        .collect()
}

/// A snapshot with all its pages and bytes.
pub(super) struct Artifact {
    pub(super) snapshot: Snapshot,
    pub(super) pages: MemoryPages,
    pub(super) bytes: Vec<u8>,
}

impl Artifact {
    pub(super) fn folder(things: &Things) -> Self {
        Self::of(Shape::Folder, things)
    }

    pub(super) fn file(name: &str, bytes: Vec<u8>) -> Self {
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

    pub(super) fn id(&self) -> SnapshotId {
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

/// A disk with a store at `home` and room for destinations.
pub(super) struct World {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) base: PathBuf,
    pub(super) store: Store,
    _dir: Option<tempfile::TempDir>,
}

pub(super) const PEER: AudienceId = AudienceId(7);

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let base = dir.path().canonicalize().expect("it exists");
        let disk = RealDisk::shared();
        Self {
            store: open(&disk, &base),
            disk,
            base,
            _dir: Some(dir),
        }
    }

    /// On a disk in memory that fails when told to.
    pub(super) fn on(disk: &FaultyDisk) -> Self {
        let disk = disk.shared();
        let base = PathBuf::from("/base");
        Self {
            store: open(&disk, &base),
            disk,
            base,
            _dir: None,
        }
    }

    pub(super) fn dest(&self) -> PathBuf {
        self.base.join("dest")
    }

    pub(super) fn request(&self, artifact: &Artifact) -> ReceiveRequest {
        ReceiveRequest {
            snapshot: artifact.id(),
            dest: self.dest(),
            audience: PEER,
            force: false,
            inside: None,
        }
    }

    /// Makes the store know the snapshot, as a ticket does.
    pub(super) fn announce(&self, artifact: &Artifact) {
        let view = self.store.view();
        if view.snapshot(&artifact.id()).expect("readable").is_some() {
            return;
        }
        let batch = self.store.begin();
        batch.put_snapshot(SnapshotRow {
            snapshot: artifact.snapshot,
            kept: false,
            audience: PEER,
            origin: Origin::Received {
                dest: AbsolutePath::new(&self.dest()).expect("absolute"),
            },
            at_unix_s: 0,
            held: Coverage::Ranges(Vec::new()),
            offered: Coverage::Ranges(Vec::new()),
        });
        batch.commit(true).expect("room");
    }

    pub(super) fn receive(&self, request: ReceiveRequest) -> Result<Receive, ReceiveError> {
        self.store.receive(request)
    }

    /// Receives all of an artifact as `request` says. Gives what was done, and the bytes
    /// that had to be sent.
    pub(super) fn get_as(
        &self,
        artifact: &Artifact,
        request: ReceiveRequest,
    ) -> Result<(Received, u64), ReceiveError> {
        self.announce(artifact);
        let receive = self.receive(request)?;
        let sent = send_all(&self.store, &receive, artifact)?;
        Ok((receive.finish(false)?, sent))
    }

    pub(super) fn get(&self, artifact: &Artifact) -> Result<(Received, u64), ReceiveError> {
        self.get_as(artifact, self.request(artifact))
    }

    pub(super) fn root(&self, path: &Path) -> Arc<dyn Root> {
        self.disk.root(path, true).expect("a directory")
    }

    /// Everything beneath the destination.
    pub(super) fn found(&self) -> Things {
        let mut things = Things::new();
        let root = self.root(&self.dest());
        collect(&*root, "", &mut things);
        things
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let root = self.root(&self.dest());
        let file = root
            .open(Path::new(name), OpenMode::Create)
            .expect("a file");
        file.set_len(0).expect("room");
        file.write_at(0, bytes).expect("room");
    }

    /// The same disk after the process has ended without a word.
    pub(super) fn killed(self) -> Self {
        let Self {
            disk,
            base,
            store,
            _dir,
        } = self;
        drop(store);
        Self {
            store: open(&disk, &base),
            disk,
            base,
            _dir,
        }
    }

    /// The same disk after the store was closed and opened again.
    pub(super) fn restarted(self) -> Self {
        let Self {
            disk,
            base,
            store,
            _dir,
        } = self;
        store.close().expect("closable");
        Self {
            store: open(&disk, &base),
            disk,
            base,
            _dir,
        }
    }
}

fn open(disk: &Arc<dyn Disk>, base: &Path) -> Store {
    Store::open(disk.clone(), &base.join("home"), StoreOptions::default()).expect("a store")
}

pub(super) fn read(root: &dyn Root, name: &Path) -> Vec<u8> {
    let file = root.open(name, OpenMode::Read).expect("a file");
    let mut bytes = vec![0; file.identity().expect("readable").size as usize];
    let read = file.read_at(0, &mut bytes).expect("readable");
    assert_eq!(read, bytes.len());
    bytes
}

fn collect(root: &dyn Root, dir: &str, things: &mut Things) {
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

/// Puts pages that were asked for into the store, as the network would.
pub(super) fn send_pages(
    store: &Store,
    artifact: &Artifact,
    pages: &[shoal_protocol::id::PageId],
) -> Result<(), ReceiveError> {
    let batch = store.begin();
    for id in pages {
        let Ok(page) = artifact.pages.page(id);
        batch.put_page(id, &page.expect("a page of the artifact"))?;
    }
    batch.commit(false)?;
    Ok(())
}

pub(super) fn send_run(
    receive: &Receive,
    artifact: &Artifact,
    run: Run,
) -> Result<(), ReceiveError> {
    receive.write(
        run.start,
        &artifact.bytes[run.start as usize..run.end as usize],
    )
}

/// Sends whatever is asked for until all is there. Gives the bytes sent.
pub(super) fn send_all(
    store: &Store,
    receive: &Receive,
    artifact: &Artifact,
) -> Result<u64, ReceiveError> {
    let mut sent = 0;
    loop {
        match receive.next()? {
            Next::Pages(pages) => send_pages(store, artifact, &pages)?,
            Next::Run(run) => {
                send_run(receive, artifact, run)?;
                sent += run.end - run.start;
            }
            Next::Wait => panic!("every run was sent"),
            Next::Done => return Ok(sent),
        }
    }
}

/// Sends until about `bytes` were sent, and leaves the rest.
pub(super) fn send_some(store: &Store, receive: &Receive, artifact: &Artifact, bytes: u64) -> u64 {
    let mut sent = 0;
    while sent < bytes {
        match receive.next().expect("nothing stands in the way") {
            Next::Pages(pages) => send_pages(store, artifact, &pages).expect("room"),
            Next::Run(run) => {
                send_run(receive, artifact, run).expect("right bytes");
                sent += run.end - run.start;
            }
            Next::Wait => panic!("every run was sent"),
            Next::Done => break,
        }
    }
    sent
}
