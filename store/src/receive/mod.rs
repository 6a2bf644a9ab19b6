//! Receives a snapshot into a destination: what is missing, in which order, and where the
//! bytes go.
//!
//! Owns: the plan (which pages and runs to ask for, what is here already), the writing of
//! verified bytes, the have-map, and the moment at which a file appears under its name.
//! Refuses: peers, sockets and clocks; whoever fetches asks [`Receive::next`] what to fetch
//! and hands the bytes to [`Receive::write`].
//!
//! A destination is a folder, or a lone file. What is not whole yet lies beneath
//! [`STAGING`] in it (beside it, for a lone file), one file for each entry, named by the
//! entry's index. When the last chunk of a file is in its place, the file is renamed. What
//! an interrupted receive left is found again by those names, and believed as far as the
//! have-map speaks for it; the rest is hashed where it lies.

mod bytes;
mod error;
mod fill;
mod finish;
mod judge;
mod ledger;
mod likeness;
mod open;
mod place;
mod plan;
mod preflight;
mod record;
mod resume;
mod run;
mod source;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::Snapshot;

use crate::Store;
use crate::destination::Destination;
pub use crate::destination::STAGING;
use crate::export::Tree;
use crate::index::{AbsolutePath, AudienceId};
use ledger::Ledger;
use plan::Plan;
use resume::{Base, Resumed};

pub use error::{LISTED_PATHS_MAX, Paths, ReceiveError};
pub use likeness::{LIKENESS_BYTES_MAX, Likeness};

/// The length that runs are cut to.
pub const RUN_BYTES: u64 = 1 << 20;
/// The most bytes in a run.
pub const RUN_BYTES_MAX: u64 = 16 << 20;
/// The most chunks in a run.
pub const RUN_CHUNKS_MAX: usize = 4096;

/// What to receive, and where to.
#[derive(Debug, Clone)]
pub struct ReceiveRequest {
    /// The snapshot. Its record is in the store; its pages need not be.
    pub snapshot: SnapshotId,
    /// What the artifact becomes: the folder whose entries it has, or the file that it is.
    /// Absolute.
    pub dest: PathBuf,
    /// Under whose right the bytes come: the audience of the snapshot's row.
    pub audience: AudienceId,
    /// Whether files that the user edited are overwritten.
    pub force: bool,
    /// Receive only the file or folder at this path, which becomes `dest`.
    pub inside: Option<ManifestPath>,
}

/// A contiguous stretch of positions that is fetched as one: at most [`RUN_BYTES_MAX`] and
/// [`RUN_CHUNKS_MAX`] chunks, from one chunk boundary to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Distinguishes this run from every other of the same receive.
    pub id: u64,
    /// Its first position.
    pub start: u64,
    /// The position behind its last.
    pub end: u64,
}

/// What a receive needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These pages: put them into the store, then ask again.
    Pages(Vec<PageId>),
    /// These bytes: hand them to [`Receive::write`], in any pieces of whole chunks.
    Run(Run),
    /// Nothing more until runs that are outstanding are done or given back; then ask again.
    Wait,
    /// The same; and unless something goes wrong there will be no further runs.
    WaitForLast,
    /// Nothing: every byte is here. Call [`Receive::finish`].
    Done,
}

/// How far a receive is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiveProgress {
    /// Bytes of the snapshot, or of the part of it that is received.
    pub bytes_total: u64,
    /// Bytes that are verified and in their place.
    pub bytes_held: u64,
    /// Of those, bytes that came through [`Receive::write`].
    pub bytes_received: u64,
    /// Of those, bytes that this disk had elsewhere, and holes.
    pub bytes_reused: u64,
    /// Of those, bytes that stood in the destination when this receive began.
    pub bytes_resumed: u64,
    /// Entries of the snapshot; an upper bound where only a part of it is received.
    pub entries_total: u64,
    /// Entries that stand whole under their names.
    pub entries_done: u64,
    /// Of those, entries that this receive gave their names: the others stood there already.
    pub entries_written: u64,
    /// Percent that an earlier, interrupted receive had reached, if this one goes on from it.
    pub resumed_at: Option<u8>,
}

