//! What can stand in a paged list.
//!
//! Owns: the two kinds of lists, and the bounds of their items. Refuses: pages.

use bincode::{Decode, Encode};

use crate::chunking::CHUNK_BYTES_MAX;
use crate::id::ChunkId;
use crate::manifest::{Content, Entry, EntryKind};
use crate::path::ManifestPath;

/// What a list's items are; the first thing a page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ListKind {
    /// Entries of a snapshot, sorted by path.
    Manifest = 1,
    /// Chunks of a file, in the order of its bytes.
    Content = 2,
}

/// An item of a paged list.
pub trait Item: Encode + Decode<()> + Clone + Send + Sync + 'static {
    /// Which kind of list it stands in.
    const KIND: ListKind;

    /// What decides whether a page ends behind this item.
    fn boundary_key(&self) -> &[u8];

    /// The bytes it takes in the space of positions.
    fn bytes(&self) -> u64;

    /// What the list is sorted by; nothing in lists that are not sorted.
    fn path(&self) -> Option<&ManifestPath>;

    /// Whether its fields agree with each other.
    fn check(&self) -> Result<(), ItemError>;
}

/// Why a value cannot stand in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// A chunk of no bytes or of more than [`CHUNK_BYTES_MAX`].
    #[error("a chunk of {0} bytes")]
    ChunkLength(u64),
    /// A file whose size is impossible for its kind of content.
    #[error("a file of {size} bytes cannot have such content")]
    ContentSize {
        /// The size that the entry claims.
        size: u64,
    },
}

/// An item with its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<I> {
    /// How many items stand before it.
    pub index: u64,
    /// How many bytes stand before it.
    pub position: u64,
    /// The item.
    pub item: I,
}

/// One chunk of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct ChunkRef {
    /// The hash of its bytes.
    pub id: ChunkId,
    /// Their number, 1 to [`CHUNK_BYTES_MAX`].
    pub length: u32,
}

impl Item for ChunkRef {
    const KIND: ListKind = ListKind::Content;

    fn boundary_key(&self) -> &[u8] {
        self.id.as_bytes()
    }

    fn bytes(&self) -> u64 {
        u64::from(self.length)
    }

    fn path(&self) -> Option<&ManifestPath> {
        None
    }

    fn check(&self) -> Result<(), ItemError> {
        match self.length {
            1..=CHUNK_BYTES_MAX => Ok(()),
            length => Err(ItemError::ChunkLength(u64::from(length))),
        }
    }
}

impl Item for Entry {
    const KIND: ListKind = ListKind::Manifest;

    fn boundary_key(&self) -> &[u8] {
        self.path.as_str().as_bytes()
    }

    fn bytes(&self) -> u64 {
        self.size()
    }

    fn path(&self) -> Option<&ManifestPath> {
        Some(&self.path)
    }

    fn check(&self) -> Result<(), ItemError> {
        let EntryKind::File { size, content, .. } = self.kind else {
            return Ok(());
        };
        let possible = match content {
            Content::Empty => size == 0,
            Content::Chunk(_) => (1..=u64::from(CHUNK_BYTES_MAX)).contains(&size),
            Content::List(_) => size >= 2,
        };
        possible
            .then_some(())
            .ok_or(ItemError::ContentSize { size })
    }
}
