//! Giving room back.
//!
//! Owns: forgetting snapshots, finding what no snapshot needs, and deleting it in an order that
//! a power cut cannot hurt: first the bytes that stay are safe in their new place, then the
//! index says so, then the old place goes. Refuses: to touch files of the user.

use shoal_protocol::id::SnapshotId;

use crate::progress::Progress;
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

#[allow(clippy::todo)]
impl Store {
    /// Forgets a snapshot; gives whether it was known. Its bytes stay until
    /// [`Store::collect`] finds that nothing else needs them.
    pub fn forget(&self, snapshot: &SnapshotId) -> Result<bool, StoreError> {
        let _ = snapshot;
        todo!()
    }

    /// Deletes what no snapshot needs. Adds and receives may go on meanwhile.
    pub fn collect(&self, progress: &dyn Progress) -> Result<Collected, CollectError> {
        let _ = progress;
        todo!()
    }
}
