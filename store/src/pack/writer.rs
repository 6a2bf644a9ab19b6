//! Appending to packs from many threads.
//!
//! Owns: the pack that is written now, the buffers that make big writes of small records,
//! and the knowledge of what was written since the last sync. Refuses: to say when bytes
//! must be durable; a [`Batch`](crate::Batch) does.
//!
//! A record gets its place under a lock; its bytes are copied into a buffer there, or (a
//! run) written by the caller's own thread afterwards. Whoever fills a buffer writes it. At
//! most [`BUFFERS_MAX`] buffers exist; whoever needs one more waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use shoal_protocol::id::ChunkId;

use super::files::PackFiles;
use super::record::{
    PACK_HEADER_BYTES, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, RecordHeader, RecordKind,
    pack_header, run_table,
};
use crate::disk::DiskFile;
use crate::error::StoreError;
use crate::index::PackSpot;

/// Buffers in use at once: one that is filled, and two that are written.
const BUFFERS_MAX: usize = 3;

/// All packs, for appending.
pub(crate) struct Packs {
    files: PackFiles,
    pack_bytes_max: u64,
    buffer_bytes: usize,
    state: Mutex<State>,
    /// Told whenever a write has ended or a buffer has come back.
    progress: Condvar,
    /// Held while syncing, so that nobody believes a sync that is still under way.
    syncing: Mutex<()>,
}

struct State {
    active: Option<Active>,
    next_number: u32,
    /// Where each pack ends that was written to since the store was opened.
    ends: BTreeMap<u32, u64>,
    /// Written since their last sync.
    dirty: BTreeMap<u32, Arc<dyn DiskFile>>,
    names_dirty: bool,
    spare: Vec<Vec<u8>>,
    buffers: usize,
    next_ticket: u64,
    /// Writes that have not ended, in the order of their places.
    under_way: BTreeSet<u64>,
    /// For each batch that is open, the first pack that it may have written to.
    floors: Vec<u32>,
    failures: u64,
    last_failure: Option<(u32, std::io::ErrorKind, String)>,
    /// A sync failed: what the disk holds is not known any more.
    lost: Option<String>,
}

/// The pack that is written now.
struct Active {
    number: u32,
    file: Arc<dyn DiskFile>,
    /// Where the next record goes.
    end: u64,
    /// The last bytes before `end`, not yet written.
    buffer: Vec<u8>,
}

/// A write whose place is fixed.
struct Write {
    ticket: u64,
    number: u32,
    file: Arc<dyn DiskFile>,
    offset: u64,
    buffer: Vec<u8>,
}

impl Packs {
    /// Goes on behind `committed`, the packs that the index knows and their lengths.
    pub(crate) fn new(
        files: PackFiles,
        committed: &BTreeMap<u32, u64>,
        pack_bytes_max: u64,
        buffer_bytes: usize,
    ) -> Result<Self, StoreError> {
        let last = committed
            .last_key_value()
            .map(|(&number, &end)| (number, end));
        let active = match last.filter(|(_, end)| *end < pack_bytes_max) {
            Some((number, end)) => files.file(number).ok().map(|file| Active {
                number,
                file,
                end,
                buffer: Vec::new(),
            }),
            None => None,
        };
        Ok(Self {
            files,
            pack_bytes_max,
            buffer_bytes,
            state: Mutex::new(State {
                active,
                next_number: last.map_or(1, |(number, _)| number + 1),
                ends: BTreeMap::new(),
                dirty: BTreeMap::new(),
                names_dirty: false,
                spare: Vec::new(),
                buffers: 0,
                next_ticket: 0,
                under_way: BTreeSet::new(),
                floors: Vec::new(),
                failures: 0,
                last_failure: None,
                lost: None,
            }),
            progress: Condvar::new(),
            syncing: Mutex::new(()),
        })
    }

    pub(crate) fn files(&self) -> &PackFiles {
        &self.files
    }

    /// How many writes have failed so far. A batch that saw another number when it began
    /// may have lost bytes.
    pub(crate) fn failures(&self) -> u64 {
        self.state().failures
    }

