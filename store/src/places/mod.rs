//! Where chunks and contents stand, in snapshots that may be read.
//!
//! Owns: files of sorted rows that lead from the front of an id to positions, and the check
//! that what they lead to is so. Refuses: to judge who may read what, which is its caller's to
//! say; and bytes.
//!
//! The rows are a hint and nothing more. What is answered was looked up in the manifest, and
//! is on offer, at the moment of the answer; so a row that is wrong, left over or made up
//! costs a look, and tells nobody anything. Why it is done so is in
//! docs/decisions/0012-places-of-chunks.md.

mod gather;
mod look;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use shoal_protocol::id::SnapshotId;

use crate::Store;
use crate::disk::{OpenMode, Root};
use crate::error::StoreError;
use crate::index::{AudienceId, Coverage, SnapshotRow};
use crate::progress::Progress;
use rows::{Listed, Writer};

pub use look::PLACES_OF_ONE_MAX;

/// The directory with the files.
const DIRECTORY: &str = "places";
/// With more files than this, all become one: every look goes into each.
const FILES_MAX: usize = 8;
/// Snapshots that one set of files can name.
const SNAPSHOTS_MAX: usize = 1 << 16;

/// The open files. Calls block.
pub struct Places {
    home: Arc<dyn Root>,
    files: RwLock<Vec<Arc<Listed>>>,
}

impl Places {
    /// Opens what there is; files that cannot be read are removed. A store has one open at a
    /// time.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let home = store.home().clone();
        let io = || StoreError::io(Path::new(DIRECTORY));
        home.create_dir(Path::new(DIRECTORY)).map_err(io())?;
        let mut files = Vec::new();
        for name in home.list(Path::new(DIRECTORY)).map_err(io())? {
            let name = Path::new(DIRECTORY).join(name);
            let file = home.open(&name, OpenMode::Read).map_err(io())?;
            match Listed::read(name.clone(), file) {
                Some(listed) => files.push(Arc::new(listed)),
                None => home.remove_file(&name).map_err(io())?,
            }
        }
        Ok(Self {
            home,
            files: RwLock::new(files),
        })
    }

    /// Lists the snapshots that `may_offer` allows, that are here whole and not listed yet, and
    /// forgets those that are gone. One that is still being fetched has pages to come, and is
    /// found by its own id meanwhile. Says whether it came to the end: not if the listener asked to
    /// stop. Takes 16 MiB of memory, and 16 bytes of disk for each chunk that is new.
    pub fn refresh(
        &self,
        store: &Store,
        may_offer: &dyn Fn(AudienceId) -> bool,
        progress: &dyn Progress,
    ) -> Result<bool, StoreError> {
        let rows = offered(store, may_offer)?;
        let wanted: HashSet<_> = rows.iter().map(SnapshotRow::id).collect();
        let files = self.files();
        let listed: HashSet<SnapshotId> =
            (files.iter().flat_map(|file| file.snapshots.iter().copied())).collect();
        let is_new =
            |row: &SnapshotRow| row.held == Coverage::Complete && !listed.contains(&row.id());
        let is_stale = listed.iter().any(|id| !wanted.contains(id));
        if !is_stale && !rows.iter().any(is_new) {
            return Ok(true);
        }
        let anew = is_stale || files.len() >= FILES_MAX;
        let name = self.free_name(&files);
        let mut writer = Writer::new(store)?;
        let mut before = None;
        for row in &rows {
            let is_kept = anew && listed.contains(&row.id());
            if is_kept || is_new(row) {
                let into = &mut writer;
                if !gather::snapshot(store, before, row, into, progress)? {
                    return Ok(false);
                }
            }
            if gather::is_whole(row) {
                before = Some(row);
            }
        }
        let made = writer.finish(&*self.home, name)?;
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if anew {
            for old in files.drain(..) {
                let removed = self.home.remove_file(&old.name);
                removed.map_err(StoreError::io(&old.name))?;
            }
        }
        files.push(Arc::new(made));
        Ok(true)
    }

    fn files(&self) -> Vec<Arc<Listed>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.clone()
    }

    fn free_name(&self, files: &[Arc<Listed>]) -> PathBuf {
        let mut names = (0u64..).map(|n| Path::new(DIRECTORY).join(format!("{n:08x}")));
        let is_free = |name: &PathBuf| files.iter().all(|file| file.name != *name);
        names.find(is_free).expect("numbers do not end")
    }
}

/// The snapshots that may be offered, oldest first; of too many, the newest.
fn offered(
    store: &Store,
    may_offer: &dyn Fn(AudienceId) -> bool,
) -> Result<Vec<SnapshotRow>, StoreError> {
    let mut rows = store.view().snapshots()?;
    rows.retain(|row| may_offer(row.audience));
    rows.sort_by_key(|row| (row.at_unix_s, row.id()));
    let surplus = rows.len().saturating_sub(SNAPSHOTS_MAX);
    rows.drain(..surplus);
    Ok(rows)
}
