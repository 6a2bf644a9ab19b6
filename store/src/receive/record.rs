//! Tells the index what has landed.
//!
//! Owns: the rows of a receive, and that they are written in big batches: never for each
//! chunk or file. Refuses: to sync the files; their rows say that they are not.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use shoal_protocol::have::RangeSet;
use shoal_protocol::path::ManifestPath;

use super::ledger::Unrecorded;
use super::target::{Start, Target};
use super::{Receive, ReceiveError, lock};
use crate::Batch;
use crate::index::{Coverage, Extent, FileClass, FileRow, FileState, RootId, SnapshotRow};

/// Seconds since the epoch.
pub(super) fn now_unix_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

fn now_ns() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as i128)
}

impl Receive {
    /// Makes the index know all that has landed; with `durable`, so that it still does after
    /// the process ended.
    pub(super) fn record(&self, durable: bool) -> Result<(), ReceiveError> {
        if !self.has_begun() {
            return Ok(());
        }
        let _order = lock(&self.recording);
        let unrecorded = lock(&self.ledger).take_unrecorded();
        let batch = self.store.begin();
        let written = (self.put_unrecorded(&batch, &unrecorded))
            .and_then(|()| self.put_maps(&batch, &unrecorded))
            .and_then(|()| Ok(batch.commit(durable)?));
        let mut ledger = lock(&self.ledger);
        match written {
            Ok(()) => ledger.recorded(&unrecorded),
            Err(_) => ledger.unrecorded(unrecorded),
        }
        written
    }

    /// Puts the rows of files and chunks.
    pub(super) fn put_unrecorded(
        &self,
        batch: &Batch,
        unrecorded: &Unrecorded,
    ) -> Result<(), ReceiveError> {
        let root = batch.root(self.root_path());
        for file in &unrecorded.gone {
            batch.forget_file(*file);
        }
        for target in &unrecorded.placed {
            self.put_file(batch, root, target)?;
        }
        let mut partial: HashMap<u64, &Arc<Target>> = HashMap::new();
        for landed in &unrecorded.landed {
            let slot = &landed.slot;
            let file = *slot.target.id.get_or_init(|| batch.new_file());
            let extent = Extent::File {
                file,
                offset: slot.offset,
            };
            batch.add_extent(&slot.id, slot.length, extent, landed.audience);
            partial.insert(slot.target.index, &slot.target);
        }
        for target in &unrecorded.placed {
            partial.remove(&target.index);
        }
        for target in partial.into_values() {
            self.put_file(batch, root, target)?;
        }
        Ok(())
    }

    /// Puts the row of a file where it is now, whole or not.
    fn put_file(
        &self,
        batch: &Batch,
        root: RootId,
        target: &Arc<Target>,
    ) -> Result<(), ReceiveError> {
        let identity =
            (target.identity(&*self.destination().root)).map_err(|e| self.failed(target, e))?;
        let path = match target.placed() {
            Some(_) => target.name.clone(),
            None => path_of(&target.place()),
        };
        // A file under its final name is believed to be what its row says; while its bytes
        // are still being looked at, the row must not say so.
        let doubted = target.placed().is_none() && matches!(target.start, Start::Standing { .. });
        batch.put_file(FileRow {
            id: *target.id.get_or_init(|| batch.new_file()),
            root,
            path,
            identity,
            content: target.content,
            class: FileClass::External,
            state: if doubted {
                FileState::Suspect
            } else {
                FileState::Unsynced
            },
            settled: identity.is_settled(now_ns()),
        });
        Ok(())
    }

    /// Puts the have-maps: for whoever serves, and for a later receive.
    fn put_maps(&self, batch: &Batch, unrecorded: &Unrecorded) -> Result<(), ReceiveError> {
        let (held, offered) = (&unrecorded.held, &unrecorded.offered);
        batch.put_receive(self.receive_row(held, offered));
        if let Some(row) = self.store.view().snapshot(&self.request.snapshot)? {
            batch.put_snapshot(self.covered(row, held, offered));
        }
        Ok(())
    }

    /// The row of the snapshot with what is here besides what was.
    pub(super) fn covered(
        &self,
        mut row: SnapshotRow,
        held: &RangeSet,
        offered: &RangeSet,
    ) -> SnapshotRow {
        row.held = self.with(&row.held, held);
        row.offered = self.with(&row.offered, offered);
        row
    }

    fn with(&self, coverage: &Coverage, more: &RangeSet) -> Coverage {
        let Coverage::Ranges(ranges) = coverage else {
            return Coverage::Complete;
        };
        let known: RangeSet = ranges.iter().cloned().collect();
        let all = known.union(more);
        if all.contains_range(0..self.snapshot.bytes) {
            Coverage::Complete
        } else {
            Coverage::Ranges(all.iter().collect())
        }
    }
}

/// The path of a staging file as the index keeps it.
fn path_of(staged: &Path) -> ManifestPath {
    let text = staged.to_str().expect("names of staging files are text");
    ManifestPath::new(text).expect("names of staging files are plain")
}
