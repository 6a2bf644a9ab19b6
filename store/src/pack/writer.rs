//! Appending to packs from many threads.
//!
//! Owns: the pack that is written now, the buffers that make big writes of small records,
//! and the knowledge of what was written since the last sync. Refuses: to say when bytes
//! must be durable; a [`Batch`](crate::Batch) does.
//!
//! A record gets its place under a lock; its bytes are copied into a buffer there, or (a
//! run) written by the caller's own thread afterwards. Whoever fills a buffer writes it. There
//! are three at most; whoever needs one more waits.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use shoal_protocol::id::ChunkId;

use super::files::PackFiles;
use super::record::{
    PACK_HEADER_BYTES, RECORD_BYTES_MAX, RecordHeader, RecordKind, pack_header, run_table,
};
use super::state::{Active, State, Write};
use crate::disk::ahead::Ahead;
use crate::error::StoreError;
use crate::index::PackSpot;

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
    /// What is synced while more is written.
    ahead: Mutex<Ahead>,
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
                ..State::default()
            }),
            progress: Condvar::new(),
            syncing: Mutex::new(()),
            ahead: Mutex::default(),
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
        let earlier = buffered.map_or(Ok(()), |buffered| self.carry_out(buffered));
        write.buffer.extend_from_slice(&table);
        // Also if the earlier one failed: who waits for this write must see it end.
        let length = (write.buffer.len() + bytes.len()) as u64;
        let written = self.finish(&write, length, || {
            write
                .file
                .write_behind(write.offset, &[&write.buffer, bytes])
        });
        earlier.and(written)?;
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
        let ahead = self.ahead().wait().map_err(StoreError::io("packs"));
        let synced = ahead.and_then(|()| {
            dirty.iter().try_for_each(|(number, file)| {
                let name = PackFiles::name(*number);
                file.sync().map_err(StoreError::io(name))
            })
        });
        let synced = synced.and_then(|()| match names_dirty {
            true => self.files.sync_names(),
            false => Ok(()),
        });
        // After a failed sync the system may have dropped the bytes it could not write and
        // will not say so again (https://wiki.postgresql.org/wiki/Fsync_Errors).
        synced.inspect_err(|error| self.state().lost = Some(error.to_string()))
    }

    /// Says that nothing will be read from packs any more that are retired.
    pub(crate) fn forget(&self, numbers: &[u32]) {
        let mut state = self.state();
        for number in numbers {
            state.ends.remove(number);
            state.dirty.remove(number);
        }
    }

    /// Removes packs that nothing points to any more.
    pub(crate) fn remove(&self, numbers: &[u32]) -> Result<(), StoreError> {
        for &number in numbers {
            let removed = self.files.remove(number);
            removed.map_err(StoreError::io(PackFiles::name(number)))?;
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

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
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
        let made = self.files.create(number).and_then(|file| {
            state.next_number += 1;
            state.names_dirty = true;
            file.write_at(0, &pack_header(number))?;
            Ok(file)
        });
        let file = made.map_err(|error| {
            state.failed(number, &error);
            StoreError::io(PackFiles::name(number))(error)
        })?;
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
        let written = self.finish(&write, write.buffer.len() as u64, || {
            write.file.write_behind(write.offset, &[&write.buffer])
        });
        let mut state = self.state();
        write.buffer.clear();
        state.spare.push(write.buffer);
        self.progress.notify_all();
        written
    }

    /// Does a write of so many bytes, and notes that it has ended.
    fn finish(
        &self,
        write: &Write,
        bytes: u64,
        operation: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        let written = operation();
        let synced = match &written {
            Ok(()) => self.ahead().wrote(&write.file, bytes),
            Err(_) => Ok(()),
        };
        let mut state = self.state();
        state.under_way.remove(&write.ticket);
        state.dirty.insert(write.number, write.file.clone());
        if let Err(error) = synced {
            state.lost.get_or_insert(error.to_string());
        }
        self.progress.notify_all();
        written.map_err(|error| {
            state.failed(write.number, &error);
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
