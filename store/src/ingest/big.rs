//! A file that several threads cut at once, a segment each.
//!
//! Owns: the order in which segments are joined, so that the chunks are exactly those of one
//! pass from the front. Refuses: the file itself; see [`file`](super::file).
//!
//! A thread cuts its segment without waiting for anybody, with its bytes in its own buffer.
//! Only then it waits until the segment before has been joined, joins its own (most often two
//! or three chunks are cut again), lets the next one go on, and stores the chunks. Segments
//! are given out in order, so whoever waits waits for somebody who works.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use shoal_protocol::chunking::Stitcher;
use shoal_protocol::manifest::Content;
use shoal_protocol::paged_list::ChunkRef;
use shoal_protocol::path::ManifestPath;

use super::file::{Reading, Taken, Worker};
use super::work::{Trouble, Work};

/// A file of several segments while it is read.
pub(super) struct Big {
    reading: Reading,
    chain: Mutex<Chain>,
    joined: Condvar,
    placed: AtomicU64,
}

struct Chain {
    /// The segment that is joined next.
    next: u64,
    stitcher: Stitcher,
    /// A segment could not be cut, so none behind it can be joined.
    broken: bool,
}

impl Big {
    /// Opens the file at `path`.
    pub(super) fn begin(work: &Work<'_>, path: &ManifestPath) -> Result<Self, Trouble> {
        Ok(Self {
            reading: Reading::begin(work, path)?,
            chain: Mutex::new(Chain {
                next: 0,
                stitcher: Stitcher::new(),
                broken: false,
            }),
            joined: Condvar::new(),
            placed: AtomicU64::new(0),
        })
    }

    /// How many segments it has.
    pub(super) fn segments(&self, work: &Work<'_>) -> u64 {
        self.reading.segments(work)
    }

    /// Cuts a segment and stores its chunks, which it gives.
    pub(super) fn segment(
        &self,
        work: &Work<'_>,
        worker: &mut Worker,
        segment: u64,
    ) -> Result<Vec<ChunkRef>, Trouble> {
        let link = Link { big: self, segment };
        worker.cut(work, &self.reading, segment)?;
        link.join(work, worker)?;
        let placed = worker.put(work, &self.reading)?;
        self.placed.fetch_add(placed, Ordering::Relaxed);
        Ok(worker.chunks().collect())
    }

    /// As [`Reading::end`].
    pub(super) fn end(&self, work: &Work<'_>, content: Content) -> Result<Taken, Trouble> {
        let placed = self.placed.load(Ordering::Relaxed);
        let taken = self.reading.end(work, content, placed);
        if taken.is_err() {
            self.abandon(work);
        }
        taken
    }

    /// As [`Reading::abandon`].
    pub(super) fn abandon(&self, work: &Work<'_>) {
        self.reading.abandon(work);
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A segment's part in the chain. If it is dropped before it was joined, for whatever reason,
/// nobody waits for it any longer.
struct Link<'a> {
    big: &'a Big,
    segment: u64,
}

impl Link<'_> {
    fn join(self, work: &Work<'_>, worker: &mut Worker) -> Result<(), Trouble> {
        let mut chain = self.big.chain();
        while chain.next != self.segment && !chain.broken {
            chain = self
                .big
                .joined
                .wait(chain)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if chain.broken {
            return Err(Trouble::Skipped);
        }
        worker.join(&mut chain.stitcher, &self.big.reading, work, self.segment)?;
        chain.next += 1;
        Ok(())
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        let mut chain = self.big.chain();
        chain.broken |= chain.next <= self.segment;
        self.big.joined.notify_all();
    }
}
