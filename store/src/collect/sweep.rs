//! Forgetting what no snapshot needs.
//!
//! Owns: the candidates, and the last look at each of them behind the closed gate. Refuses:
//! packs; those shrink when they are [repacked](super::repack).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shoal_protocol::id::{ChunkId, PageId};

use super::mark::Marks;
use super::{CollectError, Collected};
use crate::disk::FileKind;
use crate::index::{
    ChunkRow, Extent, FileClass, FileId, FileRow, PackSpot, RootId, SnapshotRow, View,
};
use crate::lease::Closed;
use crate::progress::Progress;
use crate::side_area::kept_id;
use crate::{Batch, Store, StoreError};

/// How many rows are forgotten while the gate is closed.
const ROWS_MAX: usize = 4096;

/// Something that nothing needed when it was looked at first.
enum Candidate {
    Chunk(ChunkId, ChunkRow),
    Page(PageId, PackSpot),
}

struct Sweep<'a> {
    store: &'a Store,
    marks: &'a mut Marks,
    progress: &'a dyn Progress,
    collected: &'a mut Collected,
    candidates: Vec<Candidate>,
}

/// Forgets the chunks and pages that are in `view` and not marked.
pub(super) fn sweep(
    store: &Store,
    view: &View,
    marks: &mut Marks,
    progress: &dyn Progress,
    collected: &mut Collected,
) -> Result<(), CollectError> {
    let mut sweep = Sweep {
        store,
        marks,
        progress,
        collected,
        candidates: Vec::new(),
    };
    for chunk in view.chunks()? {
        let (id, row) = chunk?;
        if !sweep.needs(&id, &row) {
            sweep.add(Candidate::Chunk(id, row))?;
        }
    }
    for page in view.pages()? {
        let (id, spot, _) = page?;
        if !sweep.marks.has(id.as_bytes()) {
            sweep.add(Candidate::Page(id, spot))?;
        }
    }
    sweep.forget()
}

fn file_of(extent: &Extent) -> Option<FileId> {
    match extent {
        Extent::File { file, .. } => Some(*file),
        Extent::Pack(_) => None,
    }
}

impl Sweep<'_> {
    fn needs(&self, id: &ChunkId, row: &ChunkRow) -> bool {
        // Of an unfinished snapshot some chunks are known only by lying in its files.
        let unknown = self.marks.partial && row.extents.iter().any(|e| file_of(e).is_some());
        unknown || self.marks.has(id.as_bytes())
    }

    fn add(&mut self, candidate: Candidate) -> Result<(), CollectError> {
        self.candidates.push(candidate);
        if self.candidates.len() >= ROWS_MAX {
            self.forget()?;
        }
        Ok(())
    }

    /// Forgets the candidates that still nothing needs.
    fn forget(&mut self) -> Result<(), CollectError> {
        if self.progress.cancelled() {
            return Err(CollectError::Cancelled);
        }
        let store = self.store;
        let closed = loop {
            let closed = store.leases().close();
            let new = self.new_snapshots()?;
            if new.is_empty() {
                break closed;
            }
            drop(closed);
            self.marks.snapshots(store, &new, self.progress)?;
        };
        let view = store.view();
        let batch = store.begin();
        for candidate in std::mem::take(&mut self.candidates) {
            self.forget_one(candidate, &view, &closed, &batch)?;
        }
        batch.commit_behind(&closed)?;
        Ok(())
    }

    fn new_snapshots(&self) -> Result<Vec<SnapshotRow>, StoreError> {
        let mut rows = self.store.view().snapshots()?;
        rows.retain(|row| !self.marks.has_snapshot(&row.id()));
        Ok(rows)
    }

    fn forget_one(
        &mut self,
        candidate: Candidate,
        view: &View,
        closed: &Closed<'_>,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        match candidate {
            Candidate::Chunk(id, row) => {
                let same = view.chunk(&id)?.as_ref() == Some(&row);
                if same && !self.needs(&id, &row) && !closed.covers(id.as_bytes()) {
                    batch.forget_chunk(&id);
                    self.collected.chunks += 1;
                }
            }
            Candidate::Page(id, spot) => {
                let same = view.page_spot(&id)?.is_some_and(|(now, _)| now == spot);
                if same && !self.marks.has(id.as_bytes()) && !closed.covers(id.as_bytes()) {
                    batch.forget_page(&id);
                    self.collected.pages += 1;
                }
            }
        }
        Ok(())
    }
}

