//! What a receive must keep, as facts.
//!
//! [`Artifact`] is a snapshot in memory; [`World`] is a disk with a store and a destination.

pub(crate) mod artifact;
mod audience;
mod conflicts;
mod crash;
mod fresh;
mod hostile;
mod likeness;
mod resume;
mod torn;
mod update;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shoal_protocol::paged_list::PageSource;

pub(super) use self::artifact::{Artifact, Thing, Things, collect, noise, path, read, things};
use super::{Next, Receive, ReceiveError, ReceiveRequest, Received, Run};
use crate::disk::faulty::FaultyDisk;
use crate::disk::real::RealDisk;
use crate::disk::{Disk, OpenMode, Root};
use crate::index::{AbsolutePath, AudienceId, Coverage, Origin, SnapshotRow};
use crate::{Store, StoreOptions};

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

/// Puts pages that were asked for into the store, as the network would.
pub(crate) fn send_pages(
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

pub(crate) fn send_run(
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
pub(crate) fn send_all(
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
            Next::Wait | Next::WaitForLast => panic!("every run was sent"),
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
            Next::Wait | Next::WaitForLast => panic!("every run was sent"),
            Next::Done => break,
        }
    }
    sent
}
