//! What is outstanding, what has arrived, and what of that the index does not know yet.
//!
//! Owns: the state that writers and the planner share. Every method is short: nothing here
//! reads or writes a file. Refuses: to decide what is needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shoal_protocol::have::RangeSet;
use shoal_protocol::id::ChunkId;

use super::Run;
use super::run::{RunTable, Slot, table};
use super::target::Target;
use crate::index::{AudienceId, FileId};

/// Bytes of runs that may be outstanding: enough for 10 Gbit/s and 200 ms.
const OUTSTANDING_BYTES_MAX: u64 = 256 << 20;
/// Chunks of runs that may be outstanding; each takes some 150 bytes of memory.
const OUTSTANDING_CHUNKS_MAX: usize = 65_536;
/// Runs that may be outstanding. Each may keep two half-written files open.
const OUTSTANDING_RUNS_MAX: usize = 256;
/// Chunks whose places the index does not know yet.
const LANDED_MAX: usize = 32_768;
/// Whole files that wait for their names; each takes some 500 bytes of memory.
const LATE_MAX: usize = 16_384;

/// A chunk that is in its place.
pub(crate) struct Landed {
    pub(crate) slot: Slot,
    /// For whom its bytes came here.
    pub(crate) audience: AudienceId,
    /// Whether they may be offered under the audience of this receive.
    pub(crate) offered: bool,
}

/// How the bytes of a chunk came into their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Received,
    Reused,
    Resumed,
}

/// A place of a chunk that the index does not know yet.
struct Recent {
    target: Arc<Target>,
    offset: u64,
    audience: AudienceId,
    flush: u64,
}

/// See the top of this file.
#[derive(Default)]
pub(crate) struct Ledger {
    runs: BTreeMap<u64, Arc<RunTable>>,
    run_ids: u64,
    bytes: u64,
    chunks: usize,
    /// Chunks that are outstanding, and the further places that each belongs in.
    awaited: HashMap<ChunkId, Vec<Slot>>,
    /// Slots that must be asked for (again).
    again: Vec<Slot>,
    /// Places of chunks that the index does not know yet, and in which flush it will.
    recent: HashMap<ChunkId, Recent>,
    landed: Vec<Landed>,
    placed: Vec<Arc<Target>>,
    late: Vec<Arc<Target>>,
    late_max: usize,
    /// Files that are gone or replaced.
    gone: Vec<FileId>,
    /// Directories in which names of an earlier version went or changed hands.
    changed: BTreeSet<PathBuf>,
    flushes: u64,
    pub(crate) held: RangeSet,
    pub(crate) offered: RangeSet,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) bytes_resumed: u64,
    pub(crate) entries_done: u64,
    pub(crate) entries_written: u64,
}

/// What the index is to learn in one commit.
pub(crate) struct Unrecorded {
    pub(crate) landed: Vec<Landed>,
    pub(crate) placed: Vec<Arc<Target>>,
    pub(crate) gone: Vec<FileId>,
    pub(crate) held: RangeSet,
    pub(crate) offered: RangeSet,
    flush: u64,
}

impl Ledger {
    /// Whether another run may be given out.
    pub(crate) fn has_room(&self) -> bool {
        self.runs.len() < OUTSTANDING_RUNS_MAX
            && self.bytes < OUTSTANDING_BYTES_MAX
            && self.chunks < OUTSTANDING_CHUNKS_MAX
    }

    /// Whether runs are outstanding.
    pub(crate) fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// Gives out a run of these slots.
    pub(crate) fn open(&mut self, slots: Vec<Slot>) -> Run {
        self.run_ids += 1;
        self.chunks += slots.len();
        let table = table(self.run_ids, slots);
        let run = table.run;
        self.bytes += run.end - run.start;
        self.runs.insert(run.start, Arc::new(table));
        run
    }

    /// The outstanding run that holds `position`.
    pub(crate) fn run_at(&self, position: u64) -> Option<&Arc<RunTable>> {
        let (_, table) = self.runs.range(..=position).next_back()?;
        (position < table.run.end).then_some(table)
    }

    /// The outstanding run with this id.
    pub(crate) fn run(&self, id: u64) -> Option<&Arc<RunTable>> {
        self.runs.values().find(|table| table.run.id == id)
    }

    /// Whether a run is still outstanding.
    pub(crate) fn is_outstanding(&self, table: &RunTable) -> bool {
        let at_its_place = self.runs.get(&table.run.start);
        at_its_place.is_some_and(|found| found.run.id == table.run.id)
    }

    /// Takes a run off the outstanding ones.
    pub(crate) fn close(&mut self, table: &RunTable) {
        if self.is_outstanding(table) {
            self.runs.remove(&table.run.start);
            self.bytes -= table.run.end - table.run.start;
            self.chunks -= table.slots().count();
        }
    }