/// Forgets files in which no chunk lies any more, and removes those of the store's own. Only
/// while nothing else is going on: an add relies on files without saying on which.
pub(super) fn sweep_files(
    store: &Store,
    marks: &Marks,
    collected: &mut Collected,
) -> Result<(), CollectError> {
    let view = store.view();
    let mut used = HashSet::new();
    for chunk in view.chunks()? {
        used.extend(chunk?.1.extents.iter().filter_map(file_of));
    }
    let batch = store.begin();
    let mut owned = Vec::new();
    let roots = view.roots().into_iter().map(|(root, _)| root);
    for root in roots.chain([RootId::HOME]) {
        for row in view.files(root, None)? {
            let row = row?;
            if used.contains(&row.id) || marks.partial {
                continue;
            }
            match row.class {
                FileClass::External if marks.has_content(&row.content) => continue,
                FileClass::External => batch.forget_file(row.id),
                FileClass::Owned => {
                    batch.forget_file(row.id);
                    owned.push(row);
                }
            }
            collected.files += 1;
        }
    }
    let closed = store.leases().close();
    if store.leases().any() || !Arc::ptr_eq(&store.view(), &view) {
        collected.files = 0;
        return Ok(());
    }
    batch.commit_behind(&closed)?;
    drop(closed);
    if owned.is_empty() {
        return Ok(());
    }
    store.begin().commit(true)?;
    for row in owned {
        if remove(store, &row) {
            collected.bytes_freed += row.identity.allocated;
        }
    }
    Ok(())
}

/// Removes a file of the store's own that the index has forgotten.
fn remove(store: &Store, row: &FileRow) -> bool {
    let root = match row.root {
        RootId::HOME => Some(store.home().clone()),
        root => {
            let path = store.view().root_path(root);
            path.and_then(|path| store.disk().root(path.as_path(), false).ok())
        }
    };
    root.is_some_and(|root| root.remove_file(Path::new(row.path.as_str())).is_ok())
}

/// Removes clones that no row names: what adds left behind that did not finish.
pub(super) fn remove_orphans(store: &Store, collected: &mut Collected) -> Result<(), CollectError> {
    let closed = store.leases().close();
    if store.leases().any() {
        return Ok(());
    }
    let home = store.home();
    let io = |path: &Path| StoreError::io(home.path().join(path));
    let mut known = HashSet::new();
    let mut orphans = Vec::new();
    for row in store.view().files(RootId::HOME, None)? {
        known.insert(PathBuf::from(row?.path.as_str()));
    }
    let files = Path::new("files");
    for name in home.list(files).map_err(io(files))? {
        let path = files.join(&name);
        let found = home.stat(&path).map_err(io(&path))?;
        if found.is_some_and(|found| found.kind == FileKind::Directory) {
            for name in home.list(&path).map_err(io(&path))? {
                orphans.push(path.join(name));
            }
        } else if !is_awaited(store, &name)? {
            orphans.push(path);
        }
    }
    orphans.retain(|path| !known.contains(path));
    for path in orphans {
        let found = home.stat(&path).map_err(io(&path))?;
        home.remove_file(&path).map_err(io(&path))?;
        collected.bytes_freed += found.map_or(0, |found| found.allocated);
    }
    drop(closed);
    Ok(())
}

/// Whether a file was moved aside of which the index has not learnt yet.
fn is_awaited(store: &Store, name: &OsStr) -> Result<bool, StoreError> {
    let Some(id) = kept_id(name) else {
        return Ok(false);
    };
    Ok(store.view().file(id)?.is_some())
}
