//! Bytes that the medium did not take, as the system says once and not again.

use std::path::Path;

use shoal_protocol::id::ChunkId;

use super::bytes;
use crate::disk::faulty::FaultyDisk;
use crate::index::AudienceId;
use crate::{Batch, Store, StoreOptions};

const HOME: &str = "/home";
const CHUNK: usize = 1 << 20;

/// Appends so many mebibytes; ends at the first error.
fn append(batch: &Batch, mebibytes: u32) -> Result<(), crate::error::StoreError> {
    (0..mebibytes).try_for_each(|n| {
        let chunk = bytes(n, CHUNK);
        let id = ChunkId::of(&chunk);
        batch
            .append_chunk(&id, &chunk, AudienceId::SELF)
            .map(|_| ())
    })
}

/// A commit after which nothing was found to be lost, and one more.
fn nothing_is_acknowledged(store: &Store, batch: Batch) {
    assert!(batch.commit(true).is_err());
    assert!(append(&store.begin(), 1).is_err(), "nothing more is taken");
    assert!(!store.contains(&ChunkId::of(&bytes(0, CHUNK))).unwrap());
}

#[test]
fn a_commit_whose_sync_fails_is_none_and_the_store_takes_nothing_more() {
    let disk = FaultyDisk::new();
    let store = Store::open(disk.shared(), Path::new(HOME), StoreOptions::default()).unwrap();
    let batch = store.begin();
    append(&batch, 3).unwrap();
    disk.fail_sync();
    nothing_is_acknowledged(&store, batch);
}

#[test]
fn so_is_one_that_was_synced_in_vain_while_it_was_written() {
    let disk = FaultyDisk::new();
    let store = Store::open(disk.shared(), Path::new(HOME), StoreOptions::default()).unwrap();
    let batch = store.begin();
    disk.fail_sync();
    // Nobody has waited for the sync by now, or whoever wrote on was told.
    let _ = append(&batch, 70);
    nothing_is_acknowledged(&store, batch);
}
