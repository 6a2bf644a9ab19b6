//! The root of an artifact's content: what a snapshot id commits to.
//!
//! Owns: the snapshot record and its id. Refuses: who made it, when and why; that is a
//! version's.

use bincode::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::id::{PageId, SnapshotId};

/// The most bytes that an encoded snapshot may have.
pub const SNAPSHOT_BYTES_MAX: usize = 256;

/// How the files were cut into chunks; part of the identity, because other boundaries give
/// other chunk ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct ProfileId(pub u16);

/// Whether the artifact is a folder or a lone file: it decides what DEST becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Shape {
    /// A folder; its entries become DEST's.
    Folder,
    /// One file, the only entry of the manifest; it becomes DEST.
    File,
}

/// A complete state of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Snapshot {
    /// The chunking profile of all its files.
    pub profile: ProfileId,
    /// A folder or a lone file.
    pub shape: Shape,
    /// Root page of the manifest; nothing for an empty folder.
    pub manifest: Option<PageId>,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the file sizes: the end of the space of positions.
    pub bytes: u64,
}

impl Snapshot {
    /// The id that commits to everything beneath this snapshot.
    pub fn id(&self) -> SnapshotId {
        SnapshotId::of(&codec::encode(self))
    }

    /// Canonical bytes, as they travel and are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The snapshot with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<Self, SNAPSHOT_BYTES_MAX>(bytes)
    }
}
