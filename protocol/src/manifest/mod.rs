//! What an artifact consists of: entries sorted by path.
//!
//! Owns: the entry and what of a file counts as its identity (path, kind, executable bit,
//! bytes). Refuses: owners, times, xattrs and setuid, which differ between machines that
//! hold the same data.

mod content;
mod cursor;
#[cfg(test)]
mod tests;

pub use content::ContentBuilder;
pub use cursor::{SnapshotCursor, Step, missing};

use std::fmt;

use bincode::{Decode, Encode};

use crate::codec;
use crate::id::{ChunkId, PageId};
use crate::paged_list::ChunkRef;
use crate::path::ManifestPath;

/// The longest symlink target, in bytes: what Linux takes.
pub const SYMLINK_TARGET_BYTES_MAX: usize = 4095;

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
        target: SymlinkTarget,
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

    /// The only chunk of the file, if it has just one.
    pub fn lone_chunk(&self) -> Option<ChunkRef> {
        match self.kind {
            EntryKind::File {
                size,
                content: Content::Chunk(id),
                ..
            } => Some(ChunkRef {
                id,
                length: u32::try_from(size).ok()?,
            }),
            _ => None,
        }
    }
}

/// What a symbolic link says: a text without NUL of 1 to [`SYMLINK_TARGET_BYTES_MAX`]
/// bytes. It may point anywhere; whoever writes the link decides whether that is safe.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SymlinkTarget(String);

/// Why a text cannot stand in a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SymlinkTargetError {
    /// Nothing at all.
    #[error("the symlink target is empty")]
    Empty,
    /// More than [`SYMLINK_TARGET_BYTES_MAX`].
    #[error("the symlink target is longer than {SYMLINK_TARGET_BYTES_MAX} bytes")]
    TooLong,
    /// A NUL byte.
    #[error("the symlink target has a NUL byte")]
    Nul,
}

impl SymlinkTarget {
    /// The target with this text.
    pub fn new(text: impl Into<String>) -> Result<Self, SymlinkTargetError> {
        let text = text.into();
        match text.len() {
            0 => Err(SymlinkTargetError::Empty),
            1..=SYMLINK_TARGET_BYTES_MAX if text.contains('\0') => Err(SymlinkTargetError::Nul),
            1..=SYMLINK_TARGET_BYTES_MAX => Ok(Self(text)),
            _ => Err(SymlinkTargetError::TooLong),
        }
    }

    /// The target as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SymlinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Encode for SymlinkTarget {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        codec::encode_text(&self.0, encoder)
    }
}

impl<Context> Decode<Context> for SymlinkTarget {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let text = codec::decode_text(SYMLINK_TARGET_BYTES_MAX, decoder)?;
        Self::new(text).map_err(codec::malformed)
    }
}

bincode::impl_borrow_decode!(SymlinkTarget);
