//! One consistent state of the index, for reading.
//!
//! Owns: every lookup. Refuses: writes; those go through a [`Batch`](crate::Batch).

use shoal_protocol::id::{ChunkId, GrantId, PageId, SnapshotId, VersionId};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::peer::PeerKey;

use super::{
    AbsolutePath, AudienceId, ChunkRow, DestinationRow, FileId, FileRow, PackSpot, ReceiveRow,
    RootId, SnapshotRow,
};
use crate::error::StoreError;

/// The index as it was after some commit. Cheap to get and to look things up in; do not
/// keep one for long, because what later commits free cannot be reused until it is dropped.
pub struct View(());

type Rows<'a, T> = Box<dyn Iterator<Item = Result<T, StoreError>> + 'a>;

impl View {
    /// Whether anything is known of a chunk. Its bytes may have gone nevertheless: only
    /// [`Store::read_chunk`](crate::Store::read_chunk) finds out.
    pub fn contains(&self, _id: &ChunkId) -> Result<bool, StoreError> {
        todo!()
    }
    /// What is known of a chunk.
    pub fn chunk(&self, _id: &ChunkId) -> Result<Option<ChunkRow>, StoreError> {
        todo!()
    }
    /// All chunks, by id.
    pub fn chunks(&self) -> Result<Rows<'_, (ChunkId, ChunkRow)>, StoreError> {
        todo!()
    }
    /// Where a page lies, and its length.
    pub fn page_spot(&self, _id: &PageId) -> Result<Option<(PackSpot, u32)>, StoreError> {
        todo!()
    }
    /// All pages, by id.
    pub fn pages(&self) -> Result<Rows<'_, (PageId, PackSpot, u32)>, StoreError> {
        todo!()
    }
    /// What is known of a state of a file.
    pub fn file(&self, _id: FileId) -> Result<Option<FileRow>, StoreError> {
        todo!()
    }
    /// What is known of the file at a path.
    pub fn file_at(
        &self,
        _root: RootId,
        _path: &ManifestPath,
    ) -> Result<Option<FileRow>, StoreError> {
        todo!()
    }
    /// The files beneath a root (or beneath a directory of it), in the order of paths.
    pub fn files(
        &self,
        _root: RootId,
        _beneath: Option<&ManifestPath>,
    ) -> Result<Rows<'_, FileRow>, StoreError> {
        todo!()
    }
    /// The short name of a directory, if it has one.
    pub fn root_id(&self, _path: &AbsolutePath) -> Result<Option<RootId>, StoreError> {
        todo!()
    }
    /// The directory with a short name.
    pub fn root_path(&self, _root: RootId) -> Result<Option<AbsolutePath>, StoreError> {
        todo!()
    }
    /// All directories with a short name, the store's own left out.
    pub fn roots(&self) -> Result<Vec<(RootId, AbsolutePath)>, StoreError> {
        todo!()
    }
    /// What is known of a snapshot.
    pub fn snapshot(&self, _id: &SnapshotId) -> Result<Option<SnapshotRow>, StoreError> {
        todo!()
    }
    /// All snapshots, by id.
    pub fn snapshots(&self) -> Result<Vec<SnapshotRow>, StoreError> {
        todo!()
    }
    /// The canonical bytes of a version.
    pub fn version(&self, _id: &VersionId) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }
    /// The newest versions of an artifact, more than one if its history has forked; none if
    /// it is not known.
    pub fn heads(&self, _artifact: &str) -> Result<Vec<VersionId>, StoreError> {
        todo!()
    }
    /// All artifacts with their heads, by name.
    pub fn artifacts(&self) -> Result<Vec<(String, Vec<VersionId>)>, StoreError> {
        todo!()
    }
    /// The short name of a peer, if it has one.
    pub fn audience_id(&self, _peer: &PeerKey) -> Result<Option<AudienceId>, StoreError> {
        todo!()
    }
    /// The peer with a short name; nothing for [`AudienceId::SELF`].
    pub fn audience_peer(&self, _audience: AudienceId) -> Result<Option<PeerKey>, StoreError> {
        todo!()
    }
    /// A grant, in the encoding that the node gave it.
    pub fn grant(&self, _id: &GrantId) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }
    /// All grants, by id.
    pub fn grants(&self) -> Result<Vec<(GrantId, Vec<u8>)>, StoreError> {
        todo!()
    }
    /// The unfinished receive into a destination.
    pub fn receive(&self, _dest: &AbsolutePath) -> Result<Option<ReceiveRow>, StoreError> {
        todo!()
    }
    /// All unfinished receives, by destination.
    pub fn receives(&self) -> Result<Vec<ReceiveRow>, StoreError> {
        todo!()
    }
    /// What shoal last wrote to a destination.
    pub fn destination(&self, _dest: &AbsolutePath) -> Result<Option<DestinationRow>, StoreError> {
        todo!()
    }
    /// All destinations that shoal wrote, by path.
    pub fn destinations(&self) -> Result<Vec<DestinationRow>, StoreError> {
        todo!()
    }
}