/// What a finished receive did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// How the bytes came about.
    pub progress: ReceiveProgress,
    /// Files of the earlier version that the new one has no more, and that were removed.
    pub removed: u64,
    /// Files that hold the last bytes of a kept version, moved to the side area.
    pub moved_aside: u64,
    /// What the user should hear: symlinks that point out of the artifact, and the like.
    pub warnings: Vec<String>,
}

/// A snapshot on its way into its destination. Threads share it: one asks [`Receive::next`],
/// any number call [`Receive::write`].
pub struct Receive {
    store: Store,
    /// `dest` is resolved.
    request: ReceiveRequest,
    snapshot: Snapshot,
    dest: AbsolutePath,
    /// The store's own directory, where it lies in the destination.
    home_inside: Option<PathBuf>,
    /// Snapshots whose files may stand in the destination.
    bases: Vec<Base>,
    /// What an earlier receive of the same left.
    resumed: Option<Resumed>,
    /// Which run of the machine this is; empty where that cannot be told.
    boot: String,
    place: OnceLock<Place>,
    plan: Mutex<Plan>,
    ledger: Mutex<Ledger>,
    /// Held shared by whoever writes, and alone by whoever finishes.
    writing: RwLock<()>,
    /// Held while the index learns what has landed, so that it learns in order.
    recording: Mutex<()>,
    moved_aside: AtomicU64,
    /// Whether the preflight is passed: before, nothing is written or recorded.
    begun: AtomicBool,
    /// Whether all that shoal ever wrote to the destination came under this audience.
    pure: AtomicBool,
    cancelled: AtomicBool,
    /// Held while the index is told that it is no more.
    mixing: Mutex<()>,
    /// Why a whole file could not get its name: told by whatever is called next.
    trouble: Mutex<Option<ReceiveError>>,
    /// Whether files that stand in the destination may be the only bytes of a kept version;
    /// found out when first asked.
    keeps_files: OnceLock<bool>,
}

/// What is known once it is known where everything goes.
struct Place {
    destination: Destination,
    root_path: AbsolutePath,
    tree: Tree,
    span: Range<u64>,
    entries: u64,
    resumed_at: Option<u8>,
}

impl Receive {
    /// What to fetch next. Bytes that this disk already has are filled in on the way, so a
    /// call may take as long as that takes: call it from a thread that may block.
    ///
    /// The first calls look whether the snapshot can be written at all; until they are
    /// through, nothing is.
    pub fn next(&self) -> Result<Next, ReceiveError> {
        let mut plan = lock(&self.plan);
        let next = self.next_of(&mut plan);
        if next.is_err() {
            self.abandon_if_unwritten();
        }
        self.no_trouble().and(next)
    }

    /// Takes the bytes at `position`: one or more whole chunks of outstanding runs. Each is
    /// verified before it touches the disk. A chunk that is here already is passed over.
    /// After an error the chunks before the one that it names are in place, and the others
    /// are still outstanding.
    pub fn write(&self, position: u64, bytes: &[u8]) -> Result<(), ReceiveError> {
        let written = self.write_at(position, bytes);
        written.and_then(|()| self.no_trouble())
    }

    /// Where the chunks of the outstanding run at `position` end, as distances from its first
    /// position; nothing if there is none.
    pub fn chunk_ends(&self, position: u64) -> Arc<[u32]> {
        let table = lock(&self.ledger).run_at(position).cloned();
        table.map_or_else(Arc::default, |table| table.chunk_ends())
    }

    /// Gives up an outstanding run: what of it did not come is given out again by
    /// [`Receive::next`], as new runs. A run that came whole needs no call at all.
    pub fn give_back(&self, run: u64) {
        let mut ledger = lock(&self.ledger);
        if let Some(table) = ledger.run(run).cloned() {
            let slots = table.take_wanted();
            ledger.close(&table);
            ledger.ask_again(slots);
        }
    }

    /// Has what is here served to others. Nothing waits for the disk, and if the process ends
    /// before the next checkpoint, a later receive has to look for it again.
    pub fn publish(&self) -> Result<(), ReceiveError> {
        self.record(false)
    }

