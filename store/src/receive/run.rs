//! The chunks that are wanted, and the runs that they are asked for in.
//!
//! Owns: slots (one place of one chunk) and the table of an outstanding run, which says for
//! every position what bytes must come and where they go. Refuses: bytes.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use shoal_protocol::id::ChunkId;

use super::likeness::OldPlace;
use super::target::Target;
use super::{RUN_BYTES, RUN_CHUNKS_MAX, Run};

/// One place where one chunk belongs.
#[derive(Clone)]
pub(crate) struct Slot {
    /// Its position in the snapshot.
    pub(crate) position: u64,
    /// The chunk.
    pub(crate) id: ChunkId,
    /// Its length.
    pub(crate) length: u32,
    /// The file.
    pub(crate) target: Arc<Target>,
    /// Where in the file.
    pub(crate) offset: u64,
    /// Where it would stand in the file that this one replaces.
    pub(crate) old: Option<OldPlace>,
}

impl Slot {
    /// The position behind it.
    pub(crate) fn end(&self) -> u64 {
        self.position + u64::from(self.length)
    }
}

const WANTED: u8 = 0;
const BUSY: u8 = 1;
const DONE: u8 = 2;

/// An outstanding run: neighbouring slots, each of which one thread at a time may fill.
pub(crate) struct RunTable {
    pub(crate) run: Run,
    slots: Vec<(Slot, AtomicU8)>,
    /// Who waits for a slot that another thread fills is woken by the second, and looks at the
    /// slot under the first.
    settling: (Mutex<()>, Condvar),
}

impl RunTable {
    /// The slots, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|(slot, _)| slot)
    }

    /// Where the slots end, as distances from the first position.
    pub(crate) fn chunk_ends(&self) -> Arc<[u32]> {
        let ends = self.slots().scan(0, |end, slot| {
            *end += slot.length;
            Some(*end)
        });
        ends.collect()
    }

    /// Index of the slot that begins at `position`.
    pub(crate) fn index_at(&self, position: u64) -> Option<usize> {
        self.slots
            .binary_search_by_key(&position, |(slot, _)| slot.position)
            .ok()
    }

    /// The slot with this index.
    pub(crate) fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index).map(|(slot, _)| slot)
    }

    /// Takes a slot for this thread, unless its bytes are in their place. Waits while another
    /// thread has it: whether those bytes are good and get to the disk is not known before.
    ///
    /// Threads take slots in the order of positions, so that none waits for one that waits for
    /// it.
    pub(crate) fn claim(&self, index: usize) -> bool {
        loop {
            match self.try_claim(index) {
                Ok(()) => return true,
                Err(DONE) => return false,
                Err(_) => self.wait_for(index),
            }
        }
    }

    /// Takes a slot for this thread, or gives the state that it is in.
    fn try_claim(&self, index: usize) -> Result<(), u8> {
        (self.slots[index].1)
            .compare_exchange(WANTED, BUSY, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
    }

    fn wait_for(&self, index: usize) {
        let (lock, settled) = &self.settling;
        let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.slots[index].1.load(Ordering::Acquire) == BUSY {
            guard = settled.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a slot that nobody has filled, nor is filling.
    pub(crate) fn take(&self, index: usize) -> bool {
        self.try_claim(index).is_ok()
    }

    /// Gives back a claimed slot: its bytes did not come.
    pub(crate) fn unclaim(&self, index: usize) {
        self.settle(index, WANTED);
    }

    /// Says that the bytes of a claimed slot are in their place.
    pub(crate) fn done(&self, index: usize) {
        self.settle(index, DONE);
    }

    fn settle(&self, index: usize, state: u8) {
        let (lock, settled) = &self.settling;
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.slots[index].1.store(state, Ordering::Release);
        settled.notify_all();
    }

    /// Whether every slot is done.
    pub(crate) fn is_done(&self) -> bool {
        self.slots
            .iter()
            .all(|(_, state)| state.load(Ordering::Acquire) == DONE)
    }

    /// The slots that nobody has filled, nor is filling.
    pub(crate) fn take_wanted(&self) -> Vec<Slot> {
        (0..self.slots.len())
            .filter(|index| self.take(*index))
            .map(|index| self.slots[index].0.clone())
            .collect()
    }
}

/// Collects neighbouring slots into runs.
#[derive(Default)]
pub(crate) struct RunBuilder {
    slots: Vec<Slot>,
    bytes: u64,
}

impl RunBuilder {
    /// Adds a slot. Where it does not continue the run that is being built, that one is
    /// complete and comes back.
    pub(crate) fn push(&mut self, slot: Slot) -> Option<Vec<Slot>> {
        let full = self.slots.last().is_some_and(|last| {
            last.end() != slot.position
                || self.bytes + u64::from(slot.length) > RUN_BYTES
                || self.slots.len() >= RUN_CHUNKS_MAX
        });
        let complete = full.then(|| self.take()).flatten();
        self.bytes += u64::from(slot.length);
        self.slots.push(slot);
        complete
    }

    /// The run as far as it is built; nothing if it has no slots.
    pub(crate) fn take(&mut self) -> Option<Vec<Slot>> {
        self.bytes = 0;
        let slots = std::mem::take(&mut self.slots);
        (!slots.is_empty()).then_some(slots)
    }
}

/// The table for a run of these slots, which are neighbours and not none.
pub(crate) fn table(id: u64, slots: Vec<Slot>) -> RunTable {
    let run = Run {
        id,
        start: slots.first().expect("a run has slots").position,
        end: slots.last().expect("a run has slots").end(),
    };
    let slots = slots
        .into_iter()
        .map(|slot| (slot, AtomicU8::new(WANTED)))
        .collect();
    RunTable {
        run,
        slots,
        settling: Default::default(),
    }
}
