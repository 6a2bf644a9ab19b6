//! Whether what the index says is true, and putting right what is not.
//!
//! Owns: hashing everything again, dropping places that hold other bytes, and the list of what
//! must come from elsewhere. Refuses: to fetch; the node does, and hands the bytes to
//! [`Store::repair_chunk`].

use std::ops::Range;
use std::path::PathBuf;

use shoal_protocol::id::{ChunkId, PageId, SnapshotId};
use shoal_protocol::path::ManifestPath;

use crate::ingest::PathList;
use crate::progress::Progress;
use crate::{Store, StoreError};

/// What to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyScope {
    /// Every place of every chunk, and every snapshot.
    All,
    /// What one snapshot needs.
    Snapshot(SnapshotId),
}

/// What a verification found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Bytes that were read and hashed.
    pub bytes_hashed: u64,
    /// Places that did not hold what they should; they are forgotten.
    pub damaged: PathList<DamagedPlace>,
    /// The snapshots that were looked at.
    pub snapshots: Vec<SnapshotHealth>,
}

impl VerifyReport {
    /// Whether every snapshot that was looked at has every byte that it claims to have.
    pub fn is_whole(&self) -> bool {
        self.snapshots.iter().all(SnapshotHealth::is_whole)
    }
}

/// A file in which bytes were not what they should be.
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
        write!(f, "{}: {bytes} bytes {why}", path.display())
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
    /// Bytes that it should have and that are nowhere on this machine.
    pub bytes_gone: u64,
    /// The files that these bytes belong to.
    pub gone: PathList<ManifestPath>,
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

#[allow(clippy::todo)]
impl Store {
    /// Reads and hashes again, on all cores, and forgets every place that does not hold what it
    /// should. What a snapshot lost by that it no longer offers.
    pub fn verify(
        &self,
        scope: VerifyScope,
        progress: &dyn Progress,
    ) -> Result<VerifyReport, VerifyError> {
        let _ = (scope, progress);
        todo!()
    }

    /// Takes the bytes of a chunk that was lost, into a pack. They are hashed first, and
    /// survive a power cut once [`Store::repaired`] has returned.
    pub fn repair_chunk(&self, id: &ChunkId, bytes: &[u8]) -> Result<(), RepairError> {
        let _ = (id, bytes);
        todo!()
    }

    /// After the missing chunks of `snapshot` came: looks again at what is missing (without
    /// hashing), offers it again accordingly, and makes that survive a power cut.
    pub fn repaired(&self, snapshot: &SnapshotId) -> Result<SnapshotHealth, VerifyError> {
        let _ = snapshot;
        todo!()
    }
}
