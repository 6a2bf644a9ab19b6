//! Takes the bytes that come over the wire.
//!
//! Owns: the rule that a chunk's hash is checked before any of it touches the disk, and the
//! writing of neighbouring chunks in one call, straight from the caller's buffer. Refuses:
//! bytes that were not asked for, and parts of chunks.

use std::sync::{Arc, PoisonError};

use shoal_protocol::id::ChunkId;

use super::ledger::{Landed, Source};
use super::run::{RunTable, Slot};
use super::{Receive, ReceiveError, lock};

/// A stretch of this length is written: its bytes, which were just hashed, are still in the
/// processor's cache then.
const STRETCH_BYTES: usize = 128 << 10;

/// Neighbouring slots of one file that are written at once.
#[derive(Default)]
struct Stretch {
    /// The first slot in the run, and how many.
    first: usize,
    count: usize,
    /// Where their bytes begin, and how many.
    at: usize,
    length: usize,
}

impl Receive {
    /// See [`Receive::write`].
    pub(super) fn write_at(&self, position: u64, bytes: &[u8]) -> Result<(), ReceiveError> {
        let _finishing_waits = self.writing.read().unwrap_or_else(PoisonError::into_inner);
        let mut at = 0;
        while at < bytes.len() {
            let here = position + at as u64;
            let (table, held_to) = {
                let ledger = lock(&self.ledger);
                let held = ledger
                    .held
                    .within(here..position + bytes.len() as u64)
                    .next();
                let held_to = held
                    .filter(|range| range.start == here)
                    .map(|range| range.end);
                (ledger.run_at(here).cloned(), held_to)
            };
            match (table, held_to) {
                (Some(table), _) => at += self.write_in(&table, here, &bytes[at..])?,
                // It came before, from someone else.
                (None, Some(end)) => at += (end - here) as usize,
                (None, None) => return Err(ReceiveError::Unrequested { position: here }),
            }
        }
        Ok(())
    }

    /// Takes what belongs to one run. Gives the number of bytes that it took.
    fn write_in(
        &self,
        table: &RunTable,
        position: u64,
        bytes: &[u8],
    ) -> Result<usize, ReceiveError> {
        let mut index = (table.index_at(position)).ok_or(ReceiveError::Unrequested { position })?;
        let mut at = 0;
        let mut stretch = Stretch::default();
        let mut result = Ok(());
        while let Some(slot) = table.slot(index).filter(|_| at < bytes.len()) {
            let length = slot.length as usize;
            let Some(chunk) = bytes.get(at..at + length) else {
                result = Err(ReceiveError::WrongLength {
                    position: slot.position,
                    got: (bytes.len() - at) as u64,
                    expected: u64::from(slot.length),
                });
                break;
            };
            if table.claim(index) {
                if ChunkId::of(chunk) != slot.id {
                    self.release(table, index);
                    result = Err(ReceiveError::Mismatch {
                        position: slot.position,
                        chunk: slot.id,
                    });
                    break;
                }
                if !stretch.continues(table, index) || stretch.length >= STRETCH_BYTES {
                    if let Err(error) = self.write_stretch(table, &stretch, bytes) {
                        self.release(table, index);
                        return Err(error);
                    }
                    stretch = Stretch {
                        first: index,
                        count: 0,
                        at,
                        length: 0,
                    };
                }
                stretch.count += 1;
                stretch.length += length;
            }
            at += length;
            index += 1;
        }
        self.write_stretch(table, &stretch, bytes)?;
        // Whoever filled the last slot may not have got here yet, and who asked for these bytes
        // takes the run for whole as soon as this returns.
        if table.is_done() {
            lock(&self.ledger).close(table);
        }
        result.map(|()| at)
    }

    /// Writes verified neighbours, and notes that they are in their place.
    fn write_stretch(
        &self,
        table: &RunTable,
        stretch: &Stretch,
        bytes: &[u8],
    ) -> Result<(), ReceiveError> {
        let Some(first) = table.slot(stretch.first).filter(|_| stretch.count > 0) else {
            return Ok(());
        };
        let root = &*self.destination().root;
        let stretch_bytes = &bytes[stretch.at..stretch.at + stretch.length];
        let indexes = stretch.first..stretch.first + stretch.count;
        if let Err(e) = first.target.write(root, first.offset, stretch_bytes) {
            indexes.for_each(|index| self.release(table, index));
            return Err(self.failed(&first.target, e));
        }
        let mut waiting: Vec<(Slot, usize)> = Vec::new();
        {
            let mut ledger = lock(&self.ledger);
            let mut at = 0;
            for index in indexes.clone() {
                let slot = table.slot(index).expect("a stretch lies within its run");
                ledger.land(self.received(slot.clone()), Source::Received);
                let places = ledger.take_waiting(&slot.id);
                waiting.extend(places.into_iter().map(|slot| (slot, at)));
                at += slot.length as usize;
            }
        }
        self.count_landed(&first.target, stretch.length as u64);
        let mut result = Ok(());
        for (slot, at) in waiting {
            let chunk = &stretch_bytes[at..at + slot.length as usize];
            result = result.and(self.write_again(&slot, chunk));
        }
        // Only now is nothing left to do for these: once all are done the receive may end.
        indexes.for_each(|index| table.done(index));
        result
    }

    /// Gives back a claimed slot whose bytes did not come. If its run was given back in the
    /// meantime, nobody waits for it there any more.
    fn release(&self, table: &RunTable, index: usize) {
        table.unclaim(index);
        let mut ledger = lock(&self.ledger);
        if !ledger.is_outstanding(table) && table.take(index) {
            ledger.ask_again(table.slot(index).cloned());
        }
    }

    /// Writes a chunk that came to a further place where it belongs.
    fn write_again(&self, slot: &Slot, chunk: &[u8]) -> Result<(), ReceiveError> {
        let root = &*self.destination().root;
        if let Err(e) = slot.target.write(root, slot.offset, chunk) {
            self.fetch_instead(slot);
            return Err(self.failed(&slot.target, e));
        }
        let landed = self.received(slot.clone());
        lock(&self.ledger).land(landed, Source::Reused);
        self.count_landed(&slot.target, u64::from(slot.length));
        Ok(())
    }

    fn received(&self, slot: Slot) -> Landed {
        Landed {
            slot,
            audience: self.request.audience,
            offered: true,
        }
    }
}

impl Stretch {
    /// Whether the slot with this index directly follows, in the run and in the file.
    fn continues(&self, table: &RunTable, index: usize) -> bool {
        self.count > 0
            && self.first + self.count == index
            && match (table.slot(self.first), table.slot(index)) {
                (Some(first), Some(next)) => {
                    Arc::ptr_eq(&first.target, &next.target)
                        && first.offset + self.length as u64 == next.offset
                }
                _ => false,
            }
    }
}
