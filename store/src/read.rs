//! Getting bytes back.
//!
//! Owns: the choice among a chunk's places, and the rule when bytes must be hashed again
//! before they are believed. Refuses: to return bytes that are not what was asked for.

use std::ops::Range;

use shoal_protocol::id::{ChunkId, SnapshotId};

use crate::Store;
use crate::error::{ReadError, StoreError};
use crate::index::Extent;

/// Where a chunk was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The place that had it.
    pub extent: Extent,
    /// Places that did not have it any more and were dropped.
    pub dropped: Vec<Extent>,
}

/// Reads runs of one snapshot, usually one after the other. Keeps its place in the manifest
/// and its buffers.
pub struct RunReader(());

impl RunReader {
    /// Whose runs these are.
    pub fn snapshot(&self) -> SnapshotId {
        todo!()
    }
}

impl Store {
    /// Reads a chunk and verifies it, trying one place after the other; places that have
    /// other bytes are dropped from the index. `out` becomes the chunk's bytes.
    pub fn read_chunk(&self, _id: &ChunkId, _out: &mut Vec<u8>) -> Result<Found, ReadError> {
        todo!()
    }
    /// A reader for the runs of a snapshot that is known here.
    pub fn run_reader(&self, _snapshot: &SnapshotId) -> Result<RunReader, ReadError> {
        todo!()
    }
    /// Reads the positions in `range`, which begins and ends on chunk boundaries. `out`
    /// becomes their bytes; its capacity is reused. Bytes of packs and owned files are hashed;
    /// those of external files unless the file is provably the one that was hashed before.
    pub fn read_run(
        &self,
        _reader: &mut RunReader,
        _range: Range<u64>,
        _out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        todo!()
    }
    /// Makes everything that is [`Unsynced`](crate::index::FileState::Unsynced) survive a
    /// power cut, and trusted.
    pub fn sync_unsynced(&self) -> Result<(), StoreError> {
        todo!()
    }
}
