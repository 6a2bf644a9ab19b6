//! Why a receive fails, with the path, position or chunk that it failed at.

use std::io;
use std::path::{Path, PathBuf};

use shoal_protocol::id::{ChunkId, PageId, SnapshotId};
use shoal_protocol::paged_list;
use shoal_protocol::path::ManifestPath;
use shoal_protocol::size::Size;

use crate::error::{StoreError, is_no_space};

/// The most paths that an error lists; the rest are counted.
pub const LISTED_PATHS_MAX: usize = 20;

/// Paths that an error speaks of: the first [`LISTED_PATHS_MAX`], and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// The first of them.
    pub listed: Vec<String>,
    /// All of them.
    pub count: u64,
}

impl Paths {
    /// One path.
    pub fn one(path: impl Into<String>) -> Self {
        let mut paths = Self::default();
        paths.push(path);
        paths
    }

    /// Takes one more.
    pub fn push(&mut self, path: impl Into<String>) {
        if self.listed.len() < LISTED_PATHS_MAX {
            self.listed.push(path.into());
        }
        self.count += 1;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl std::fmt::Display for Paths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.listed.join(", "))?;
        match self.count - self.listed.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Why a receive cannot begin, go on, or end.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The store knows no such snapshot.
    #[error("the store knows no snapshot {0}")]
    UnknownSnapshot(SnapshotId),
    /// The snapshot has nothing at the path that was asked for.
    #[error("the snapshot has nothing at `{0}`")]
    NoSuchPath(ManifestPath),
    /// Another receive, of this process or another, is writing into this destination.
    #[error("{} is being written by {holder}", dest.display())]
    DestinationBusy {
        /// The destination.
        dest: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// The destination lies in a store.
    #[error("{} lies inside the store at {}", dest.display(), home.display())]
    InsideStore {
        /// The destination.
        dest: PathBuf,
        /// The store.
        home: PathBuf,
    },
    /// A lone file would have to become an existing directory, or a folder an existing file.
    #[error("{} is a {found}, but the artifact is a {wanted}", dest.display())]
    WrongShape {
        /// The destination.
        dest: PathBuf,
        /// What stands there.
        found: &'static str,
        /// What would have to stand there.
        wanted: &'static str,
    },
    /// The destination is a folder with content that shoal did not write. `force` writes
    /// into it and replaces files of the same names.
    #[error("{} holds files that shoal did not write: {paths}", dest.display())]
    NotEmpty {
        /// The destination.
        dest: PathBuf,
        /// What stands in it.
        paths: Paths,
    },
    /// Files that the user edited, or made, would be overwritten. `force` does so.
    #[error("{} has files that shoal did not write, or that were changed since: {paths}", dest.display())]
    Edited {
        /// The destination.
        dest: PathBuf,
        /// The files, beneath it.
        paths: Paths,
    },
    /// A directory stands where a file belongs, or a file where a directory belongs, and not
    /// even `force` removes it.
    #[error("{} has a directory where a file belongs, or the reverse: {paths}", dest.display())]
    KindClash {
        /// The destination.
        dest: PathBuf,
        /// The names, beneath it.
        paths: Paths,
    },
    /// Two names that the file system of the destination takes for one.
    #[error("the file system at {} does not tell these names apart: {paths}", dest.display())]
    NamesCollide {
        /// The destination.
        dest: PathBuf,
        /// The names, beneath it.
        paths: Paths,
    },
    /// The artifact has a name that shoal keeps for itself while it receives.
    #[error("the artifact holds `{0}`, a name that shoal needs while it receives")]
    ReservedName(ManifestPath),
    /// The file system of the destination has no room for what is missing.
    #[error("{} needs {} and has room for {}", dest.display(), Size(*needed), Size(*free))]
    NoRoom {
        /// The destination.
        dest: PathBuf,
        /// Bytes that would be written.
        needed: u64,
        /// Bytes that may be written.
        free: u64,
    },
    /// The disk became full. Nothing is lost: the same receive can go on later.
    #[error("no space left on the disk, writing {}", path.display())]
    NoSpace {
        /// The file that was being written.
        path: PathBuf,
    },
    /// A chunk's bytes are not what its id says. Nothing of it was written: whoever sent it
    /// is to blame, and another may be asked.
    #[error("chunk {chunk} at position {position} failed verification")]
    Mismatch {
        /// The position of the chunk.
        position: u64,
        /// The chunk.
        chunk: ChunkId,
    },
    /// Bytes came for a position that no outstanding run begins a chunk at.
    #[error("bytes for position {position}, which was not asked for")]
    Unrequested {
        /// The position.
        position: u64,
    },
    /// Bytes end inside a chunk.
    #[error("bytes for position {position} end inside a chunk: {got} of {expected}")]
    WrongLength {
        /// The position of the chunk that is cut off.
        position: u64,
        /// Bytes of it that came.
        got: u64,
        /// Its length.
        expected: u64,
    },
    /// A page is not what its id or its parent says: the snapshot cannot be received from
    /// anyone.
    #[error("page {page} is not valid: {why}")]
    BadPage {
        /// The page.
        page: PageId,
        /// What is wrong with it.
        why: String,
    },
    /// A page that was here is gone.
    #[error("{0} is no longer here")]
    MissingPage(PageId),
    /// Someone asked to stop, by [`Receive::cancel`](super::Receive::cancel).
    #[error("cancelled")]
    Cancelled,
    /// Something is still missing where everything was expected to be here.
    #[error("the snapshot is not complete here: {0} bytes are missing")]
    Incomplete(u64),
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Disk {
        /// What was being read or written.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The store's own index or packs said no.
    #[error(transparent)]
    Store(StoreError),
}

impl ReceiveError {
    /// The error for a file system that refused an operation on `path`.
    pub(crate) fn disk(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_no_space(&source) {
            Self::NoSpace { path }
        } else {
            Self::Disk { path, source }
        }
    }
}

impl From<StoreError> for ReceiveError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { path, source } => Self::disk(&path, source),
            error if error.is_no_space() => Self::NoSpace {
                path: "the store".into(),
            },
            error => Self::Store(error),
        }
    }
}

impl From<paged_list::ReadError<StoreError>> for ReceiveError {
    fn from(error: paged_list::ReadError<StoreError>) -> Self {
        match error {
            paged_list::ReadError::Missing(page) => Self::MissingPage(page),
            paged_list::ReadError::Corrupt { page, why } => Self::BadPage {
                page,
                why: why.to_string(),
            },
            paged_list::ReadError::Source(error) => error.into(),
        }
    }
}
