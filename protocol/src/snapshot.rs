//! The root of an artifact's content: what a snapshot id commits to.
//!
//! Owns: the snapshot record and its id. Refuses: who made it, when and why; that is a
//! version's.

use bincode::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::id::{PageId, SnapshotId};
use crate::paged_list::Root;

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
    /// The snapshot whose manifest has this root; nothing for an empty folder.
    pub fn new(profile: ProfileId, shape: Shape, manifest: Option<Root>) -> Self {
        Self {
            profile,
            shape,
            manifest: manifest.map(|root| root.page),
            entries: manifest.map_or(0, |root| root.items),
            bytes: manifest.map_or(0, |root| root.bytes),
        }
    }

    /// The id that commits to everything beneath this snapshot.
    pub fn id(&self) -> SnapshotId {
        SnapshotId::of(&codec::encode(self))
    }

    /// Canonical bytes, as they travel and are stored.
    pub fn to_bytes(self) -> Vec<u8> {
        codec::encode(&self)
    }

    /// The snapshot with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let snapshot = codec::decode_canonical::<Self, SNAPSHOT_BYTES_MAX>(bytes)?;
        let possible = match (snapshot.shape, snapshot.manifest) {
            (Shape::Folder, None) => snapshot.entries == 0 && snapshot.bytes == 0,
            (Shape::Folder, Some(_)) => snapshot.entries > 0,
            (Shape::File, manifest) => manifest.is_some() && snapshot.entries == 1,
        };
        if !possible {
            return Err(CodecError::Malformed(format!(
                "a {:?} of {} entries and {} bytes",
                snapshot.shape, snapshot.entries, snapshot.bytes
            )));
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lone_file() -> Snapshot {
        Snapshot {
            profile: ProfileId(1),
            shape: Shape::File,
            manifest: Some(PageId::from_bytes([0xab; 32])),
            entries: 1,
            bytes: 1000,
        }
    }

    /// Golden: the bytes that a snapshot id commits to.
    #[test]
    fn a_snapshot_has_these_bytes_and_this_id() {
        let expect = format!(
            "0100{}01{}{}{}",
            "01000000",
            "ab".repeat(32),
            "0100000000000000",
            "e803000000000000"
        );
        let bytes = lone_file().to_bytes();
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), expect);
        assert_eq!(
            lone_file().id().to_string(),
            "snap_818d55650e93b6d0cdb3ae59407379db1852a12dbebbfd7cf495f495102ab045"
        );
        assert_eq!(
            Snapshot::from_bytes(&bytes).expect("canonical"),
            lone_file()
        );
    }

    #[test]
    fn sums_that_cannot_be_are_refused() {
        let empty = Snapshot::new(ProfileId(1), Shape::Folder, None);
        assert!(Snapshot::from_bytes(&empty.to_bytes()).is_ok());
        for wrong in [
            Snapshot {
                entries: 2,
                ..lone_file()
            },
            Snapshot {
                manifest: None,
                ..lone_file()
            },
            Snapshot {
                shape: Shape::File,
                ..empty
            },
            Snapshot {
                entries: 1,
                ..empty
            },
            Snapshot { bytes: 1, ..empty },
            Snapshot {
                shape: Shape::Folder,
                entries: 0,
                ..lone_file()
            },
        ] {
            assert!(
                Snapshot::from_bytes(&wrong.to_bytes()).is_err(),
                "{wrong:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_snapshot_or_an_error(bytes: Vec<u8>) {
            if let Ok(snapshot) = Snapshot::from_bytes(&bytes) {
                prop_assert_eq!(snapshot.to_bytes(), bytes);
            }
        }
    }
}
