//! The threads that verify and write what comes.
//!
//! Owns: telling good bytes from bad, and going on behind a bad chunk. Refuses: to decide
//! what becomes of a peer that sent one.

use std::ops::Range;
use std::sync::Arc;

use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::RequestId;
use shoal_store::Store;
use shoal_store::receive::{Receive, ReceiveError};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::buffers::Buffer;
use super::page_set::StorePages;

/// Enough to verify and write on two processors; the sockets need some too.
const WRITERS: usize = 2;

/// Bytes to verify and write.
pub(crate) struct Job {
    pub(crate) peer: PeerKey,
    pub(crate) request: RequestId,
    pub(crate) position: u64,
    pub(crate) bytes: Buffer,
}

/// What became of a job.
pub(crate) struct Verdict {
    pub(crate) peer: PeerKey,
    pub(crate) request: RequestId,
    /// Verified, and written.
    pub(crate) good: Vec<Range<u64>>,
    /// Chunks that are not what they should be.
    pub(crate) bad: Vec<Range<u64>>,
    /// The bytes do not begin and end where chunks do.
    pub(crate) out_of_step: Option<ReceiveError>,
    /// The destination does not take them.
    pub(crate) failed: Option<ReceiveError>,
}

/// The writers of one receive.
pub(crate) struct DiskWriters {
    jobs: Option<crossbeam_channel::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl DiskWriters {
    /// Starts the threads. Verdicts are at most as many as jobs, which are bounded by their
    /// buffers.
    pub(crate) fn start(
        receive: &Arc<Receive>,
        store: &Store,
        snapshot: Snapshot,
        verdicts: &mpsc::UnboundedSender<Verdict>,
    ) -> Self {
        let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
        let thread = |_| {
            let (receive, queue) = (Arc::clone(receive), queue.clone());
            let (store, verdicts) = (store.clone(), verdicts.clone());
            spawn_blocking(move || {
                for job in queue {
                    let verdict = write(&receive, &store, &snapshot, &job);
                    drop(job);
                    if verdicts.send(verdict).is_err() {
                        return;
                    }
                }
            })
        };
        Self {
            jobs: Some(jobs),
            threads: (0..WRITERS).map(thread).collect(),
        }
    }

    /// Hands over bytes; never waits.
    pub(crate) fn write(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("taken by `finish` alone");
        // The threads end only when this is dropped.
        let _ = jobs.send(job);
    }

    /// Waits until everything that was handed over is written.
    pub(crate) async fn finish(mut self) {
        self.jobs = None;
        for thread in self.threads {
            thread.await.expect("writing does not panic");
        }
    }
}

fn write(receive: &Receive, store: &Store, snapshot: &Snapshot, job: &Job) -> Verdict {
    let mut verdict = Verdict {
        peer: job.peer,
        request: job.request,
        good: Vec::new(),
        bad: Vec::new(),
        out_of_step: None,
        failed: None,
    };
    let end = job.position + job.bytes.len() as u64;
    let mut position = job.position;
    while position < end {
        let from = usize::try_from(position - job.position).expect("within a frame");
        match receive.write(position, &job.bytes[from..]) {
            Ok(()) => {
                verdict.good.push(position..end);
                return verdict;
            }
            Err(ReceiveError::Mismatch { position: at, .. }) => {
                if at > position {
                    verdict.good.push(position..at);
                }
                let next = chunk_end(store, snapshot, at).unwrap_or(end).min(end);
                verdict.bad.push(at..next);
                position = next;
            }
            Err(error @ (ReceiveError::Unrequested { .. } | ReceiveError::WrongLength { .. })) => {
                verdict.out_of_step = Some(error);
                return verdict;
            }
            Err(error) => {
                verdict.failed = Some(error);
                return verdict;
            }
        }
    }
    verdict
}

/// Where the chunk that begins at `position` ends.
fn chunk_end(store: &Store, snapshot: &Snapshot, position: u64) -> Option<u64> {
    let mut cursor = SnapshotCursor::new(snapshot);
    cursor.seek(position);
    while let Ok(Some(step)) = cursor.next(&StorePages(store)) {
        if let Step::Chunk {
            position: start,
            chunk,
            ..
        } = step
        {
            return (start == position).then(|| start + u64::from(chunk.length));
        }
    }
    None
}
