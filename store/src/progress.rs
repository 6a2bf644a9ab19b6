//! What a long operation tells while it runs, and how it is asked to stop.
//!
//! Owns: the trait through which `add`, `verify`, `receive` and `export` speak to whoever
//! shows progress. Refuses: rates, times and terminals, which are the listener's. Calls come
//! from many threads, in no order, and must return quickly: they are made inside loops.

use std::fmt;
use std::path::PathBuf;

use shoal_protocol::size::Size;

/// A listener to one operation. Every method has an empty default, so that a listener
/// implements what it shows.
pub trait Progress: Send + Sync {
    /// What the operation does from now on.
    fn phase(&self, _phase: Phase) {}
    /// So many files are finished in this phase; `total` as soon as it is known.
    fn files(&self, _done: u64, _total: Option<u64>) {}
    /// So many more bytes are finished in this phase.
    fn bytes(&self, _more: u64) {}
    /// How many bytes this phase is about.
    fn total_bytes(&self, _total: u64) {}
    /// Something that the user should read now rather than at the end.
    fn note(&self, _note: Note) {}
    /// Whether to stop. It is asked at least once for each few megabytes or hundred files.
    fn cancelled(&self) -> bool {
        false
    }
}

/// What an operation is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Finding out which files there are.
    Walking,
    /// Reading, cutting and hashing files.
    Hashing,
    /// Planning what must come from elsewhere.
    Planning,
    /// Moving bytes.
    Transferring,
    /// Reading back and comparing with the hashes.
    Verifying,
    /// Making sure that everything survives a power cut.
    Syncing,
    /// Giving room back.
    Collecting,
}

/// Something that the user should read while the operation still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The store is about to hold a second copy of these bytes, for lack of reflinks.
    Copying {
        /// Bytes that will be written, at most.
        bytes: u64,
        /// Bytes that the store's file system has free.
        free: u64,
    },
    /// A file changed while it was read and is read again.
    ChangedWhileRead {
        /// The file.
        path: PathBuf,
        /// How often it has been read by now.
        attempt: u32,
    },
    /// The disk is full; the operation goes on when there is room again.
    WaitingForRoom {
        /// Bytes that are needed to go on.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Copying { bytes, free } => write!(
                f,
                "this file system has no reflinks: up to {} are copied into the store \
                 ({} are free; `--in-place` would copy nothing)",
                Size(*bytes),
                Size(*free)
            ),
            Note::ChangedWhileRead { path, attempt } => write!(
                f,
                "{} changed while it was read (attempt {attempt}); reading it again",
                path.display()
            ),
            Note::WaitingForRoom { needed, free } => {
                write!(
                    f,
                    "the disk is full: {} are needed and {} are free",
                    Size(*needed),
                    Size(*free)
                )
            }
        }
    }
}

/// The listener that shows nothing and never stops anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
