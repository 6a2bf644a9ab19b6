//! What `add` is asked for and what it says afterwards.
//!
//! Owns: the request, the report and the error of an add. Refuses: to do anything.

use std::fmt;
use std::path::{Path, PathBuf};

use shoal_protocol::id::SnapshotId;
use shoal_protocol::path::ManifestPath;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::size::Size;

use crate::StoreError;
use crate::history::HistoryLoss;

/// How many paths an error or a report names before it only counts them.
pub const PATHS_NAMED_MAX: usize = 20;

/// What to add, and how.
#[derive(Debug, Clone)]
pub struct AddRequest {
    /// An absolute path: a folder or a file. If it is a symlink it is followed, as `dir/` would
    /// be by other tools; symlinks beneath it are entries of their own.
    pub path: PathBuf,
    /// Leave nothing out: neither `.git` nor what `.shoalignore` and `.dvcignore` name.
    pub all: bool,
    /// Whether the store holds the bytes, or the files at the path do.
    pub mode: AddMode,
    /// Whether the snapshot is kept until someone forgets it, or only as long as its files
    /// stand (a share).
    pub kept: bool,
    /// For whom it is added: a team, by its root key. If not said, for this node alone, or for
    /// whom the same files were added before.
    pub audience: Option<PeerKey>,
}

/// Where the bytes of an added snapshot live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddMode {
    /// In the store: cloned where the file system has reflinks, else copied. What `add`
    /// acknowledged is there whatever happens to the files, and after a power cut.
    Keep,
    /// In the files, where they stand. The snapshot and where its bytes lie survive a power
    /// cut; the bytes are as safe as the user's file system made them, and gone once they are
    /// overwritten.
    InPlace,
}

/// What an add did.
#[derive(Debug, Clone)]
pub struct Added {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Files, symlinks and empty directories.
    pub entries: u64,
    /// Sum of the file sizes.
    pub bytes: u64,
    /// Of these, bytes that this store did not hold before.
    pub bytes_new: u64,
    /// Bytes that were written into packs.
    pub bytes_copied: u64,
    /// Bytes that share their blocks with the source.
    pub bytes_cloned: u64,
    /// Files that were read; the others were known to be unchanged.
    pub files_read: u64,
    /// The first paths that were left out, in no order; see `left_out_total`.
    pub left_out: Vec<LeftOut>,
    /// How many paths were left out; a folder counts once.
    pub left_out_total: u64,
    /// What the user should hear.
    pub warnings: Vec<AddWarning>,
    /// Kept snapshots that lost bytes because the files that held them have changed.
    pub lost: Vec<HistoryLoss>,
}

/// Something that is in the folder and not in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it stands, relative to what was added.
    pub path: PathBuf,
    /// Why.
    pub why: LeftOutReason,
}

/// Why something was left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeftOutReason {
    /// A Git repository's own folder.
    Git,
    /// A rule in an ignore file, which stands at this path relative to what was added.
    Rule(PathBuf),
    /// A store, or the unfinished parts of a `get`.
    Shoal,
    /// A fifo, a socket or a device.
    Special,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            LeftOutReason::Git => write!(f, "{path} (Git's own; --all takes it)"),
            LeftOutReason::Rule(file) => write!(f, "{path} (a rule in {})", file.display()),
            LeftOutReason::Shoal => write!(f, "{path} (shoal's own)"),
            LeftOutReason::Special => write!(f, "{path} (a fifo, socket or device)"),
        }
    }
}

/// Something the user should hear about what was added.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddWarning {
    /// The path that was given is a symlink; what it leads to was added.
    Followed {
        /// Where it leads.
        target: PathBuf,
    },
    /// Fifos, sockets or devices were left out.
    Special {
        /// The first of them.
        example: PathBuf,
        /// How many.
        count: u64,
    },
    /// Two names that some file systems take for one.
    Collision {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// More pairs as in [`AddWarning::Collision`] than are named.
    MoreCollisions {
        /// How many more.
        count: u64,
    },
    /// A folder that is usually not data was added.
    Clutter {
        /// Its well-known name.
        name: &'static str,
        /// The first folder of that name.
        example: ManifestPath,
        /// How many folders have the name.
        folders: u64,
        /// How many entries they hold.
        entries: u64,
        /// How many bytes they hold.
        bytes: u64,
    },
}

impl fmt::Display for AddWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Followed { target } => {
                write!(f, "the path is a symlink; added {}", target.display())
            }
            Self::Special { example, count: 1 } => write!(
                f,
                "left out {}, which is a fifo, socket or device",
                example.display()
            ),
            Self::Special { example, count } => write!(
                f,
                "left out {count} fifos, sockets or devices, the first being {}",
                example.display()
            ),
            Self::Collision { first, second } => write!(
                f,
                "{} and {} are one name on file systems that ignore case or Unicode form",
                first.display(),
                second.display()
            ),
            Self::MoreCollisions { count } => write!(f, "{count} more names collide like that"),
            Self::Clutter {
                name,
                example,
                folders,
                entries,
                bytes,
            } => write!(
                f,
                "{folders} `{name}` folder(s) with {entries} entries and {} were added \
                 ({example}, …); a line `{name}/` in .shoalignore leaves them out",
                Size(*bytes)
            ),
        }
    }
}

/// A path that cannot be part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Where it stands, relative to what was added.
    pub path: PathBuf,
    /// What the matter is.
    pub why: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug, so that bytes that are no text are seen.
        write!(f, "{:?}: {}", self.path, self.why)
    }
}

/// Paths that an error names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathList<T> {
    /// The first of them, at most [`PATHS_NAMED_MAX`].
    pub named: Vec<T>,
    /// How many there are.
    pub total: u64,
}

impl<T> Default for PathList<T> {
    fn default() -> Self {
        Self {
            named: Vec::new(),
            total: 0,
        }
    }
}

impl<T> PathList<T> {
    /// Names one more, or only counts it.
    pub fn push(&mut self, item: T) {
        self.total += 1;
        if self.named.len() < PATHS_NAMED_MAX {
            self.named.push(item);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl<T: fmt::Display> fmt::Display for PathList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.named.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{item}")?;
        }
        match self.total - self.named.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Why nothing was added. Whatever the reason, nothing is recorded.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The path is relative or has a `..`.
    #[error("{} is not a plain absolute path", .0.display())]
    NotAbsolute(PathBuf),
    /// Nothing stands at the path.
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    /// A fifo, socket or device, or a chain of symlinks without end.
    #[error("{} is neither a file nor a folder", .0.display())]
    NotAFileOrFolder(PathBuf),
    /// The path lies in the store's own directory.
    #[error("{} is part of the store itself", .0.display())]
    InsideStore(PathBuf),
    /// Some paths cannot be read, or have names that no manifest takes.
    #[error("cannot add {0}")]
    Unusable(PathList<Unusable>),
    /// Some files changed each time they were read, or are not there any more.
    #[error("changed or gone while they were read: {0}")]
    Changing(PathList<ManifestPath>),
    /// The bytes do not fit the store's file system.
    #[error("{} of room are needed for copies and {} are free", Size(*needed), Size(*free))]
    NoSpace {
        /// Bytes that must be written at least, and a margin.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The listener asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AddError {
    /// Whether a full disk is the reason.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Store(error) => error.is_no_space(),
            _ => false,
        }
    }

    /// An error of the file system at `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Store(StoreError::Io { path, source })
    }
}
