//! The places that are read, in the order and the portions in which they are.

use std::ops::Range;

use shoal_protocol::id::ChunkId;

use crate::index::Extent;

/// Bytes that one thread takes on at a time.
const TASK_BYTES: u64 = 8 << 20;

/// Where a chunk should be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) extent: Extent,
    pub(super) id: ChunkId,
    pub(super) length: u32,
}

/// Cuts sorted places into portions for the threads.
pub(super) fn tasks(places: &[Place]) -> Vec<Range<usize>> {
    let mut tasks = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (i, place) in places.iter().enumerate() {
        bytes += u64::from(place.length);
        if bytes >= TASK_BYTES {
            tasks.push(start..i + 1);
            start = i + 1;
            bytes = 0;
        }
    }
    if start < places.len() {
        tasks.push(start..places.len());
    }
    tasks
}
