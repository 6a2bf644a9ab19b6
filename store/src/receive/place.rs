//! Files that are whole get their names, and files that had them already keep them.
//!
//! Owns: the last look before a name changes hands: nothing that the user touched since the
//! receive judged it is replaced, and the last bytes of a kept version are moved aside
//! first. Refuses: to remove directories; what stands in the way waits for the end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use shoal_protocol::paged_list::ChunkRef;
use shoal_protocol::path::ManifestPath;

use super::judge::is_clash;
use super::ledger::Source;
use super::run::Slot;
use super::target::{Start, Target};
use super::{Paths, Receive, ReceiveError, lock};
use crate::disk::{FileIdentity, FileKind};
use crate::index::FileState;
use crate::side_area;

impl Receive {
    /// Gives a file its name. Where it cannot have it yet, because something that goes at the
    /// end stands in the way, it gets it then.
    pub(super) fn place(&self, target: &Arc<Target>) -> Result<(), ReceiveError> {
        match self.try_place(target) {
            Ok(()) => {
                lock(&self.ledger).place(target.clone());
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
        if target.is_staged() {
            let failed = |e| self.failed(target, e);
            place.tree.ensure_parent(target.path()).map_err(failed)?;
            if let Some(found) = self.look(target.path())? {
                self.make_way(target, &found)?;
            }
        }
        (target.finish(&*place.destination.root)).map_err(|e| self.failed(target, e))
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
        let Some(row) = self.untouched(name, found)? else {
            return Ok(false);
        };
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
        let rescued = found.kind == FileKind::Regular && self.rescue(name, &found)?;
        if !rescued {
            let destination = self.destination();
            (destination.root.remove_file(path)).map_err(|e| destination.failed(path, e))?;
        }
        Ok(())
    }
}
