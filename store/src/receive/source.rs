//! Finds where a chunk that is not in its place can come from.
//!
//! Owns: the order of places: on its way already, in this receive, in the store, with
//! others. Refuses: to copy; see [`super::fill`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fill::{From, Job};
use super::plan::Plan;
use super::run::Slot;
use super::target::Target;
use super::{Receive, ReceiveError, lock};
use crate::disk::OpenMode;
use crate::index::{Extent, FileRow, FileState, RootId};

impl Receive {
    /// Finds a source for a chunk that is not in its place.
    pub(super) fn find_source(&self, plan: &mut Plan, slot: Slot) -> Result<(), ReceiveError> {
        {
            let mut ledger = lock(&self.ledger);
            if ledger.is_awaited(&slot.id) {
                ledger.await_chunk(&slot);
                return Ok(());
            }
            if let Some((target, offset)) = ledger.recent(&slot.id) {
                plan.add_job(Job::new(slot, From::Recent { target, offset }));
                return Ok(());
            }
        }
        let Some(row) = self.store.chunk(&slot.id)? else {
            if lock(&self.ledger).await_chunk(&slot) {
                plan.add_to_run(slot);
            }
            return Ok(());
        };
        let cloned = match slot.offset {
            0 if plan.reflinks => self.reflink(plan, &slot.target, &row.extents)?,
            _ => None,
        };
        plan.add_job(match cloned {
            Some(target) => Job::new(Slot { target, ..slot }, From::Place),
            None => Job::new(slot, From::Store(row.audiences)),
        });
        Ok(())
    }

    /// Makes the staging file of `target` share the blocks of another file with the same
    /// content, where the file system can. Its bytes are then verified like any that are
    /// found in the staging area.
    fn reflink(
        &self,
        plan: &mut Plan,
        target: &Target,
        extents: &[Extent],
    ) -> Result<Option<Arc<Target>>, ReceiveError> {
        let view = self.store.view();
        for extent in extents {
            let Extent::File { file, offset: 0 } = extent else {
                continue;
            };
            let Some(row) = view.file(*file)? else {
                continue;
            };
            if row.content != target.content || row.state == FileState::Suspect {
                continue;
            }
            match self.clone_file(&row, target) {
                Ok(true) => {
                    let target = Arc::new(target.restaged());
                    plan.restart_file(target.clone());
                    return Ok(Some(target));
                }
                Ok(false) => plan.reflinks = false,
                Err(e) if e.kind() == io::ErrorKind::CrossesDevices => plan.reflinks = false,
                // The other file is gone: its bytes are looked for elsewhere.
                Err(_) => {}
            }
            return Ok(None);
        }
        Ok(None)
    }

    fn clone_file(&self, row: &FileRow, target: &Target) -> io::Result<bool> {
        let root = match self.store.view().root_path(row.root) {
            Some(path) => self.store.disk().root(path.as_path(), false)?,
            None if row.root == RootId::HOME => self.store.home().clone(),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let source = root.open(Path::new(row.path.as_str()), OpenMode::Read)?;
        if source.identity()? != row.identity {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.destination().root.reflink(&*source, &target.staged)
    }
}
