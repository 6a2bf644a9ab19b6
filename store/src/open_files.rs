//! External and owned files that are being read.
//!
//! Owns: a bounded number of open files and their rows, so that a chunk costs no open.
//! Refuses: to judge their bytes.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DiskFile, OpenMode, Root};
use crate::error::StoreError;
use crate::index::{FileId, FileRow, RootId, View};
use crate::store::Inner;

/// Files of a generation, of which two are kept open. When the younger is full, the elder is
/// closed, except for what was used since.
const FILES_MAX: usize = 64;
/// Directories kept open.
const ROOTS_MAX: usize = 32;

/// An open file and what is known of it.
pub(crate) struct OpenFile {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) row: FileRow,
}

#[derive(Default)]
pub(crate) struct OpenFiles {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    young: HashMap<FileId, Arc<OpenFile>>,
    old: HashMap<FileId, Arc<OpenFile>>,
    roots: HashMap<RootId, Arc<dyn Root>>,
}

impl OpenFiles {
    /// Closes everything that nobody is reading.
    pub(crate) fn clear(&self) {
        *self.lock() = Open::default();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, id: FileId) -> Option<Arc<OpenFile>> {
        let mut open = self.lock();
        if let Some(file) = open.young.get(&id) {
            return Some(file.clone());
        }
        let file = open.old.remove(&id)?;
        open.keep(id, file.clone());
        Some(file)
    }
}

impl Open {
    fn keep(&mut self, id: FileId, file: Arc<OpenFile>) {
        if self.young.len() >= FILES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, file);
    }
}

impl Inner {
    /// The file in this state, open; nothing if the index does not know it or it is not
    /// there. It may have changed since: the caller compares identities or bytes.
    pub(crate) fn open_file(
        &self,
        view: &View,
        id: FileId,
    ) -> Result<Option<Arc<OpenFile>>, StoreError> {
        // The row is looked up each time, because its state may have changed.
        let Some(row) = view.file(id)? else {
            return Ok(None);
        };
        if let Some(kept) = self.open_files.kept(id)
            && kept.row == row
        {
            return Ok(Some(kept));
        }
        let Some(file) = self.open_row(view, &row)? else {
            return Ok(None);
        };
        let file = Arc::new(OpenFile { file, row });
        self.open_files.lock().keep(id, file.clone());
        Ok(Some(file))
    }

    fn open_row(
        &self,
        view: &View,
        row: &FileRow,
    ) -> Result<Option<Arc<dyn DiskFile>>, StoreError> {
        let name = Path::new(row.path.as_str());
        let Some(root) = self.root_of(view, row.root)? else {
            return Ok(None);
        };
        match root.open(name, OpenMode::Read) {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_gone(&error) => {
                // Perhaps another directory stands at the root's path by now.
                self.open_files.lock().roots.remove(&row.root);
                let Some(root) = self.root_of(view, row.root)? else {
                    return Ok(None);
                };
                match root.open(name, OpenMode::Read) {
                    Ok(file) => Ok(Some(file)),
                    Err(error) if is_gone(&error) => Ok(None),
                    Err(error) => Err(StoreError::io(root.path().join(name))(error)),
                }
            }
            Err(error) => Err(StoreError::io(root.path().join(name))(error)),
        }
    }

    /// The root with this short name, open; nothing if there is no such directory.
    pub(crate) fn root_of(
        &self,
        view: &View,
        id: RootId,
    ) -> Result<Option<Arc<dyn Root>>, StoreError> {
        if id == RootId::HOME {
            return Ok(Some(self.home.clone()));
        }
        if let Some(root) = self.open_files.lock().roots.get(&id) {
            return Ok(Some(root.clone()));
        }
        let Some(path) = view.root_path(id) else {
            return Ok(None);
        };
        match self.disk.root(path.as_path(), false) {
            Ok(root) => {
                let mut open = self.open_files.lock();
                if open.roots.len() >= ROOTS_MAX {
                    open.roots.clear();
                }
                open.roots.insert(id, root.clone());
                Ok(Some(root))
            }
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(StoreError::io(&path)(error)),
        }
    }
}

/// Whether an error says that there is no such regular file (any more).
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidInput
    )
}
