//! Whether what the index says is true, and putting right what is not.
//!
//! Owns: hashing everything again, dropping places that hold other bytes, and the list of what
//! must come from elsewhere. Refuses: to fetch; the node does, and hands the bytes to
//! [`Store::repair_chunk`].

mod hashing;
mod places;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;

use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{ChunkId, PageId, SnapshotId};
use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::paged_list::{self, ChunkRef};
use shoal_protocol::size::Size;
use shoal_protocol::snapshot::Snapshot;

use self::hashing::Hashing;
use crate::doubt::suspects;
use crate::held::Holdings;
use crate::index::{AudienceId, Coverage, Origin, SnapshotRow};
use crate::ingest::PathList;
use crate::progress::{Phase, Progress, Silent};
pub use crate::survey::FileLoss;
use crate::survey::{Survey, page_of};
use crate::{Batch, ReadError, Store, StoreError};

/// What to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyScope {
    /// Every place of every chunk, and every snapshot.
    All,
    /// What one snapshot needs.
    Snapshot(SnapshotId),
    /// What lies in files that were not synced when the machine stopped, so that it may be
    /// offered again.
    Suspect,
}

/// What a verification found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Bytes that were read and hashed.
    pub bytes_hashed: u64,
    /// Places that did not hold what they should; they are forgotten.
    pub damaged: PathList<DamagedPlace>,
    /// Places that cannot be looked at now; they are not forgotten.
    pub away: PathList<DamagedPlace>,
    /// The snapshots that were looked at.
    pub snapshots: Vec<SnapshotHealth>,
}

impl VerifyReport {
    /// Whether every snapshot that was looked at has every byte that it claims to have.
    pub fn is_whole(&self) -> bool {
        self.snapshots.iter().all(SnapshotHealth::is_whole)
    }
}

/// A file in which bytes were not what they should be, or could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPlace {
    /// The file: a pack, an owned file, or the user's.
    pub path: PathBuf,
    /// How many bytes.
    pub bytes: u64,
    /// What the matter is, in a few words.
    pub why: String,
}

impl std::fmt::Display for DamagedPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, bytes, why } = self;
        write!(f, "{}: {} {why}", path.display(), Size(*bytes))
    }
}

/// How a snapshot fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHealth {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Whether it is kept until someone forgets it.
    pub kept: bool,
    /// Bytes that are in the store itself, and right.
    pub bytes_safe: u64,
    /// Bytes that are only in files of the user, and right.
    pub bytes_volatile: u64,
    /// Bytes of these that cannot be looked at now, because the file system of the only file
    /// that has them is away, or forbids it.
    pub bytes_away: u64,
    /// Bytes that it should have and that are nowhere on this machine.
    pub bytes_gone: u64,
    /// The files that these bytes belong to.
    pub lost: PathList<FileLoss>,
    /// The positions of these bytes, ascending, on chunk boundaries: what to fetch.
    pub missing: Vec<Range<u64>>,
    /// Pages that it should have and that are nowhere on this machine. What lies beneath them
    /// is not in the other figures.
    pub pages_missing: Vec<PageId>,
}

impl SnapshotHealth {
    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.bytes_gone == 0 && self.pages_missing.is_empty()
    }
}

