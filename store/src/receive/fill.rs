//! Puts chunks into their places that this disk already has.
//!
//! Owns: the checking of bytes that lie in the destination, and the copying of those that
//! lie elsewhere. Refuses: to trust any of them; every chunk is hashed. What turns out not
//! to be there after all is asked for from others.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use shoal_protocol::id::ChunkId;

use super::ledger::{Landed, Source};
use super::run::Slot;
use super::target::{Start, Target};
use super::{Receive, ReceiveError, lock};
use crate::error::ReadError;
use crate::index::AudienceId;

/// Jobs that are not worth starting a thread for.
const JOBS_ALONE: usize = 8;
/// Threads that fill at once.
const THREADS_MAX: usize = 8;

/// A chunk that this disk is thought to have.
pub(crate) struct Job {
    slot: Slot,
    from: From,
}

/// Where it is thought to be.
pub(crate) enum From {
    /// In its place already.
    Place,
    /// Somewhere that the index knows, where it came for these audiences.
    Store(Vec<AudienceId>),
    /// In another place of this receive that the index does not know yet.
    Recent {
        /// The file.
        target: Arc<Target>,
        /// Where in the file.
        offset: u64,
    },
}

impl Job {
    /// A job for this slot.
    pub(crate) fn new(slot: Slot, from: From) -> Self {
        Self { slot, from }
    }
}

