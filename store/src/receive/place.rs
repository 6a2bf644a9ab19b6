//! Files that are whole get their names, and files that had them already keep them.
//!
//! Owns: the last look before a name changes hands: nothing that the user touched since the
//! receive judged it is replaced, and the last bytes of a kept version are moved aside
//! first. Refuses: to remove directories; what stands in the way waits for the end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use shoal_protocol::paged_list::ChunkRef;
use shoal_protocol::path::ManifestPath;

use super::judge::{is_clash, is_obstructed};
use super::ledger::Source;
use super::run::Slot;
use super::target::{Start, Target};
use super::{Paths, Receive, ReceiveError, lock};
use crate::disk::{FileIdentity, FileKind};
use crate::index::FileState;
use crate::side_area;

/// Files that are synced one by one; for more, the whole file system is.
const SYNCED_ALONE_MAX: usize = 32;

impl Receive {
    /// Gives a file its name. Where something stands that it replaces, or that goes at the
    /// end, it waits for [`Self::place_late`].
    pub(super) fn place(&self, target: &Arc<Target>) -> Result<(), ReceiveError> {
        if target.replaces.is_some() && target.is_staged() {
            let mut ledger = lock(&self.ledger);
            ledger.defer(target.clone());
            let due = ledger.is_late();
            drop(ledger);
            return if due { self.place_late(false) } else { Ok(()) };
        }
        let written = target.is_staged();
        match self.try_place(target) {
            Ok(()) => {
                lock(&self.ledger).place(target.clone(), written);
                Ok(())
            }
            Err(ReceiveError::Disk { source, .. }) if is_clash(&source) => {
                lock(&self.ledger).defer(target.clone());
                Ok(())
            }
            Err(error) => {
                lock(&self.ledger).defer(target.clone());
                Err(error)
            }
        }
    }