    /// What the last write that failed said.
    pub(crate) fn last_failure(&self) -> StoreError {
        match &self.state().last_failure {
            Some((number, kind, text)) => {
                let error = std::io::Error::new(*kind, text.clone());
                StoreError::io(PackFiles::name(*number))(error)
            }
            None => StoreError::Poisoned("a write to a pack".to_owned()),
        }
    }

    /// Appends a record; gives the place of its bytes.
    pub(crate) fn append(
        &self,
        kind: RecordKind,
        id: &[u8; 32],
        bytes: &[u8],
    ) -> Result<PackSpot, StoreError> {
        let header = RecordHeader {
            kind,
            length: record_length(bytes.len() as u64),
            id: *id,
        };
        let mut state = self.active_pack()?;
        while state.must_wait_for_buffer() {
            state = self.wait(state);
            if state.active.is_none() {
                drop(state);
                state = self.active_pack()?;
            }
        }
        let (spot, full) = state.append_buffered(header, bytes, self.buffer_bytes);
        let write = full.then(|| state.take_buffer()).flatten();
        drop(state);
        if let Some(write) = write {
            self.carry_out(write)?;
        }
        Ok(spot)
    }

    /// Appends neighbouring chunks whose bytes lie one behind the other in `bytes`, which
    /// this thread writes from where they are; gives the place of the first.
    pub(crate) fn append_run(
        &self,
        chunks: &[(ChunkId, u32)],
        bytes: &[u8],
    ) -> Result<PackSpot, StoreError> {
        let table = run_table(chunks);
        let header = RecordHeader {
            kind: RecordKind::Run,
            length: record_length((table.len() + bytes.len()) as u64),
            id: *blake3::hash(&table).as_bytes(),
        };
        let mut state = self.active_pack()?;
        let buffered = state.take_buffer();
        let (mut write, spot) = state.reserve(header, table.len());
        drop(state);
        if let Some(buffered) = buffered {
            self.carry_out(buffered)?;
        }
        write.buffer.extend_from_slice(&table);
        let data = spot.offset;
        self.finish(&write, || {
            write.file.write_at(write.offset, &write.buffer)?;
            write.file.write_at(data, bytes)?;
            write
                .file
                .start_writeback(write.offset..data + bytes.len() as u64);
            Ok(())
        })?;
        Ok(spot)
    }

    /// Writes what is buffered and waits for all writes so far; gives where the packs end
    /// by them.
    pub(crate) fn flush(&self) -> Result<BTreeMap<u32, u64>, StoreError> {
        let mut state = self.state();
        let buffered = state.take_buffer();
        let ends = state.ends.clone();
        let ticket = state.next_ticket;
        drop(state);
        if let Some(buffered) = buffered {
            self.carry_out(buffered)?;
        }
        let mut state = self.state();
        while state.under_way.first().is_some_and(|&first| first < ticket) {
            state = self.wait(state);
        }
        state.buffers -= state.spare.len();
        state.spare.clear();
        Ok(ends)
    }

