//! History that lies in files which anybody may change.
//!
//! Owns: the accounting of what kept snapshots lose when such files change, and of what they
//! still may lose. Refuses: to repair (that is [`check`](crate::check)'s and the node's), and
//! to believe that a file is unchanged without looking at it.

use shoal_protocol::id::SnapshotId;
use shoal_protocol::path::ManifestPath;

use crate::ingest::PathList;
use crate::progress::Progress;
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
    /// Bytes that are nowhere on this machine.
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

#[allow(clippy::todo)]
impl Store {
    /// How safe every kept snapshot is, those that are altogether safe left out. It looks at
    /// each file that holds history, without reading it.
    pub fn history_at_risk(&self, progress: &dyn Progress) -> Result<Vec<RiskReport>, StoreError> {
        let _ = progress;
        todo!()
    }
}

pub(crate) fn losses(
    store: &Store,
    replaced: impl IntoIterator<Item = crate::ingest::Replaced>,
) -> Result<Vec<HistoryLoss>, StoreError> {
    let _ = (store, replaced.into_iter().count());
    todo!()
}