    /// Notes that a chunk must come from elsewhere. Says whether it must be asked for: not
    /// if it is on its way already, for another place.
    pub(crate) fn await_chunk(&mut self, slot: &Slot) -> bool {
        use std::collections::hash_map::Entry;
        match self.awaited.entry(slot.id) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(slot.clone());
                false
            }
            Entry::Vacant(free) => {
                free.insert(Vec::new());
                true
            }
        }
    }

    /// Whether a chunk is on its way.
    pub(crate) fn is_awaited(&self, id: &ChunkId) -> bool {
        self.awaited.contains_key(id)
    }

    /// The further places of a chunk that has come.
    pub(crate) fn take_waiting(&mut self, id: &ChunkId) -> Vec<Slot> {
        self.awaited.remove(id).unwrap_or_default()
    }

    /// Has these slots asked for again.
    pub(crate) fn ask_again(&mut self, slots: impl IntoIterator<Item = Slot>) {
        self.again.extend(slots);
    }

    /// The slots that must be asked for again, in the order of positions.
    pub(crate) fn take_again(&mut self) -> Vec<Slot> {
        let mut slots = std::mem::take(&mut self.again);
        slots.sort_unstable_by_key(|slot| slot.position);
        slots
    }

    /// A place of a chunk that the index does not know yet.
    pub(crate) fn recent(&self, id: &ChunkId) -> Option<(Arc<Target>, u64)> {
        let recent = self.recent.get(id)?;
        Some((recent.target.clone(), recent.offset))
    }

    /// For whom the bytes came of a chunk that the index does not know yet.
    pub(crate) fn recent_audience(&self, id: &ChunkId) -> Option<AudienceId> {
        self.recent.get(id).map(|recent| recent.audience)
    }

    /// Notes that a chunk is in its place.
    pub(crate) fn land(&mut self, landed: Landed, source: Source) {
        let slot = &landed.slot;
        self.cover(slot.position, slot.length, landed.offered, source);
        let recent = Recent {
            target: slot.target.clone(),
            offset: slot.offset,
            audience: landed.audience,
            flush: self.flushes,
        };
        self.recent.insert(slot.id, recent);
        self.landed.push(landed);
    }

    /// Notes that a range is in its place of which the index need not learn: a hole, or a
    /// file that it knows.
    pub(crate) fn cover(&mut self, position: u64, length: u32, offered: bool, source: Source) {
        self.cover_range(position, u64::from(length), offered, source);
    }

    /// As [`Self::cover`], for a whole file.
    pub(crate) fn cover_range(
        &mut self,
        position: u64,
        length: u64,
        offered: bool,
        source: Source,
    ) {
        let range = position..position + length;
        if offered {
            self.offered.insert(range.clone());
        }
        self.held.insert(range);
        match source {
            Source::Received => self.bytes_received += length,
            Source::Reused => self.bytes_reused += length,
            Source::Resumed => self.bytes_resumed += length,
        }
    }

    /// Notes that a file is whole and has its name, which was given to it just now if it is
    /// `written`.
    pub(crate) fn place(&mut self, target: Arc<Target>, written: bool) {
        self.count_entry(written);
        self.placed.push(target);
    }

    /// Counts an entry that stands under its name, and whether it was `written` there.
    pub(crate) fn count_entry(&mut self, written: bool) {
        self.entries_done += 1;
        self.entries_written += u64::from(written);
    }

    /// Notes that a file is whole, but cannot get its name yet.
    pub(crate) fn defer(&mut self, target: Arc<Target>) {
        target.park();
        self.late.push(target);
    }

    /// Whether so many files wait for their names that it is time to try.
    pub(crate) fn is_late(&self) -> bool {
        self.late.len() >= self.late_max.max(LATE_MAX)
    }

    /// Notes that the files that wait now had to be left waiting.
    pub(crate) fn leave_late(&mut self) {
        self.late_max = self.late.len() * 2;
    }

    /// Notes that a state of a file is gone: removed, or about to be replaced.
    pub(crate) fn forget_file(&mut self, file: FileId) {
        self.gone.push(file);
    }

    /// Notes that an earlier version's name in `path`'s directory, or the directory itself,
    /// goes or changes hands.
    pub(crate) fn change_name(&mut self, path: &Path) {
        let above = path.ancestors().skip(1);
        self.changed.extend(above.map(Path::to_owned));
    }

    /// The directories in which such names were.
    pub(crate) fn changed_directories(&self) -> Vec<PathBuf> {
        self.changed.iter().cloned().collect()
    }

    /// The files that are still to get their names.
    pub(crate) fn take_late(&mut self) -> Vec<Arc<Target>> {
        std::mem::take(&mut self.late)
    }

    /// Whether the index should learn what has landed, to keep memory bounded.
    pub(crate) fn is_full(&self) -> bool {
        self.landed.len() >= LANDED_MAX || self.placed.len() >= LANDED_MAX
    }

    /// What the index does not know yet. It stays findable in [`Self::recent`] until
    /// [`Self::recorded`].
    pub(crate) fn take_unrecorded(&mut self) -> Unrecorded {
        let flush = self.flushes;
        self.flushes += 1;
        Unrecorded {
            landed: std::mem::take(&mut self.landed),
            placed: std::mem::take(&mut self.placed),
            gone: std::mem::take(&mut self.gone),
            held: self.held.clone(),
            offered: self.offered.clone(),
            flush,
        }
    }

    /// Notes that the index knows.
    pub(crate) fn recorded(&mut self, unrecorded: &Unrecorded) {
        (self.recent).retain(|_, recent| recent.flush > unrecorded.flush);
    }

    /// Takes back what the index could not be told, for another attempt.
    pub(crate) fn unrecorded(&mut self, unrecorded: Unrecorded) {
        self.landed.extend(unrecorded.landed);
        self.placed.extend(unrecorded.placed);
        self.gone.extend(unrecorded.gone);
    }
}
