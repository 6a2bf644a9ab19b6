//! Giving room back.
//!
//! Owns: forgetting snapshots, finding what no snapshot needs, and deleting it in an order that
//! a power cut cannot hurt: first the bytes that stay are safe in their new place, then the
//! index says so, then the old place goes. Refuses: to touch files of the user.

mod mark;
mod repack;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use shoal_protocol::id::SnapshotId;

use self::mark::Marks;
use crate::held::Holdings;
use crate::history::changed_files;
use crate::index::{Coverage, SnapshotRow, View};
use crate::progress::{Phase, Progress};
use crate::survey::Survey;
use crate::{Store, StoreError};

/// What a collection gave back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Snapshots that were kept only as long as their files stood, and these are gone.
    pub snapshots: u64,
    /// Chunks that nothing needs any more.
    pub chunks: u64,
    /// Pages that nothing needs any more.
    pub pages: u64,
    /// Records of files that nothing needs any more.
    pub files: u64,
    /// Packs that were deleted, because nothing in them was needed or after the rest was moved.
    pub packs: u64,
    /// Bytes that were given back to the file system.
    pub bytes_freed: u64,
    /// Bytes that were moved to other packs.
    pub bytes_moved: u64,
}

/// Why a collection stopped. What it had done until then stands, and nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A collection is going on already.
    #[error("a collection is going on already")]
    Busy,
    /// The pages of a snapshot cannot be read, so that it is unknown what it needs.
    #[error("{snapshot} cannot be read: {why}; `shoal verify --repair` may help")]
    Unreadable {
        /// The snapshot.
        snapshot: SnapshotId,
        /// What is wrong.
        why: String,
    },
    /// The listener asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Forgets a snapshot; gives whether it was known. Its bytes stay until
    /// [`Store::collect`] finds that nothing else needs them.
    pub fn forget(&self, snapshot: &SnapshotId) -> Result<bool, StoreError> {
        if self.view().snapshot(snapshot)?.is_none() {
            return Ok(false);
        }
        let batch = self.begin();
        batch.forget_snapshot(snapshot);
        batch.commit(true)?;
        Ok(true)
    }

    /// Deletes what no snapshot needs. Adds and receives may go on meanwhile.
    ///
    /// Snapshots that are not kept stay as long as anything of them is left, and as long as a
    /// destination or an unfinished receive refers to them.
    pub fn collect(&self, progress: &dyn Progress) -> Result<Collected, CollectError> {
        let _alone = self.leases().collecting().ok_or(CollectError::Busy)?;
        progress.phase(Phase::Collecting);
        let mut collected = Collected::default();
        let view = self.view();
        let roots = self.roots_of(view.clone(), progress, &mut collected)?;
        let mut marks = Marks::default();
        marks.snapshots(self, &roots, progress)?;
        sweep::sweep(self, &view, &mut marks, progress, &mut collected)?;
        drop(view);
        // From here on a power cut brings nothing back that was swept.
        self.begin().commit(true)?;
        sweep::sweep_files(self, &marks, &mut collected)?;
        sweep::remove_orphans(self, &mut collected)?;
        repack::repack(self, progress, &mut collected)?;
        Ok(collected)
    }

    /// The snapshots that need their chunks. Those that are not kept and of which nothing is
    /// left are forgotten.
    fn roots_of(
        &self,
        view: Arc<View>,
        progress: &dyn Progress,
        collected: &mut Collected,
    ) -> Result<Vec<SnapshotRow>, CollectError> {
        let receives = view.receives()?.into_iter().map(|row| row.snapshot);
        let destinations = view.destinations()?.into_iter().map(|row| row.snapshot);
        let in_use: HashSet<SnapshotId> = receives.chain(destinations).collect();
        let changed = changed_files(self, &view, progress)?;
        let mut survey = Survey::new(self, Holdings::with_changed(view.clone(), changed));
        let batch = self.begin();
        let mut roots = Vec::new();
        for row in view.snapshots()? {
            if row.kept || in_use.contains(&row.id()) {
                roots.push(row);
                continue;
            }
            let findings = survey.snapshot(&row, &Coverage::Complete, progress)?;
            let tally = findings.ok_or(CollectError::Cancelled)?.tally;
            if tally.kept + tally.volatile > 0 || row.snapshot.bytes == 0 {
                roots.push(row);
            } else {
                batch.forget_snapshot(&row.id());
                collected.snapshots += 1;
            }
        }
        batch.commit(false)?;
        Ok(roots)
    }
}
