//! How safe the bytes of a chunk are.
//!
//! Owns: the distinction between bytes that are the store's, bytes that are in files of the
//! user, and bytes that are nowhere. Refuses: to read any of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use shoal_protocol::id::ChunkId;

use crate::StoreError;
use crate::index::{ChunkRow, Extent, FileClass, FileId, View};

/// Where the bytes of a chunk are, the safest place counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Held {
    /// Nowhere on this disk.
    No,
    /// Only in files that are not, or may not be, as they were: perhaps nowhere.
    Changed,
    /// Only in files of the user.
    Volatile,
    /// In a pack or in a file of the store's own.
    Kept,
}

/// Looks chunks up in one state of the index, and remembers whose files are whose.
pub(crate) struct Holdings {
    view: Arc<View>,
    files: RwLock<HashMap<FileId, Option<FileClass>>>,
    changed: HashSet<FileId>,
}

impl Holdings {
    /// What this state of the index says.
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            files: RwLock::default(),
            changed: HashSet::new(),
        }
    }

    /// As [`Holdings::new`], where these files differ, or may differ, from what the index
    /// says.
    pub(crate) fn with_changed(view: Arc<View>, changed: HashSet<FileId>) -> Self {
        Self {
            changed,
            ..Self::new(view)
        }
    }

    /// The state of the index.
    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Where a chunk is.
    pub(crate) fn chunk(&self, id: &ChunkId) -> Result<Held, StoreError> {
        self.view
            .chunk(id)?
            .map_or(Ok(Held::No), |row| self.row(&row))
    }

    /// Where a chunk with this row is.
    pub(crate) fn row(&self, row: &ChunkRow) -> Result<Held, StoreError> {
        let mut best = Held::No;
        for extent in &row.extents {
            best = best.max(self.extent(extent)?);
            if best == Held::Kept {
                break;
            }
        }
        Ok(best)
    }

    /// How safe one place is; [`Held::No`] if it is in a state of a file that is gone.
    pub(crate) fn extent(&self, extent: &Extent) -> Result<Held, StoreError> {
        let file = match extent {
            Extent::Pack(_) => return Ok(Held::Kept),
            Extent::File { file, .. } => *file,
        };
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let known = files.get(&file).copied();
        drop(files);
        let class = match known {
            Some(class) => class,
            None => {
                let class = self.view.file(file)?.map(|row| row.class);
                let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
                files.insert(file, class);
                class
            }
        };
        Ok(match class {
            None => Held::No,
            Some(_) if self.changed.contains(&file) => Held::Changed,
            Some(FileClass::External) => Held::Volatile,
            Some(FileClass::Owned) => Held::Kept,
        })
    }
}