/// Why a verification could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store does not know the snapshot.
    #[error("{0} is not known here")]
    UnknownSnapshot(SnapshotId),
    /// The listener asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why bytes do not repair anything.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// They are not the bytes of the chunk.
    #[error("{0} has other bytes than these")]
    Mismatch(ChunkId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Reads and hashes again, on all cores, and forgets every place that does not hold what it
    /// should. What a snapshot lost by that it no longer offers.
    ///
    /// Files that cannot be looked at now, because their file system is away or forbids it, are
    /// named, and not forgotten.
    pub fn verify(
        &self,
        scope: VerifyScope,
        progress: &dyn Progress,
    ) -> Result<VerifyReport, VerifyError> {
        let rows = self.rows_in(scope)?;
        progress.phase(Phase::Verifying);
        let mut hashing = Hashing::new(self, progress);
        match scope {
            VerifyScope::All => hashing.everything()?,
            VerifyScope::Suspect => hashing.suspects_only()?,
            VerifyScope::Snapshot(_) => rows.iter().try_for_each(|row| hashing.snapshot(row))?,
        }
        let (mut report, away) = hashing.finish(!matches!(scope, VerifyScope::Snapshot(_)))?;
        let mut survey = self.survey()?;
        let mut without = match away.is_empty() {
            true => None,
            false => Some(Survey::new(self, Holdings::with_changed(self.view(), away))),
        };
        let batch = self.begin();
        // A get that never began to receive claims nothing, not even the lists.
        let claims_nothing = |row: &SnapshotRow| row.held == Coverage::Ranges(Vec::new());
        for row in rows {
            if claims_nothing(&row) && !row.kept && row.snapshot.bytes > 0 {
                continue;
            }
            let bytes_away = match &mut without {
                None => 0,
                Some(survey) => {
                    let findings = survey.snapshot(&row, &row.held, progress)?;
                    findings.ok_or(VerifyError::Cancelled)?.tally.changed
                }
            };
            let health = self.health(&mut survey, row, &batch, progress)?;
            report.snapshots.push(SnapshotHealth {
                bytes_away,
                ..health
            });
        }
        batch.commit(true)?;
        Ok(report)
    }

    /// Takes the bytes of a chunk that was lost, into a pack. They are hashed first, and
    /// survive a power cut once [`Store::repaired`] has returned.
    pub fn repair_chunk(&self, id: &ChunkId, bytes: &[u8]) -> Result<(), RepairError> {
        if ChunkId::of(bytes) != *id {
            return Err(RepairError::Mismatch(*id));
        }
        // Who had it before may have it again.
        let known = self.chunk(id)?.map_or(Vec::new(), |row| row.audiences);
        let batch = self.begin();
        batch.append_chunk(
            id,
            bytes,
            known.first().copied().unwrap_or(AudienceId::SELF),
        )?;
        batch.commit(false)?;
        Ok(())
    }

    /// After the missing chunks of `snapshot` came: looks again at what is missing (without
    /// hashing), offers it again accordingly, and makes that survive a power cut.
    pub fn repaired(&self, snapshot: &SnapshotId) -> Result<SnapshotHealth, VerifyError> {
        let rows = self.rows_in(VerifyScope::Snapshot(*snapshot))?;
        let row = rows.into_iter().next();
        let row = row.ok_or(VerifyError::UnknownSnapshot(*snapshot))?;
        let mut survey = self.survey()?;
        let batch = self.begin();
        let health = self.health(&mut survey, row, &batch, &Silent)?;
        batch.commit(true)?;
        Ok(health)
    }

    /// Offers a chunk of a snapshot no longer, at its first place within `range`, because its
    /// bytes turned out to be gone; a verification or another add offers what it finds again.
    /// One whose files are only away for now stays on offer. Gives that place, and whether it
    /// was withdrawn; nothing if it is not in there.
    pub fn withdraw(
        &self,
        snapshot: &Snapshot,
        range: Range<u64>,
        lost: &ChunkId,
    ) -> Result<Option<(Range<u64>, bool)>, ReadError> {
        let found = chunks_of(self, snapshot, range)
            .find(|found| found.as_ref().is_ok_and(|(_, chunk)| chunk.id == *lost))
            .transpose()?;
        let Some((place, _)) = found else {
            return Ok(None);
        };
        let known = self.chunk(lost)?;
        let is_away = known.is_some_and(|chunk| !chunk.extents.is_empty());
        let row = self.view().snapshot(&snapshot.id())?;
        let Some(row) = row.filter(|_| !is_away) else {
            return Ok(Some((place, false)));
        };
        let gone = RangeSet::of(place.clone());
        let offered = row.offered.without(&gone, row.snapshot.bytes);
        let was_offered = offered != row.offered;
        if was_offered {
            let batch = self.begin();
            batch.put_snapshot(SnapshotRow { offered, ..row });
            batch.commit(false)?;
        }
        Ok(Some((place, was_offered)))
    }

    /// A survey that takes files which are suspect for changed.
    fn survey(&self) -> Result<Survey<'_>, StoreError> {
        let view = self.view();
        let suspects = match view.any_suspect() {
            true => suspects(&view)?,
            false => HashSet::new(),
        };
        Ok(Survey::new(self, Holdings::with_changed(view, suspects)))
    }

    fn rows_in(&self, scope: VerifyScope) -> Result<Vec<SnapshotRow>, VerifyError> {
        let view = self.view();
        match scope {
            VerifyScope::All => Ok(view.snapshots()?),
            VerifyScope::Suspect => {
                let mut rows = view.snapshots()?;
                rows.retain(|row| view.any_suspect() && row.offered != Coverage::Complete);
                Ok(rows)
            }
            VerifyScope::Snapshot(id) => {
                let row = view.snapshot(&id)?;
                Ok(vec![row.ok_or(VerifyError::UnknownSnapshot(id))?])
            }
        }
    }

    /// How a snapshot fares by the index; its row is corrected in `batch`.
    fn health(
        &self,
        survey: &mut Survey<'_>,
        mut row: SnapshotRow,
        batch: &Batch,
        progress: &dyn Progress,
    ) -> Result<SnapshotHealth, VerifyError> {
        let coming = self.view().receives()?;
        let coming = coming.iter().any(|receive| receive.snapshot == row.id());
        // Of what is still being received only that can be missing which came.
        let within = match coming {
            true => row.held.clone(),
            false => Coverage::Complete,
        };
        let findings = survey.snapshot(&row, &within, progress)?;
        let findings = findings.ok_or(VerifyError::Cancelled)?;
        for page in &findings.pages_missing {
            // A damaged page must be unknown before it can come again.
            batch.forget_page(page);
        }
        let before = row.clone();
        if findings.pages_missing.is_empty() {
            let bytes = row.snapshot.bytes;
            row.held = within.without(&findings.missing, bytes);
            let offered = match row.origin {
                Origin::Added { .. } => row.held.clone(),
                Origin::Received { .. } => self.offered(&before, &row.held)?,
            };
            row.offered = offered.without(&findings.doubtful, bytes);
        } else {
            row.lose(&findings.missing);
        }
        if row != before {
            batch.put_snapshot(row.clone());
        }
        Ok(SnapshotHealth {
            snapshot: row.id(),
            kept: row.kept,
            bytes_safe: findings.tally.kept,
            bytes_volatile: findings.tally.volatile + findings.tally.changed,
            bytes_away: 0,
            bytes_gone: findings.tally.gone,
            lost: findings.lost,
            missing: findings.missing.iter().collect(),
            pages_missing: findings.pages_missing,
        })
    }

    /// What of a received snapshot may be offered, now that `held` is held: what could be
    /// before, and what came for the same audience.
    fn offered(&self, before: &SnapshotRow, held: &Coverage) -> Result<Coverage, VerifyError> {
        let bytes = before.snapshot.bytes;
        let held = held.to_set(bytes);
        let offered = before.offered.to_set(bytes);
        let mut all = offered.intersect(&held);
        let view = self.view();
        for range in held.subtract(&all).iter() {
            for found in chunks_of(self, &before.snapshot, range) {
                let (place, chunk) = found.map_err(bad_page)?;
                let known = view.chunk(&chunk.id)?;
                if known.is_some_and(|known| known.audiences.contains(&before.audience)) {
                    all.insert(place);
                }
            }
        }
        Ok(Coverage::of(&all, bytes))
    }
}

/// The chunks of a snapshot that begin within `range`, and their positions.
fn chunks_of(
    store: &Store,
    snapshot: &Snapshot,
    range: Range<u64>,
) -> impl Iterator<Item = Result<(Range<u64>, ChunkRef), paged_list::ReadError<StoreError>>> {
    let mut cursor = SnapshotCursor::new(snapshot);
    cursor.seek(range.start);
    std::iter::from_fn(move || {
        loop {
            return match cursor.next(store).transpose()? {
                Ok(Step::Chunk {
                    position, chunk, ..
                }) if position < range.end => {
                    Some(Ok((position..position + u64::from(chunk.length), chunk)))
                }
                Ok(Step::Chunk { .. }) => None,
                Ok(_) => continue,
                Err(error) => Some(Err(error)),
            };
        }
    })
}

fn bad_page(error: paged_list::ReadError<StoreError>) -> VerifyError {
    match page_of(error) {
        Ok(page) => VerifyError::Store(StoreError::DamagedPage(page)),
        Err(error) => VerifyError::Store(error),
    }
}
