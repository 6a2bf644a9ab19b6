//! Receives a snapshot into a destination: what is missing, in which order, and where the
//! bytes go.
//!
//! Owns: the plan (which pages and runs to ask for, what is here already), the writing of
//! verified bytes, the have-map, and the moment at which a file appears under its name.
//! Refuses: peers, sockets and clocks; whoever fetches asks [`Receive::next`] what to fetch
//! and hands the bytes to [`Receive::write`].

mod error;

use std::path::PathBuf;

use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::path::ManifestPath;

pub use error::{Paths, ReceiveError};

/// The length that runs are cut to.
pub const RUN_BYTES: u64 = 4 << 20;
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
    pub audience: u32,
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
    /// Enough runs are outstanding; ask again when one is done.
    Wait,
    /// Nothing: every byte is here. Call [`Receive::finish`].
    Done,
}

/// How far a receive is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiveProgress {
    /// Bytes of the snapshot (or of the part of it that is received).
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
    /// Percent that an earlier, interrupted receive had reached, if this one goes on from it.
    pub resumed_at: Option<u8>,
}

/// What a finished receive did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// How the bytes came about.
    pub progress: ReceiveProgress,
    /// Files of the earlier version that the new one has no more.
    pub removed: u64,
    /// Files that hold the last bytes of a kept version, moved to the side area.
    pub moved_aside: u64,
    /// What the user should hear: symlinks that point out of the artifact, and the like.
    pub warnings: Vec<String>,
}

/// A snapshot on its way into its destination. Threads share it: one asks [`Receive::next`],
/// any number call [`Receive::write`].
#[derive(Debug)]
pub struct Receive {}

#[allow(clippy::todo, missing_docs, clippy::missing_errors_doc)]
impl Receive {
    /// What to fetch next. Bytes that this disk already has are filled in on the way, so a
    /// call may take as long as that takes: call it from a thread that may block.
    pub fn next(&self) -> Result<Next, ReceiveError> {
        todo!()
    }

    /// Takes the bytes at `position`: one or more whole chunks of an outstanding run. Each is
    /// verified before it touches the disk. A chunk that is here already is passed over.
    /// After an error the chunks before the one that it names are in place.
    pub fn write(&self, position: u64, bytes: &[u8]) -> Result<(), ReceiveError> {
        let _ = (position, bytes);
        todo!()
    }

    /// Gives up an outstanding run: what of it did not come is given out again by
    /// [`Receive::next`], as new runs. A run that came whole needs no call at all.
    pub fn give_back(&self, run: u64) {
        let _ = run;
        todo!()
    }

    /// Records what is here, so that it is served to others and a later receive goes on
    /// from it: about every five seconds or 256 MiB, and when interrupted.
    pub fn checkpoint(&self) -> Result<(), ReceiveError> {
        todo!()
    }

    /// Makes the last names (symlinks), removes what the new version has no more, and
    /// acknowledges the snapshot as whole; with `sync`, once it survives a power cut. Without,
    /// the store does that later.
    pub fn finish(&self, sync: bool) -> Result<Received, ReceiveError> {
        let _ = sync;
        todo!()
    }

    /// How far it is.
    pub fn progress(&self) -> ReceiveProgress {
        todo!()
    }

    /// The destination, as it was resolved.
    pub fn dest(&self) -> &std::path::Path {
        todo!()
    }
}
