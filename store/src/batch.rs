//! A set of changes that become visible, and durable, together.
//!
//! Owns: the order in which things reach the disk: bytes first, the index second. Refuses:
//! to decide what is added or dropped.
//!
//! A batch is shared by many threads. Bytes go to packs at once, in big writes; rows are
//! kept in memory (some 150 bytes each) until [`Batch::commit`], so a caller with millions
//! of them commits every now and then.

use std::sync::Arc;

use shoal_protocol::id::{ChunkId, GrantId, PageId, SnapshotId, VersionId};
use shoal_protocol::peer::PeerKey;

use crate::Store;
use crate::disk::Root;
use crate::error::StoreError;
use crate::index::{
    AbsolutePath, AudienceId, DestinationRow, Extent, FileId, FileRow, ReceiveRow, RootId,
    SnapshotRow,
};

/// Changes that are not yet visible. Dropping it forgets them.
pub struct Batch {
    _store: Store,
}

impl Batch {
    /// Whether a chunk is known, here or in the index, as [`View::contains`] means it.
    ///
    /// [`View::contains`]: crate::index::View::contains
    pub fn contains(&self, _id: &ChunkId) -> Result<bool, StoreError> {
        todo!()
    }
    /// Writes a chunk to a pack, unless it is already in one. Gives whether it was written.
    /// The caller vouches that `id` is the id of `bytes`.
    pub fn append_chunk(
        &self,
        _id: &ChunkId,
        _bytes: &[u8],
        _audience: AudienceId,
    ) -> Result<bool, StoreError> {
        todo!()
    }
    /// Writes neighbouring chunks to a pack as they lie in `bytes`, straight from the
    /// caller's buffer: for big files. Each chunk is its id and length; those known already
    /// should be left to the caller's other calls.
    pub fn append_run(
        &self,
        _chunks: &[(ChunkId, u32)],
        _bytes: &[u8],
        _audience: AudienceId,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// Says that a chunk (also) lies at `extent`, for `audience`.
    pub fn add_extent(
        &self,
        _id: &ChunkId,
        _length: u32,
        _extent: Extent,
        _audience: AudienceId,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// Says that a known chunk was also added or received for `audience`.
    pub fn add_audience(&self, _id: &ChunkId, _audience: AudienceId) {
        todo!()
    }
    /// Says that a chunk no longer lies at `extent`.
    pub fn drop_extent(&self, _id: &ChunkId, _extent: Extent) {
        todo!()
    }
    /// Forgets a chunk with all its extents.
    pub fn forget_chunk(&self, _id: &ChunkId) {
        todo!()
    }
    /// Writes a page to a pack, unless it is known. Gives whether it was written. The caller
    /// vouches that `id` is the id of `bytes`.
    pub fn put_page(&self, _id: &PageId, _bytes: &[u8]) -> Result<bool, StoreError> {
        todo!()
    }
    /// Forgets a page.
    pub fn forget_page(&self, _id: &PageId) {
        todo!()
    }
    /// The short name of a directory, made if it has none.
    pub fn root(&self, _path: &AbsolutePath) -> Result<RootId, StoreError> {
        todo!()
    }
    /// The short name of a peer, made if it has none.
    pub fn audience(&self, _peer: &PeerKey) -> Result<AudienceId, StoreError> {
        todo!()
    }
    /// A short name for a file state that no other has or had.
    pub fn new_file(&self) -> FileId {
        todo!()
    }
    /// Records a state of a file. A row for the same path under another id is replaced, and
    /// the extents in that state are gone; under the same id it is updated, and they stay
    /// (also when the path changes: a move).
    pub fn put_file(&self, _row: FileRow) {
        todo!()
    }
    /// Forgets a state of a file, with all extents in it.
    pub fn forget_file(&self, _id: FileId) {
        todo!()
    }
    /// Records a snapshot, replacing its row.
    pub fn put_snapshot(&self, _row: SnapshotRow) {
        todo!()
    }
    /// Forgets a snapshot.
    pub fn forget_snapshot(&self, _id: &SnapshotId) {
        todo!()
    }
    /// Records a version by its canonical bytes.
    pub fn put_version(&self, _id: &VersionId, _bytes: Vec<u8>) {
        todo!()
    }
    /// Forgets a version.
    pub fn forget_version(&self, _id: &VersionId) {
        todo!()
    }
    /// Sets the heads of an artifact; none forgets it.
    pub fn put_heads(&self, _artifact: &str, _heads: Vec<VersionId>) {
        todo!()
    }
    /// Records a grant, in the node's own encoding.
    pub fn put_grant(&self, _id: &GrantId, _bytes: Vec<u8>) {
        todo!()
    }
    /// Forgets a grant.
    pub fn forget_grant(&self, _id: &GrantId) {
        todo!()
    }
    /// Records an unfinished receive, replacing the row of its destination.
    pub fn put_receive(&self, _row: ReceiveRow) {
        todo!()
    }
    /// Forgets the unfinished receive into a destination.
    pub fn forget_receive(&self, _dest: &AbsolutePath) {
        todo!()
    }
    /// Records what was written to a destination, replacing its row.
    pub fn put_destination(&self, _row: DestinationRow) {
        todo!()
    }
    /// Forgets what was written to a destination.
    pub fn forget_destination(&self, _dest: &AbsolutePath) {
        todo!()
    }
    /// Asks that everything beneath `root` be on the medium before the rows of this batch
    /// are: for owned files, and for files that are recorded as trusted.
    pub fn sync_first(&self, _root: Arc<dyn Root>) {
        todo!()
    }
    /// Makes the changes visible. With `durable` they survive a power cut from now on, and
    /// so does every batch committed before; without, they survive once a later commit is
    /// durable, and a power cut (or the end of the process) before that undoes them.
    pub fn commit(self, _durable: bool) -> Result<(), StoreError> {
        todo!()
    }
}
