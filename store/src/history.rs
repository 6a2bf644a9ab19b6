//! History that lies in files which anybody may change.
//!
//! Owns: the accounting of what kept snapshots lose when such files change, and of what they
//! still may lose. Refuses: to repair (that is [`check`](crate::check)'s and the node's), and
//! to believe that a file is unchanged without looking at it.

use std::collections::HashSet;

use shoal_protocol::have::RangeSet;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::Content;
use shoal_protocol::paged_list::{ChunkRef, Cursor};
use shoal_protocol::path::ManifestPath;

use crate::disk::Root;
use crate::held::{Held, Holdings};
use crate::index::{Coverage, FileClass, FileId, FileRow, SnapshotRow, View};
use crate::ingest::{PathList, Replaced};
use crate::progress::{Progress, Silent};
use crate::survey::{Findings, Survey, page_of};
use crate::{Store, StoreError};

/// What a kept snapshot lost, found when files were added again and held other bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLoss {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Bytes of it that are nowhere on this machine any more.
    pub bytes: u64,
    /// The files in it that lost bytes.
    pub paths: PathList<ManifestPath>,
}

/// How safe the bytes of a kept snapshot are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskReport {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Sum of its file sizes.
    pub bytes: u64,
    /// Bytes that are only in files of the user, which have not changed since.
    pub bytes_volatile: u64,
    /// Bytes that were only in files of the user which have changed since: what of them is
    /// left shows when the files are added again or verified.
    pub bytes_changed: u64,
    /// Bytes that it should have and that are nowhere on this machine.
    pub bytes_gone: u64,
    /// Files with volatile bytes.
    pub volatile: PathList<ManifestPath>,
    /// Files with bytes that are gone, or in changed files.
    pub gone: PathList<ManifestPath>,
}

impl RiskReport {
    /// Whether every byte is in the store itself.
    pub fn is_safe(&self) -> bool {
        self.bytes_volatile + self.bytes_changed + self.bytes_gone == 0
    }
}

impl Store {
    /// How safe every kept snapshot is, those that are altogether safe left out. It looks at
    /// each file that holds history, without reading it; what files that changed have cost is
    /// not recorded. Stops early, with what it has, if the listener asks to.
    pub fn history_at_risk(&self, progress: &dyn Progress) -> Result<Vec<RiskReport>, StoreError> {
        let view = self.view();
        let kept: Vec<SnapshotRow> = view.snapshots()?.into_iter().filter(|r| r.kept).collect();
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        let receives = view.receives()?;
        let coming: HashSet<SnapshotId> = receives.iter().map(|row| row.snapshot).collect();
        let changed = changed_files(self, &view, progress)?;
        let mut survey = Survey::new(self, Holdings::with_changed(view, changed));
        let mut reports = Vec::new();
        for row in &kept {
            // Of what is still being received only that can be lost which came.
            let within = match coming.contains(&row.id()) {
                true => &row.held,
                false => &Coverage::Complete,
            };
            let Some(findings) = survey.snapshot(row, within, progress)? else {
                break;
            };
            reports.push(RiskReport::new(row, findings));
        }
        reports.retain(|report| !report.is_safe());
        Ok(reports)
    }
}

impl RiskReport {
    fn new(row: &SnapshotRow, findings: Findings) -> Self {
        Self {
            snapshot: row.id(),
            bytes: row.snapshot.bytes,
            bytes_volatile: findings.tally.volatile,
            bytes_changed: findings.tally.changed,
            bytes_gone: findings.tally.gone,
            volatile: findings.volatile,
            gone: findings.gone,
        }
    }
}

/// The files of the user that are not in the state that the index knows.
pub(crate) fn changed_files(
    store: &Store,
    view: &View,
    progress: &dyn Progress,
) -> Result<HashSet<FileId>, StoreError> {
    let mut changed = HashSet::new();
    for (id, path) in view.roots() {
        let root = store.disk().root(path.as_path(), false).ok();
        for (count, row) in view.files(id, None)?.enumerate() {
            let row = row?;
            if count % 1024 == 0 && progress.cancelled() {
                return Ok(changed);
            }
            if row.class == FileClass::External && !stands(root.as_deref(), &row) {
                changed.insert(row.id);
            }
        }
    }
    Ok(changed)
}

/// Whether a file is still in the state that the index knows.
pub(crate) fn stands(root: Option<&dyn Root>, row: &FileRow) -> bool {
    let now = root.and_then(|root| root.stat(row.path.as_str().as_ref()).ok().flatten());
    now == Some(row.identity)
}

/// What snapshots lost by the end of these contents, the kept ones named. From now on they do
/// not offer it any more.
pub(crate) fn losses(
    store: &Store,
    replaced: impl IntoIterator<Item = Replaced>,
) -> Result<Vec<HistoryLoss>, StoreError> {
    let holdings = Holdings::new(store.view());
    if !any_gone(store, &holdings, replaced)? {
        return Ok(Vec::new());
    }
    let rows = holdings.view().snapshots()?;
    let mut survey = Survey::new(store, holdings);
    let batch = store.begin();
    let mut losses = Vec::new();
    for mut row in rows {
        let held = row.held.clone();
        let Some(findings) = survey.snapshot(&row, &held, &Silent)? else {
            break;
        };
        if findings.missing.is_empty() {
            continue;
        }
        if row.kept {
            losses.push(HistoryLoss {
                snapshot: row.id(),
                bytes: findings.tally.gone,
                paths: findings.gone,
            });
        }
        row.lose(&findings.missing);
        batch.put_snapshot(row);
    }
    batch.commit(true)?;
    Ok(losses)
}

/// Whether a chunk of these contents is nowhere any more.
fn any_gone(
    store: &Store,
    holdings: &Holdings,
    replaced: impl IntoIterator<Item = Replaced>,
) -> Result<bool, StoreError> {
    let mut seen = HashSet::new();
    for Replaced { content, size } in replaced {
        let list = match content {
            Content::Empty => continue,
            Content::Chunk(id) => {
                if holdings.chunk(&id)? == Held::No {
                    return Ok(true);
                }
                continue;
            }
            Content::List(list) => list,
        };
        if !seen.insert(list) {
            continue;
        }
        let mut cursor = Cursor::<ChunkRef>::holding(Some(list), None, Some(size));
        loop {
            match cursor.next(store) {
                Ok(None) => break,
                Ok(Some(placed)) if holdings.chunk(&placed.item.id)? == Held::No => {
                    return Ok(true);
                }
                Ok(Some(_)) => {}
                // No snapshot can name what is beneath a page that is gone.
                Err(error) => {
                    page_of(error)?;
                    break;
                }
            }
        }
    }
    Ok(false)
}

impl SnapshotRow {
    /// Takes positions out of what is held and offered.
    pub(crate) fn lose(&mut self, lost: &RangeSet) {
        self.held = self.held.without(lost, self.snapshot.bytes);
        self.offered = self.offered.without(lost, self.snapshot.bytes);
    }
}