    /// As [`Self::place`], with the reason why it cannot.
    pub(super) fn try_place(&self, target: &Arc<Target>) -> Result<(), ReceiveError> {
        let place = self.place_known();
        let root = &*place.destination.root;
        let failed = |e| self.failed(target, e);
        if target.is_staged() {
            place.tree.ensure_parent(target.path()).map_err(failed)?;
        }
        // Most names are free, and then this is all.
        match target.finish(root, false) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map_err(failed),
        }
        if let Some(found) = self.look(target.path())? {
            self.make_way(target, &found)?;
        }
        target.finish(root, true).map_err(failed)
    }

    /// Gives the files their names that had to wait. Their bytes survive a power cut before
    /// they replace others. At the `end` nothing may be left waiting.
    pub(super) fn place_late(&self, end: bool) -> Result<(), ReceiveError> {
        let late = lock(&self.ledger).take_late();
        let mut clashes = Paths::default();
        let mut result = self.sync_late(&late);
        for target in late {
            let placed = match &result {
                Ok(()) if end => self.clear_way(&target.name),
                Ok(()) => Ok(()),
                Err(_) => {
                    lock(&self.ledger).defer(target);
                    continue;
                }
            };
            let written = target.is_staged();
            match placed.and_then(|()| self.try_place(&target)) {
                Ok(()) => {
                    let mut ledger = lock(&self.ledger);
                    ledger.change_name(target.path());
                    ledger.place(target, written);
                }
                Err(error) => {
                    let clash =
                        matches!(&error, ReceiveError::Disk { source, .. } if is_clash(source));
                    if clash {
                        clashes.push(target.name.as_str());
                    } else {
                        result = Err(error);
                    }
                    lock(&self.ledger).defer(target);
                }
            }
        }
        lock(&self.ledger).leave_late();
        result?;
        if clashes.is_empty() || !end {
            return Ok(());
        }
        Err(ReceiveError::KindClash {
            dest: self.dest.as_path().to_owned(),
            paths: clashes,
        })
    }

    fn sync_late(&self, late: &[Arc<Target>]) -> Result<(), ReceiveError> {
        let destination = self.destination();
        let staged = || late.iter().filter(|target| target.is_staged());
        if staged().count() > SYNCED_ALONE_MAX {
            staged().try_for_each(|target| {
                let synced = target.wait_for_syncs(&*destination.root);
                synced.map_err(|e| self.failed(target, e))
            })?;
            let synced = destination.root.sync_all();
            return synced.map_err(|e| {
                staged().for_each(|target| target.discard(&*destination.root));
                destination.failed(Path::new(""), e)
            });
        }
        staged().try_for_each(|target| {
            let synced = target.sync(&*destination.root);
            synced.map_err(|e| self.failed(target, e))
        })
    }

    /// Makes the names of an earlier version that went or changed hands survive a power cut:
    /// once the index forgets that version, nobody would know them any more.
    pub(super) fn sync_names(&self) -> Result<(), ReceiveError> {
        let destination = self.destination();
        let directories = lock(&self.ledger).changed_directories();
        if directories.len() > SYNCED_ALONE_MAX {
            let synced = destination.root.sync_all();
            return synced.map_err(|e| destination.failed(Path::new(""), e));
        }
        for directory in directories {
            match destination.root.sync_dir(&directory) {
                Err(e) if !is_obstructed(&e) => return Err(destination.failed(&directory, e)),
                // It is gone too; that stands in the one above.
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what stands on the way to `name`, as far as it may go.
    pub(super) fn clear_way(&self, name: &ManifestPath) -> Result<(), ReceiveError> {
        let place = self.place_known();
        let path = Path::new(name.as_str());
        let failed = |e| place.destination.failed(path, e);
        if let Some(obstacle) = place.tree.obstacle(path).map_err(failed)? {
            let text = obstacle.to_str().expect("a part of a name is text");
            let obstacle = ManifestPath::new(text).expect("a part of a path is a path");
            if !self.may_remove(&obstacle)? {
                return Err(self.edited(&obstacle));
            }
            self.remove(&obstacle)?;
        }
        let found = self.look(path)?;
        if found.is_some_and(|found| found.kind == FileKind::Directory) {
            // It goes if it is empty, now that what left has left.
            let _ = place.destination.root.remove_dir(path);
        }
        Ok(())
    }

    /// Looks once more at what a file is about to replace.
    fn make_way(&self, target: &Target, found: &FileIdentity) -> Result<(), ReceiveError> {
        let judged = target.replaces.as_ref() == Some(found);
        if !judged && !self.request.force && target.start != (Start::Standing { ours: true }) {
            let dest = self.dest.as_path().to_owned();
            let paths = Paths::one(target.name.as_str());
            return Err(
                if target.replaces.is_none() && self.destination().folds_case() {
                    ReceiveError::NamesCollide { dest, paths }
                } else {
                    ReceiveError::Edited { dest, paths }
                },
            );
        }
        if found.kind == FileKind::Regular {
            self.rescue(&target.name, found)?;
        }
        Ok(())
    }

    /// Moves the file at `name`, which is about to go, to the side area if it holds the last
    /// bytes of a version that is kept.
    pub(super) fn rescue(
        &self,
        name: &ManifestPath,
        found: &FileIdentity,
    ) -> Result<bool, ReceiveError> {
        let Some(row) = self.row_at(name)? else {
            return Ok(false);
        };
        let untouched =
            row.identity == *found || self.holds(name, found.size, &row.content).unwrap_or(false);
        if !untouched {
            return Ok(false);
        }
        let file = row.id;
        let root = &self.destination().root;
        // What has landed in this receive is a further place for its chunks.
        let elsewhere = |id: &_| lock(&self.ledger).recent(id).is_some();
        let moved =
            self.keeps_files_here()? && side_area::rescue(&self.store, root, row, &elsewhere)?;
        if moved {
            self.moved_aside.fetch_add(1, Ordering::Relaxed);
        } else {
            lock(&self.ledger).forget_file(file);
        }
        Ok(moved)
    }

    /// Whether files that stand here may be the only bytes of a version that is kept.
    fn keeps_files_here(&self) -> Result<bool, ReceiveError> {
        if let Some(known) = self.keeps_files.get() {
            return Ok(*known);
        }
        let keeps = side_area::keeps_files_at(&self.store, self.dest.as_path())?;
        Ok(*self.keeps_files.get_or_init(|| keeps))
    }

    /// Whether the have-map, as it was last recorded, speaks for a staging file: it is in
    /// the state that was recorded with it, and the store was closed properly since.
    pub(super) fn is_vouched(&self, target: &Target) -> Result<bool, ReceiveError> {
        let Some(path) = target
            .staged
            .to_str()
            .and_then(|p| ManifestPath::new(p).ok())
        else {
            return Ok(false);
        };
        let view = self.store.view();
        let Some(root) = view.root_id(self.root_path()) else {
            return Ok(false);
        };
        let Some(row) = view.file_at(root, &path)? else {
            return Ok(false);
        };
        // The extents in the recorded state stay, under the same short name.
        let _ = target.id.set(row.id);
        let found = self.look(&target.staged)?;
        Ok(row.state != FileState::Suspect && found == Some(row.identity))
    }

    /// Whether the have-map has a slot.
    pub(super) fn is_mapped(&self, slot: &Slot) -> bool {
        self.mapped(slot.position..slot.end()).0
    }

    /// Notes a chunk that the have-map speaks for. The index knows where it lies.
    pub(super) fn land_vouched(&self, slot: &Slot) {
        let (_, offered) = self.mapped(slot.position..slot.end());
        lock(&self.ledger).cover(slot.position, slot.length, offered, Source::Resumed);
        self.count_landed(&slot.target, u64::from(slot.length));
    }

    /// Notes a chunk of a file that stands there as it should be.
    pub(super) fn keep_chunk(&self, position: u64, chunk: &ChunkRef) -> Result<(), ReceiveError> {
        let row = self.store.chunk(&chunk.id)?;
        let offered = row.is_some_and(|row| row.audiences.contains(&self.request.audience));
        lock(&self.ledger).cover(position, chunk.length, offered, Source::Resumed);
        Ok(())
    }

    /// Removes what stands at `name` and is no directory, after a last look.
    pub(super) fn remove(&self, name: &ManifestPath) -> Result<(), ReceiveError> {
        let path = Path::new(name.as_str());
        let Some(found) = self.look(path)? else {
            return Ok(());
        };
        lock(&self.ledger).change_name(path);
        let rescued = found.kind == FileKind::Regular && self.rescue(name, &found)?;
        if !rescued {
            let destination = self.destination();
            (destination.root.remove_file(path)).map_err(|e| destination.failed(path, e))?;
        }
        Ok(())
    }
}
