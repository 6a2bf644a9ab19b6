//! The history of an artifact: who made which state of it, from what, when and why.
//!
//! Owns: the version record, its bounds and its id. Refuses: what it is called and which
//! version is the newest; that is what signed refs say.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::id::{SnapshotId, VersionId};
use crate::peer::PeerKey;

/// The most parents of a version.
pub const VERSION_PARENTS_MAX: usize = 16;
/// The most bytes of a version's message.
pub const VERSION_MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// The most bytes of a version's metadata, keys and values together.
pub const VERSION_METADATA_BYTES_MAX: usize = 64 * 1024;
/// The most keys of a version's metadata.
pub const VERSION_METADATA_KEYS_MAX: usize = 1024;
/// The most bytes that an encoded version may have: what the other bounds come to.
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
    /// Metadata of more than [`VERSION_METADATA_BYTES_MAX`] or
    /// [`VERSION_METADATA_KEYS_MAX`].
    #[error(
        "the metadata has {0} bytes; at most {VERSION_METADATA_BYTES_MAX} in {VERSION_METADATA_KEYS_MAX} keys are allowed"
    )]
    Metadata(usize),
    /// The bytes are no version.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Version {
    /// Whether its parts are within their bounds. [`Version::from_bytes`] has checked it.
    pub fn check(&self) -> Result<(), VersionError> {
        let different: BTreeSet<_> = self.parents.iter().collect();
        if self.parents.len() > VERSION_PARENTS_MAX || different.len() < self.parents.len() {
            return Err(VersionError::Parents);
        }
        if self.message.len() > VERSION_MESSAGE_BYTES_MAX {
            return Err(VersionError::Message(self.message.len()));
        }
        let metadata = self.metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
        if metadata > VERSION_METADATA_BYTES_MAX || self.metadata.len() > VERSION_METADATA_KEYS_MAX
        {
            return Err(VersionError::Metadata(metadata));
        }
        Ok(())
    }

    /// The id that commits to this record and its whole past.
    pub fn id(&self) -> VersionId {
        VersionId::of(&self.to_bytes())
    }

    /// Canonical bytes, as they travel and are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The version with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VersionError> {
        let version = codec::decode_canonical::<Self, VERSION_BYTES_MAX>(bytes)?;
        version.check()?;
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version() -> Version {
        Version {
            snapshot: SnapshotId::from_bytes([0x11; 32]),
            parents: vec![VersionId::from_bytes([0x22; 32])],
            who: PeerKey::from_bytes([0x33; 32]),
            at_unix_s: 1_700_000_000,
            message: "trained".to_owned(),
            metadata: [("lr".to_owned(), "0.1".to_owned())].into(),
        }
    }

    /// Golden: the bytes that a version id commits to.
    #[test]
    fn a_version_has_these_bytes_and_this_id() {
        let expect = [
            &"11".repeat(32),
            "0100000000000000",
            &"22".repeat(32),
            &"33".repeat(32),
            "00f1536500000000",
            "0700000000000000 747261696e6564",
            "0100000000000000 0200000000000000 6c72 0300000000000000 302e31",
        ];
        let bytes = version().to_bytes();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&bytes),
            expect.concat().replace(' ', "")
        );
        assert_eq!(
            version().id().to_string(),
            "ver_ba5725c4ad6bc9c770736326fab732a6c6d37558a7ac661aed9adcde0a93701b"
        );
        assert_eq!(Version::from_bytes(&bytes).expect("canonical"), version());
    }

    #[test]
    fn the_largest_version_can_be_read_back() {
        let largest = Version {
            parents: (0..VERSION_PARENTS_MAX as u8)
                .map(|i| VersionId::from_bytes([i; 32]))
                .collect(),
            message: "m".repeat(VERSION_MESSAGE_BYTES_MAX),
            metadata: (0..VERSION_METADATA_KEYS_MAX)
                .map(|i| (format!("{i:04}"), "v".repeat(60)))
                .collect(),
            ..version()
        };
        assert_eq!(
            Version::from_bytes(&largest.to_bytes()).expect("within its bounds"),
            largest
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        type Bend = fn(&mut Version);
        let bends: [Bend; 5] = [
            |v| v.parents = vec![v.parents[0]; 2],
            |v| v.parents = (0..17).map(|i| VersionId::from_bytes([i; 32])).collect(),
            |v| v.message = "m".repeat(VERSION_MESSAGE_BYTES_MAX + 1),
            |v| v.metadata = [("k".to_owned(), "v".repeat(VERSION_METADATA_BYTES_MAX))].into(),
            |v| v.metadata = (0..1025).map(|i| (i.to_string(), String::new())).collect(),
        ];
        for bend in bends {
            let mut bent = version();
            bend(&mut bent);
            assert!(bent.check().is_err(), "{bent:?}");
            assert!(Version::from_bytes(&bent.to_bytes()).is_err(), "{bent:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_version_or_an_error(bytes: Vec<u8>) {
            if let Ok(version) = Version::from_bytes(&bytes) {
                prop_assert_eq!(version.to_bytes(), bytes);
            }
        }
    }
}
