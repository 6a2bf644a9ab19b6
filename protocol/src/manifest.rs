//! What an artifact consists of: entries sorted by path.
//!
//! Owns: the entry and what of a file counts as its identity (path, kind, executable bit,
//! bytes). Refuses: owners, times, xattrs and setuid, which differ between machines that
//! hold the same data.

use bincode::{Decode, Encode};

use crate::id::{ChunkId, PageId};
use crate::path::ManifestPath;

/// The longest symlink target, in bytes.
pub const SYMLINK_TARGET_BYTES_MAX: usize = 4096;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Content {
    /// No bytes.
    Empty,
    /// One chunk, which is the whole file.
    Chunk(ChunkId),
    /// The root page of a paged list of two or more chunks.
    List(PageId),
}

/// One name in an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Where it stands.
    pub path: ManifestPath,
    /// What it is.
    pub kind: EntryKind,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Length in bytes.
        size: u64,
        /// Its bytes.
        content: Content,
    },
    /// A symbolic link; the target is text and is never followed.
    Symlink {
        /// The target as it stands in the link.
        target: String,
    },
    /// A directory without entries of its own. Other directories follow from the paths.
    EmptyDirectory,
}

impl Entry {
    /// The bytes that this entry takes in the space of positions.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            EntryKind::Symlink { .. } | EntryKind::EmptyDirectory => 0,
        }
    }
}