    /// Records what is here, so that it is served to others and a later receive goes on
    /// from it: about every five seconds or 256 MiB, and when interrupted.
    pub fn checkpoint(&self) -> Result<(), ReceiveError> {
        self.record(true)
    }

    /// Makes the last names (symlinks), removes what the new version has no more, and
    /// acknowledges the snapshot as whole; with `sync`, once it survives a power cut.
    /// Without, [`Store::sync_unsynced`] does that later.
    pub fn finish(&self, sync: bool) -> Result<Received, ReceiveError> {
        self.finish_all(sync)
    }

    /// Makes a [`Receive::next`] that is under way, and every later one, end soon with
    /// [`ReceiveError::Cancelled`]. What is here stays, for a later receive.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn progress(&self) -> ReceiveProgress {
        let ledger = lock(&self.ledger);
        let span = self.span();
        ReceiveProgress {
            bytes_total: span.end - span.start,
            bytes_held: ledger.bytes_received + ledger.bytes_reused + ledger.bytes_resumed,
            bytes_received: ledger.bytes_received,
            bytes_reused: ledger.bytes_reused,
            bytes_resumed: ledger.bytes_resumed,
            entries_total: self
                .place
                .get()
                .map_or(self.snapshot.entries, |p| p.entries),
            entries_done: ledger.entries_done,
            entries_written: ledger.entries_written,
            resumed_at: self.place.get().and_then(|place| place.resumed_at),
        }
    }

    /// The positions that are held, and of those the ones that may be offered to others.
    pub fn have(&self) -> (RangeSet, RangeSet) {
        let ledger = lock(&self.ledger);
        (ledger.held.clone(), ledger.offered.clone())
    }

    /// The versions whose files may stand in the destination because shoal wrote them: what
    /// [`Receive::likenesses`] names.
    pub fn earlier_versions(&self) -> Vec<SnapshotId> {
        let others = self.bases.iter().filter(|base| !base.ours);
        others.map(|base| base.snapshot.id()).collect()
    }

    /// The destination, as it was resolved.
    pub fn dest(&self) -> &Path {
        self.dest.as_path()
    }

    /// Under whose right the bytes come.
    pub fn audience(&self) -> AudienceId {
        self.request.audience
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The error of a file that could not get its name, if nobody was told yet.
    fn no_trouble(&self) -> Result<(), ReceiveError> {
        lock(&self.trouble).take().map_or(Ok(()), Err)
    }

    fn span(&self) -> Range<u64> {
        (self.place.get()).map_or(0..self.snapshot.bytes, |place| place.span.clone())
    }

    fn place_known(&self) -> &Place {
        self.place.get().expect("opened before anything is planned")
    }

    fn destination(&self) -> &Destination {
        &self.place_known().destination
    }

    fn root_path(&self) -> &AbsolutePath {
        &self.place_known().root_path
    }

    /// Whether a name is one that shoal needs for itself: the staging area, or the store.
    fn is_reserved(&self, name: &ManifestPath) -> bool {
        let store = self.home_inside.as_ref();
        self.destination().reserves(name)
            || store.is_some_and(|home| Path::new(name.as_str()).starts_with(home))
    }

    fn failed(&self, target: &target::Target, source: std::io::Error) -> ReceiveError {
        self.destination().failed(target.path(), source)
    }

    fn edited(&self, name: &ManifestPath) -> ReceiveError {
        ReceiveError::Edited {
            dest: self.dest.as_path().to_owned(),
            paths: Paths::one(name.as_str()),
        }
    }

    fn clash(&self, name: &ManifestPath) -> ReceiveError {
        ReceiveError::KindClash {
            dest: self.dest.as_path().to_owned(),
            paths: Paths::one(name.as_str()),
        }
    }
}

impl std::fmt::Debug for Receive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receive")
            .field("snapshot", &self.request.snapshot)
            .field("dest", &self.dest)
            .finish_non_exhaustive()
    }
}

/// Locks; a thread that panicked while it held the lock has left the state whole, because
/// nothing in this module panics half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
