//! The history of an artifact: who made which state of it, from what, when and why.
//!
//! Owns: the version record, its bounds and its id. Refuses: what it is called and which
//! version is the newest; that is what signed refs say.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};

use crate::codec::CodecError;
use crate::id::{SnapshotId, VersionId};
use crate::peer::PeerKey;

/// The most parents of a version.
pub const VERSION_PARENTS_MAX: usize = 16;
/// The most bytes of a version's message.
pub const VERSION_MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// The most bytes of a version's metadata, keys and values together.
pub const VERSION_METADATA_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that an encoded version may have.
pub const VERSION_BYTES_MAX: usize = 128 * 1024;

/// A state of an artifact, with its place in history.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Version {
    /// The state.
    pub snapshot: SnapshotId,
    /// The versions it was made from: none for the first, two or more for a merge.
    pub parents: Vec<VersionId>,
    /// The node that made it.
    pub who: PeerKey,
    /// When, by the clock of that node, in seconds since 1970. Nothing is ordered by it.
    pub at_unix_s: u64,
    /// Why, in the words of a person.
    pub message: String,
    /// What else is to be kept with it: parameters, metrics, the commit of the code.
    pub metadata: BTreeMap<String, String>,
}

/// Why a version is not one.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// More than [`VERSION_PARENTS_MAX`] parents, or one of them twice.
    #[error("a version has at most {VERSION_PARENTS_MAX} different parents")]
    Parents,
    /// A message of more than [`VERSION_MESSAGE_BYTES_MAX`].
    #[error("the message has {0} bytes; at most {VERSION_MESSAGE_BYTES_MAX} are allowed")]
    Message(usize),
    /// Metadata of more than [`VERSION_METADATA_BYTES_MAX`].
    #[error("the metadata has {0} bytes; at most {VERSION_METADATA_BYTES_MAX} are allowed")]
    Metadata(usize),
    /// The bytes are no version.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Version {
    /// Whether its parts are within their bounds. [`Version::from_bytes`] has checked it.
    pub fn check(&self) -> Result<(), VersionError> {
        todo!()
    }

    /// The id that commits to this record and its whole past.
    pub fn id(&self) -> VersionId {
        VersionId::of(&self.to_bytes())
    }

    /// Canonical bytes, as they travel and are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::codec::encode(self)
    }

    /// The version with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VersionError> {
        let _ = bytes;
        todo!()
    }
}
