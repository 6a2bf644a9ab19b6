//! The threads that verify and write what comes.
//!
//! Owns: turning compressed bytes back, telling good bytes from bad, and going on behind a bad
//! chunk. Refuses: to decide
//! what becomes of a peer that sent one.

use std::ops::Range;
use std::sync::Arc;

use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::BASE_BYTES_MAX;
use shoal_protocol::wire::{Codec, RequestId};
use shoal_store::receive::{Receive, ReceiveError};
use shoal_store::{ReadError, Store};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::coding::{Decoder, NotEncoded};
use super::page_set::StorePages;
use super::session::Frame;

/// Enough to verify and write on two processors; the sockets need some too.
const WRITERS: usize = 2;

/// Bytes to verify and write.
pub(crate) struct Job {
    pub(crate) peer: PeerKey,
    pub(crate) request: RequestId,
    pub(crate) frame: Frame,
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
    /// They came as what they are beside a base that is not here any more: nobody's fault, and
    /// of no use.
    pub(crate) lost_base: bool,
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
                let mut desk = Desk::new(store, snapshot);
                for job in queue {
                    let verdict = write(&receive, &mut desk, &job);
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

/// What one thread works with.
struct Desk {
    store: Store,
    snapshot: Snapshot,
    decoder: Decoder,
    plain: Vec<u8>,
    base: Vec<u8>,
}

/// Why bytes could not be turned back.
enum Undecoded {
    /// They are not what they say.
    Wrong,
    /// What they build on is not here any more.
    LostBase,
}

impl Desk {
    fn new(store: Store, snapshot: Snapshot) -> Self {
        Self {
            store,
            snapshot,
            decoder: Decoder::new(),
            plain: Vec::new(),
            base: Vec::new(),
        }
    }

    /// The plain bytes of a compressed frame.
    fn decode(&mut self, frame: &Frame) -> Result<&[u8], Undecoded> {
        let base = match frame.data.codec {
            Codec::Raw | Codec::Zstd => None,
            Codec::ZstdWithBase {
                snapshot,
                start,
                end,
            } => {
                let read = self.read_base(snapshot, start..end);
                if !read.is_ok_and(|read| read == (start..end)) {
                    return Err(Undecoded::LostBase);
                }
                Some(&self.base[..])
            }
        };
        let length = frame.data.plain_length as usize;
        self.plain.resize(length, 0);
        let decoded = (self.decoder).decode(&frame.bytes, base, &mut self.plain);
        match decoded {
            Ok(()) => Ok(&self.plain),
            Err(NotEncoded) => Err(Undecoded::Wrong),
        }
    }

    fn read_base(
        &mut self,
        snapshot: SnapshotId,
        range: Range<u64>,
    ) -> Result<Range<u64>, ReadError> {
        let mut reader = self.store.run_reader(&snapshot)?;
        (self.store).read_run(&mut reader, range, BASE_BYTES_MAX, &mut self.base)
    }
}

fn write(receive: &Receive, desk: &mut Desk, job: &Job) -> Verdict {
    let range = job.frame.data.range();
    let mut verdict = Verdict {
        peer: job.peer,
        request: job.request,
        good: Vec::new(),
        bad: Vec::new(),
        out_of_step: None,
        lost_base: false,
        failed: None,
    };
    let (store, snapshot) = (desk.store.clone(), desk.snapshot);
    let decoded = match job.frame.data.codec {
        Codec::Raw => Ok(&job.frame.bytes[..]),
        _ => desk.decode(&job.frame),
    };
    match decoded {
        Ok(bytes) => write_plain(receive, &store, &snapshot, range.start, bytes, &mut verdict),
        Err(Undecoded::Wrong) => verdict.bad.push(range),
        Err(Undecoded::LostBase) => verdict.lost_base = true,
    }
    verdict
}

/// Writes whole chunks that begin at `start`, and notes what became of them.
fn write_plain(
    receive: &Receive,
    store: &Store,
    snapshot: &Snapshot,
    start: u64,
    bytes: &[u8],
    verdict: &mut Verdict,
) {
    let end = start + bytes.len() as u64;
    let mut position = start;
    while position < end {
        let from = usize::try_from(position - start).expect("within a frame");
        match receive.write(position, &bytes[from..]) {
            Ok(()) => {
                verdict.good.push(position..end);
                return;
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
                return;
            }
            Err(error) => {
                verdict.failed = Some(error);
                return;
            }
        }
    }
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
