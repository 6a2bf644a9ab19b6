//! Where the next record goes, and what has become of those before.
//!
//! Owns: the places of records, buffers, tickets, and what was not synced yet. Refuses: to
//! write or to wait; [`super::writer`] does, and holds the lock around all this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::record::{RECORD_HEADER_BYTES, RecordHeader};
use crate::disk::DiskFile;
use crate::index::PackSpot;

/// Buffers in use at once: one that is filled, and two that are written.
const BUFFERS_MAX: usize = 3;

/// What is written now, and what was written lately.
#[derive(Default)]
pub(super) struct State {
    pub(super) active: Option<Active>,
    pub(super) next_number: u32,
    /// Where each pack ends that was written to since the store was opened.
    pub(super) ends: BTreeMap<u32, u64>,
    /// Written since their last sync.
    pub(super) dirty: BTreeMap<u32, Arc<dyn DiskFile>>,
    pub(super) names_dirty: bool,
    pub(super) spare: Vec<Vec<u8>>,
    pub(super) buffers: usize,
    pub(super) next_ticket: u64,
    /// Writes that have not ended, in the order of their places.
    pub(super) under_way: BTreeSet<u64>,
    /// For each batch that is open, the first pack that it may have written to.
    pub(super) floors: Vec<u32>,
    pub(super) failures: u64,
    pub(super) last_failure: Option<(u32, std::io::ErrorKind, String)>,
    /// A sync failed: what the disk holds is not known any more.
    pub(super) lost: Option<String>,
}

/// The pack that is written now.
pub(super) struct Active {
    pub(super) number: u32,
    pub(super) file: Arc<dyn DiskFile>,
    /// Where the next record goes.
    pub(super) end: u64,
    /// The last bytes before `end`, not yet written.
    pub(super) buffer: Vec<u8>,
}

/// A write whose place is fixed.
pub(super) struct Write {
    pub(super) ticket: u64,
    pub(super) number: u32,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) offset: u64,
    pub(super) buffer: Vec<u8>,
}

impl State {
    /// Remembers that a write failed, for the batches that may have lost bytes by it.
    pub(super) fn failed(&mut self, number: u32, error: &std::io::Error) {
        self.abandon(number);
        self.failures += 1;
        self.last_failure = Some((number, error.kind(), error.to_string()));
    }

    /// Writes nothing more to a pack that has a gap: what lies behind it could not be
    /// scanned.
    fn abandon(&mut self, number: u32) {
        self.ends.remove(&number);
        if let Some(active) = self.active.take_if(|active| active.number == number)
            && active.buffer.capacity() > 0
        {
            self.buffers -= 1;
        }
    }

    /// Whether nothing can be buffered until some write has ended.
    pub(super) fn must_wait_for_buffer(&self) -> bool {
        let has_none = |active: &Active| active.buffer.capacity() == 0;
        self.active.as_ref().is_some_and(has_none)
            && self.spare.is_empty()
            && self.buffers >= BUFFERS_MAX
    }

    /// Puts a record into the buffer; gives the place of its bytes, and whether the buffer
    /// is full.
    pub(super) fn append_buffered(
        &mut self,
        header: RecordHeader,
        bytes: &[u8],
        buffer_bytes: usize,
    ) -> (PackSpot, bool) {
        let active = self.active.as_mut().expect("the caller saw to a pack");
        if active.buffer.capacity() == 0 {
            active.buffer = self.spare.pop().unwrap_or_else(|| {
                self.buffers += 1;
                Vec::with_capacity(buffer_bytes)
            });
        }
        let header_bytes = header.to_bytes(active.number, active.end);
        active.buffer.extend_from_slice(&header_bytes);
        active.buffer.extend_from_slice(bytes);
        let spot = PackSpot {
            pack: active.number,
            offset: active.end + RECORD_HEADER_BYTES,
        };
        active.end = spot.offset + bytes.len() as u64;
        self.ends.insert(active.number, active.end);
        (spot, active.buffer.len() >= buffer_bytes)
    }

    /// Takes the buffer, if there is something in it, to be written.
    pub(super) fn take_buffer(&mut self) -> Option<Write> {
        let active = self.active.as_mut().filter(|a| !a.buffer.is_empty())?;
        let buffer = std::mem::take(&mut active.buffer);
        let write = Write {
            ticket: self.next_ticket,
            number: active.number,
            file: active.file.clone(),
            offset: active.end - buffer.len() as u64,
            buffer,
        };
        self.next_ticket += 1;
        self.under_way.insert(write.ticket);
        Some(write)
    }

    /// Fixes the place of a record that the caller writes: its header is in the write's
    /// buffer; the place given is that of the bytes behind its table.
    pub(super) fn reserve(&mut self, header: RecordHeader, table: usize) -> (Write, PackSpot) {
        let active = self.active.as_mut().expect("the caller saw to a pack");
        let write = Write {
            ticket: self.next_ticket,
            number: active.number,
            file: active.file.clone(),
            offset: active.end,
            buffer: header.to_bytes(active.number, active.end).to_vec(),
        };
        self.next_ticket += 1;
        self.under_way.insert(write.ticket);
        let spot = PackSpot {
            pack: active.number,
            offset: active.end + RECORD_HEADER_BYTES + table as u64,
        };
        active.end += RECORD_HEADER_BYTES + u64::from(header.length);
        self.ends.insert(active.number, active.end);
        (write, spot)
    }
}
