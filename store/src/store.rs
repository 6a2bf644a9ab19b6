//! The one door to what is on this disk.
//!
//! Owns: opening, locking, recovering and closing a store; handing out batches and views.
//! Refuses: everything that has a noun of its own (ingest, receive, export, check).

use std::path::Path;
use std::sync::Arc;

use shoal_protocol::id::{ChunkId, PageId};

use crate::batch::Batch;
use crate::disk::{Disk, Root};
use crate::error::{OpenError, StoreError};
use crate::index::{ChunkRow, View};

/// What can be chosen about a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Bytes of memory that the index may use for caching.
    pub index_cache_bytes: usize,
    /// Bytes of memory for pages of manifests and content lists.
    pub page_cache_bytes: usize,
    /// A pack that has grown to this many bytes is followed by a new one.
    pub pack_bytes_max: u64,
    /// Bytes that are collected before they are written to a pack; two such buffers are in
    /// use while many threads add.
    pub pack_buffer_bytes: usize,
    /// What another process is told that finds the store in use.
    pub holder: String,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            index_cache_bytes: 32 << 20,
            page_cache_bytes: 8 << 20,
            pack_bytes_max: 1 << 30,
            pack_buffer_bytes: 8 << 20,
            holder: format!("process {}", std::process::id()),
        }
    }
}

/// An open store. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    _inner: Arc<()>,
}

impl Store {
    /// Opens the store in the directory `home`, making it if it is not there, and recovers
    /// from an unclean stop.
    pub fn open(
        _disk: Arc<dyn Disk>,
        _home: &Path,
        _options: StoreOptions,
    ) -> Result<Store, OpenError> {
        todo!()
    }
    /// Makes everything survive a power cut and lets go of the store. Clones must be gone;
    /// those that are not keep it open until they are dropped.
    pub fn close(self) -> Result<(), StoreError> {
        todo!()
    }
    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        todo!()
    }
    /// Its own directory. `tmp/` in it is emptied whenever a store is opened; owned files
    /// belong in `files/`.
    pub fn home(&self) -> &Arc<dyn Root> {
        todo!()
    }
    /// The index as it is now.
    pub fn view(&self) -> Arc<View> {
        todo!()
    }
    /// Starts a set of changes.
    pub fn begin(&self) -> Batch {
        todo!()
    }
    /// Whether anything is known of a chunk (see [`View::contains`]).
    pub fn contains(&self, _id: &ChunkId) -> Result<bool, StoreError> {
        todo!()
    }
    /// What is known of a chunk.
    pub fn chunk(&self, _id: &ChunkId) -> Result<Option<ChunkRow>, StoreError> {
        todo!()
    }
    /// The bytes of a page, verified; nothing if it is not here.
    pub fn page(&self, _id: &PageId) -> Result<Option<Arc<[u8]>>, StoreError> {
        todo!()
    }
}
