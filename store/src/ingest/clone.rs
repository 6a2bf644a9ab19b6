//! Clones: files of the store that share their blocks with the user's (reflinks).
//!
//! Owns: finding out whether the file systems can, making clones under a file's short name,
//! and removing those that turn out to be superfluous. Refuses: copies.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shoal_protocol::manifest::Content;
use shoal_protocol::path::ManifestPath;

use super::shelf::Shelf;
use crate::StoreError;
use crate::disk::{DiskFile, OpenMode, Root};
use crate::index::{FileClass, FileId, FileRow, FileState, RootId};

/// Smaller files are copied: a pack takes them at less cost than a file of their own.
pub(super) const CLONE_BYTES_MIN: u64 = 1 << 20;

/// Makes clones, as long as the file systems can.
pub(super) struct Clones {
    home: Arc<dyn Root>,
    possible: AtomicBool,
}

/// A file of the store's own that has the blocks of one of the user's.
pub(super) struct Cloned {
    pub id: FileId,
    pub file: Arc<dyn DiskFile>,
    name: ManifestPath,
}

impl Clones {
    /// Clones into the store at `home`, if they are wanted at all.
    pub(super) fn new(home: Arc<dyn Root>, wanted: bool) -> Self {
        Self {
            home,
            possible: AtomicBool::new(wanted),
        }
    }

    /// Whether no clone has failed yet.
    pub(super) fn possible(&self) -> bool {
        self.possible.load(Ordering::Relaxed)
    }

    /// Clones `source`; nothing where that is not possible.
    pub(super) fn make(
        &self,
        source: &dyn DiskFile,
        id: FileId,
    ) -> Result<Option<Cloned>, StoreError> {
        if !self.possible() {
            return Ok(None);
        }
        let name = name(id);
        let path = PathBuf::from(name.as_str());
        let error = || StoreError::io(self.home.path().join(&path));
        if let Some(dir) = path.parent() {
            self.home.create_dir(dir).map_err(error())?;
        }
        let mut made = self.home.reflink(source, &path);
        if matches!(&made, Err(e) if e.kind() == io::ErrorKind::AlreadyExists) {
            // A power cut took back the short name and left the clone.
            self.home.remove_file(&path).map_err(error())?;
            made = self.home.reflink(source, &path);
        }
        if !made.map_err(error())? {
            self.possible.store(false, Ordering::Relaxed);
            return Ok(None);
        }
        let file = self.home.open(&path, OpenMode::Read).map_err(error())?;
        Ok(Some(Cloned { id, file, name }))
    }

    /// Removes a clone that nothing points to.
    pub(super) fn remove(&self, cloned: &Cloned) -> Result<(), StoreError> {
        let path = PathBuf::from(cloned.name.as_str());
        let removed = self.home.remove_file(&path);
        removed.map_err(StoreError::io(self.home.path().join(&path)))
    }

    /// Keeps a clone with this content.
    pub(super) fn keep(
        &self,
        cloned: &Cloned,
        content: Content,
        shelf: &Shelf<'_>,
    ) -> Result<(), StoreError> {
        let path = self.home.path().join(cloned.name.as_str());
        shelf.with_batch(|batch| batch.sync_first(self.home.clone()));
        shelf.put_file(FileRow {
            id: cloned.id,
            root: RootId::HOME,
            path: cloned.name.clone(),
            identity: cloned.file.identity().map_err(StoreError::io(path))?,
            content,
            class: FileClass::Owned,
            state: FileState::Trusted,
            settled: true,
        });
        Ok(())
    }
}

/// Where the clone with this id stands, beneath the store's own directory.
fn name(id: FileId) -> ManifestPath {
    let text = format!("files/{:02x}/{:x}", id.0 & 0xff, id.0);
    ManifestPath::new(text).expect("a path of two short components")
}