    /// Makes all that was flushed survive a power cut.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        if let Some(lost) = &state.lost {
            return Err(StoreError::Poisoned(lost.clone()));
        }
        let dirty = std::mem::take(&mut state.dirty);
        let names_dirty = std::mem::take(&mut state.names_dirty);
        drop(state);
        let synced = dirty.iter().try_for_each(|(number, file)| {
            file.sync()
                .map_err(StoreError::io(PackFiles::name(*number)))
        });
        let synced = synced.and_then(|()| match names_dirty {
            true => self.files.sync_names(),
            false => Ok(()),
        });
        // After a failed sync the system may have dropped the bytes it could not write and
        // will not say so again (https://wiki.postgresql.org/wiki/Fsync_Errors).
        synced.inspect_err(|error| self.state().lost = Some(error.to_string()))
    }

    /// Removes packs that nothing points to any more.
    pub(crate) fn remove(&self, numbers: &[u32]) -> Result<(), StoreError> {
        for &number in numbers {
            let mut state = self.state();
            state.ends.remove(&number);
            state.dirty.remove(&number);
            drop(state);
            self.files
                .remove(number)
                .map_err(StoreError::io(PackFiles::name(number)))?;
        }
        Ok(())
    }

    /// Says that a batch begins; gives the first pack that it may write to, which it gives
    /// back when it ends.
    pub(crate) fn begin(&self) -> u32 {
        let mut state = self.state();
        let active = state.active.as_ref().map(|active| active.number);
        let floor = active.unwrap_or(state.next_number);
        state.floors.push(floor);
        floor
    }

    /// Says that a batch has ended.
    pub(crate) fn end(&self, floor: u32) {
        let mut state = self.state();
        if let Some(at) = state.floors.iter().position(|other| *other == floor) {
            state.floors.swap_remove(at);
        }
    }

    /// Lets the next record begin a new pack, if this one is written now; whether nobody
    /// writes to it any more, nor has written to it what no commit knows yet.
    pub(crate) fn retire(&self, number: u32) -> Result<bool, StoreError> {
        let mut state = self.state();
        if state.floors.iter().any(|floor| *floor <= number) {
            return Ok(false);
        }
        if state.active.as_ref().is_some_and(|a| a.number == number) {
            let buffered = state.take_buffer();
            state.active = None;
            drop(state);
            if let Some(buffered) = buffered {
                self.carry_out(buffered)?;
            }
        }
        Ok(true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.progress
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with a pack that has room.
    fn active_pack(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state();
        if let Some(lost) = &state.lost {
            return Err(StoreError::Poisoned(lost.clone()));
        }
        let full = |active: &Active| active.end >= self.pack_bytes_max;
        if state.active.as_ref().is_some_and(full) {
            let buffered = state.take_buffer();
            state.active = None;
            if let Some(buffered) = buffered {
                drop(state);
                self.carry_out(buffered)?;
                return self.active_pack();
            }
        }
        if state.active.is_none() {
            state.active = Some(self.new_pack(&mut state)?);
        }
        Ok(state)
    }

    fn new_pack(&self, state: &mut State) -> Result<Active, StoreError> {
        let number = state.next_number;
        let name = PackFiles::name(number);
        let file = self.files.create(number).map_err(StoreError::io(&name))?;
        state.next_number += 1;
        state.names_dirty = true;
        file.write_at(0, &pack_header(number))
            .map_err(StoreError::io(&name))?;
        state.dirty.insert(number, file.clone());
        state.ends.insert(number, PACK_HEADER_BYTES);
        Ok(Active {
            number,
            file,
            end: PACK_HEADER_BYTES,
            buffer: Vec::new(),
        })
    }

    fn carry_out(&self, mut write: Write) -> Result<(), StoreError> {
        let written = self.finish(&write, || {
            write.file.write_at(write.offset, &write.buffer)?;
            let end = write.offset + write.buffer.len() as u64;
            write.file.start_writeback(write.offset..end);
            Ok(())
        });
        let mut state = self.state();
        write.buffer.clear();
        state.spare.push(write.buffer);
        self.progress.notify_all();
        written
    }

    fn finish(
        &self,
        write: &Write,
        operation: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        let written = operation();
        let mut state = self.state();
        state.under_way.remove(&write.ticket);
        state.dirty.insert(write.number, write.file.clone());
        self.progress.notify_all();
        written.map_err(|error| {
            // What lies behind the gap cannot be scanned, so nothing more goes there.
            state.abandon(write.number);
            state.failures += 1;
            state.last_failure = Some((write.number, error.kind(), error.to_string()));
            StoreError::io(PackFiles::name(write.number))(error)
        })
    }
}

fn record_length(bytes: u64) -> u32 {
    u32::try_from(bytes)
        .ok()
        .filter(|length| *length <= RECORD_BYTES_MAX)
        .expect("callers append chunks, pages and runs of bounded length")
}

impl State {
    /// Writes nothing more to a pack that has a gap.
    fn abandon(&mut self, number: u32) {
        self.ends.remove(&number);
        if let Some(active) = self.active.take_if(|active| active.number == number)
            && active.buffer.capacity() > 0
        {
            self.buffers -= 1;
        }
    }

    fn must_wait_for_buffer(&self) -> bool {
        let has_none = |active: &Active| active.buffer.capacity() == 0;
        self.active.as_ref().is_some_and(has_none)
            && self.spare.is_empty()
            && self.buffers >= BUFFERS_MAX
    }

    fn append_buffered(
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
    fn take_buffer(&mut self) -> Option<Write> {
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
    fn reserve(&mut self, header: RecordHeader, table: usize) -> (Write, PackSpot) {
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