impl Receive {
    /// Does the jobs, on all cores. After an error, those that were not done are asked for
    /// from others.
    pub(super) fn fill(&self, jobs: Vec<Job>) -> Result<(), ReceiveError> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = match jobs.len() {
            0..=JOBS_ALONE => 1,
            many => cores.min(THREADS_MAX).min(many / JOBS_ALONE),
        };
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let work = || self.fill_some(&jobs, &next, &failed);
        if threads == 1 {
            return work();
        }
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut result = work();
            for other in others {
                let theirs = other.join().expect("filling does not panic");
                result = result.and(theirs);
            }
            result
        })
    }

    fn fill_some(
        &self,
        jobs: &[Job],
        next: &AtomicUsize,
        failed: &AtomicBool,
    ) -> Result<(), ReceiveError> {
        let mut bytes = Vec::new();
        let mut result = Ok(());
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed.load(Ordering::Relaxed) {
                self.fetch_instead(&job.slot);
                continue;
            }
            if let Err(error) = self.fill_one(job, &mut bytes) {
                failed.store(true, Ordering::Relaxed);
                self.fetch_instead(&job.slot);
                result = result.and(Err(error));
            }
        }
        result
    }

    fn fill_one(&self, job: &Job, bytes: &mut Vec<u8>) -> Result<(), ReceiveError> {
        let slot = &job.slot;
        match &job.from {
            From::Place => {
                if self.read_checked(&slot.target, slot.offset, slot, bytes) {
                    return self.land_found(slot);
                }
                self.doubt(slot)?;
            }
            From::Recent { target, offset } => {
                if self.read_checked(target, *offset, slot, bytes) {
                    let known = lock(&self.ledger).recent_audience(&slot.id);
                    return self.write_copy(slot, bytes, known.as_slice());
                }
            }
            From::Store(known) => {
                if self.read_stored(slot, bytes)? {
                    return self.write_copy(slot, bytes, known);
                }
                self.fetch_instead(slot);
                return Ok(());
            }
        }
        if let Some(known) = self.audiences(&slot.id)?
            && self.read_stored(slot, bytes)?
        {
            return self.write_copy(slot, bytes, &known);
        }
        self.fetch_instead(slot);
        Ok(())
    }

    /// Reads a chunk from the store, which verifies it. Says whether it was there.
    fn read_stored(&self, slot: &Slot, bytes: &mut Vec<u8>) -> Result<bool, ReceiveError> {
        match self.store.read_chunk(&slot.id, bytes) {
            Ok(_) => Ok(bytes.len() == slot.length as usize),
            Err(ReadError::Store(error)) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    /// Reads a chunk from a file of this receive. Says whether it was there.
    fn read_checked(&self, target: &Target, offset: u64, slot: &Slot, bytes: &mut Vec<u8>) -> bool {
        bytes.resize(slot.length as usize, 0);
        let root = &*self.destination().root;
        let read = target.read(root, offset, bytes);
        read.is_ok_and(|read| read == bytes.len()) && ChunkId::of(bytes) == slot.id
    }

    /// Deals with a chunk that is wrong in its place. A file under its final name may be
    /// changed only if it is shoal's.
    fn doubt(&self, slot: &Slot) -> Result<(), ReceiveError> {
        match slot.target.start {
            Start::New | Start::Staged => Ok(()),
            Start::Standing { ours: false } => Err(self.edited(&slot.target.name)),
            Start::Standing { ours: true } => (slot.target)
                .take_back(&*self.destination().root)
                .map_err(|e| self.failed(&slot.target, e)),
        }
    }

    /// Asks others for a chunk, unless it is on its way for another place already.
    pub(super) fn fetch_instead(&self, slot: &Slot) {
        let mut ledger = lock(&self.ledger);
        if ledger.await_chunk(slot) {
            ledger.ask_again([slot.clone()]);
        }
    }

    /// Notes a chunk that was found in its place.
    fn land_found(&self, slot: &Slot) -> Result<(), ReceiveError> {
        let ours = self.request.audience;
        let (_, mapped) = self.mapped(slot.position..slot.end());
        let (audience, offered) = match self.audiences(&slot.id)? {
            Some(known) if known.contains(&ours) => (ours, true),
            Some(known) => (known.first().copied().unwrap_or(AudienceId::SELF), mapped),
            // The index was not told before the process ended.
            None if self.is_pure() => (ours, true),
            None => (AudienceId::SELF, false),
        };
        self.land(slot.clone(), audience, offered, Source::Resumed);
        Ok(())
    }

    /// Writes a chunk that was found elsewhere on this disk, where it came for the audiences
    /// that are `known`.
    fn write_copy(
        &self,
        slot: &Slot,
        bytes: &[u8],
        known: &[AudienceId],
    ) -> Result<(), ReceiveError> {
        let ours = self.request.audience;
        let offered = known.contains(&ours);
        let audience = match known.first() {
            _ if offered => ours,
            Some(first) => *first,
            None => AudienceId::SELF,
        };
        if !offered {
            self.mix()?;
        }
        let root = &*self.destination().root;
        (slot.target.write(root, slot.offset, bytes)).map_err(|e| self.failed(&slot.target, e))?;
        self.land(slot.clone(), audience, offered, Source::Reused);
        Ok(())
    }

    fn audiences(&self, id: &ChunkId) -> Result<Option<Vec<AudienceId>>, ReceiveError> {
        Ok(self.store.chunk(id)?.map(|row| row.audiences))
    }

    /// Notes a chunk that is in its place and verified, and gives its file its name if it
    /// was the last.
    pub(super) fn land(&self, slot: Slot, audience: AudienceId, offered: bool, source: Source) {
        let target = slot.target.clone();
        let length = u64::from(slot.length);
        let landed = Landed {
            slot,
            audience,
            offered,
        };
        lock(&self.ledger).land(landed, source);
        self.count_landed(&target, length);
    }

    /// Makes a hole.
    pub(super) fn land_hole(&self, slot: &Slot) -> Result<(), ReceiveError> {
        let root = &*self.destination().root;
        (slot
            .target
            .write_zeros(root, slot.offset, u64::from(slot.length)))
        .map_err(|e| self.failed(&slot.target, e))?;
        // What everybody knows may be offered to anybody.
        self.land(slot.clone(), self.request.audience, true, Source::Reused);
        Ok(())
    }

    /// Counts bytes of a file that are in their place. What goes wrong after that is not the
    /// fault of the bytes, and told later.
    pub(super) fn count_landed(&self, target: &Arc<Target>, bytes: u64) {
        let placed = match target.landed(bytes) {
            true => self.place(target),
            false => Ok(()),
        };
        let full = lock(&self.ledger).is_full();
        let recorded = if full { self.record(false) } else { Ok(()) };
        if let Err(error) = placed.and(recorded) {
            lock(&self.trouble).get_or_insert(error);
        }
    }
}
