//! What can go wrong in the store, by operation.
//!
//! Owns: the error types that several operations share, and the question whether the disk
//! is full, which callers answer by waiting. Refuses: advice; that is the cli's.

use std::io;
use std::path::{Path, PathBuf};

use shoal_protocol::id::{ChunkId, PageId, SnapshotId};
use shoal_protocol::paged_list;

/// Why the store could not read or write its own records.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused an operation.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The index refused an operation.
    #[error("index: {0}")]
    Index(Box<redb::Error>),
    /// A part of the index is not what the store writes.
    #[error("the index is damaged ({place}): {why}")]
    DamagedIndex {
        /// The part.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A page has other bytes than its id says, everywhere that it lies.
    #[error("page {0} is damaged")]
    DamagedPage(PageId),
    /// An earlier write to a pack failed, so that nothing more can be vouched for until the
    /// store is opened again.
    #[error("an earlier write failed: {0}")]
    Poisoned(String),
}

impl StoreError {
    /// An error of the file system at `path`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }

    /// Whether the index can only be made anew:
    /// [`Store::rebuild`](crate::Store::rebuild).
    pub fn is_damaged_index(&self) -> bool {
        match self {
            Self::DamagedIndex { .. } => true,
            Self::Index(error) => matches!(&**error, redb::Error::Corrupted(_)),
            _ => false,
        }
    }

    /// Whether the disk, or the user's share of it, is full: waiting may help.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_no_space(source),
            Self::Index(error) => {
                matches!(&**error, redb::Error::Io(source) if is_no_space(source))
            }
            _ => false,
        }
    }
}

/// Whether `error` says that the disk or the quota is full.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Index(Box::new(error.into()))
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store at {home} is in use by {holder}")]
    Busy {
        /// Where the store lies.
        home: PathBuf,
        /// What the process that has it says about itself.
        holder: String,
    },
    /// It lies on a network file system, where locks and syncs cannot be trusted.
    #[error("{home} is on a network file system ({kind})")]
    NetworkFileSystem {
        /// Where the store lies.
        home: PathBuf,
        /// The file system's name.
        kind: &'static str,
    },
    /// A newer shoal wrote it.
    #[error("the store has format {found}; this shoal knows formats up to {supported}")]
    NewerFormat {
        /// The format that was found.
        found: u32,
        /// The newest that this program knows.
        supported: u32,
    },
    /// An older shoal wrote it, in a format that is no longer read.
    #[error("the store has format {found}; this shoal reads formats from {supported} on")]
    OlderFormat {
        /// The format that was found.
        found: u32,
        /// The oldest that this program knows.
        supported: u32,
    },
    /// There are packs, but no index: [`Store::rebuild`](crate::Store::rebuild) makes one.
    #[error("the index of the store at {home} is missing")]
    MissingIndex {
        /// Where the store lies.
        home: PathBuf,
    },
    /// The index cannot be read; it can be rebuilt from the packs.
    #[error("the index of the store at {home} is damaged: {why}")]
    DamagedIndex {
        /// Where the store lies.
        home: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Anything else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the bytes of a chunk could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No place on this disk has them (any more).
    #[error("{0} is not on this disk")]
    Missing(ChunkId),
    /// Nothing is known of the snapshot.
    #[error("{0} is not known here")]
    UnknownSnapshot(SnapshotId),
    /// A page that leads to them is not here.
    #[error("{0} is not on this disk")]
    MissingPage(PageId),
    /// A page that leads to them is not well formed.
    #[error("{page}: {why}")]
    BadPage {
        /// The page.
        page: PageId,
        /// What is wrong with it.
        why: String,
    },
    /// A range that does not lie within the snapshot, or not on chunk boundaries.
    #[error("positions {start}..{end} are not a run of whole chunks of this snapshot")]
    BadRange {
        /// First position.
        start: u64,
        /// Position behind the last.
        end: u64,
    },
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<paged_list::ReadError<StoreError>> for ReadError {
    fn from(error: paged_list::ReadError<StoreError>) -> Self {
        match error {
            paged_list::ReadError::Missing(page) => Self::MissingPage(page),
            paged_list::ReadError::Corrupt { page, why } => Self::BadPage {
                page,
                why: why.to_string(),
            },
            paged_list::ReadError::Source(error) => Self::Store(error),
        }
    }
}
