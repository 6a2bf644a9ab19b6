//! The names of immutable things: 32-byte BLAKE3 hashes, one type for each kind.
//!
//! A chunk's id is the plain BLAKE3 of its bytes. Everything with structure (pages,
//! snapshots, versions, grants) is hashed under a `derive_key` context of its own, so the
//! bytes of a chunk can never be passed off as a page, nor a page as a snapshot.
//!
//! In text an id is its kind, an underscore and 64 lower-case hex digits:
//! `snap_1f3a9c…`. The prefix keeps ids apart from each other and from artifact names.

use std::fmt;
use std::str::FromStr;

use bincode::{Decode, Encode};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdParseError {
    /// The text does not begin with the kind that was expected.
    #[error("expected an id that begins with `{expected}_`")]
    WrongKind {
        /// The prefix that the expected kind of id has.
        expected: &'static str,
    },
    /// What follows the prefix is not lower-case hex of the right length.
    #[error("an id is 64 lower-case hex digits after its `{kind}_`")]
    NotHex {
        /// The prefix of the kind.
        kind: &'static str,
    },
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $hash:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $name([u8; 32]);

        impl $name {
            /// What stands before the underscore in the text form.
            pub const PREFIX: &'static str = $prefix;

            /// The id of the thing with these bytes.
            pub fn of(bytes: &[u8]) -> Self {
                let hash: fn(&[u8]) -> [u8; 32] = $hash;
                Self(hash(bytes))
            }

            /// The id with this hash, as read back from an index or a message.
            pub const fn from_bytes(hash: [u8; 32]) -> Self {
                Self(hash)
            }

            /// The 32 bytes of the hash.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The id shortened for people: prefix and 12 hex digits.
            pub fn short(&self) -> String {
                self.to_string()[..$prefix.len() + 1 + 12].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdParseError;

            fn from_str(text: &str) -> Result<Self, IdParseError> {
                let hex = text
                    .strip_prefix(concat!($prefix, "_"))
                    .ok_or(IdParseError::WrongKind { expected: $prefix })?;
                let not_hex = IdParseError::NotHex { kind: $prefix };
                let bytes = data_encoding::HEXLOWER
                    .decode(hex.as_bytes())
                    .map_err(|_| not_hex.clone())?;
                Ok(Self(bytes.try_into().map_err(|_| not_hex)?))
            }
        }
    };
}

id_type! {
    /// The bytes between two content-defined boundaries.
    ChunkId, "chunk", |bytes| *blake3::hash(bytes).as_bytes()
}
id_type! {
    /// One node of a paged Merkle list.
    PageId, "page", |bytes| blake3::derive_key("shoal 1 page", bytes)
}
id_type! {
    /// A chunking profile and a manifest: the same files give the same id on every machine.
    SnapshotId, "snap", |bytes| blake3::derive_key("shoal 1 snapshot", bytes)
}
id_type! {
    /// A record in the history of an artifact.
    VersionId, "ver", |bytes| blake3::derive_key("shoal 1 version", bytes)
}
id_type! {
    /// A signed right to read.
    GrantId, "grant", |bytes| blake3::derive_key("shoal 1 grant", bytes)
}
id_type! {
    /// A team: what one root key signs. Hashed from the root's public key.
    TeamId, "team", |bytes| blake3::derive_key("shoal 1 team", bytes)
}
id_type! {
    /// A signed operation on a team's membership.
    OperationId, "op", |bytes| blake3::derive_key("shoal 1 team operation", bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_with_the_same_bytes_have_different_ids() {
        let ids = [
            *ChunkId::of(b"same").as_bytes(),
            *PageId::of(b"same").as_bytes(),
            *SnapshotId::of(b"same").as_bytes(),
            *VersionId::of(b"same").as_bytes(),
            *GrantId::of(b"same").as_bytes(),
            *TeamId::of(b"same").as_bytes(),
            *OperationId::of(b"same").as_bytes(),
        ];
        for (i, a) in ids.iter().enumerate() {
            assert!(ids[i + 1..].iter().all(|b| a != b));
        }
    }

    /// Golden: ids are the data format.
    #[test]
    fn the_same_bytes_have_these_ids() {
        let texts = [
            ChunkId::of(b"shoal").to_string(),
            PageId::of(b"shoal").to_string(),
            SnapshotId::of(b"shoal").to_string(),
            VersionId::of(b"shoal").to_string(),
            GrantId::of(b"shoal").to_string(),
            TeamId::of(b"shoal").to_string(),
            OperationId::of(b"shoal").to_string(),
        ];
        assert_eq!(
            texts,
            [
                "chunk_86ed170f3f7aa67d8724f82063ed31e791643d20060ba22ad5fb2e77248c71e9",
                "page_695eec9befb7e93d92a0863d0b8f494f23d78df808489af592fd1256b0f3b2be",
                "snap_3a540ff3011f0499f3e40fc10955178680e34132ddc7a8c556ba183320db841e",
                "ver_a58dd95e551c7c573667d4b8c7940965f2bd9d6a080d54cd75bc4e7d05fd471f",
                "grant_02f4573133b94c0318957491f9b5b2f83a07a14e5d636a4517b213bfca9510b4",
                "team_0736a719bbbcc7d1e4d4f02c059213ab50f7ffd7d38700c1062b678d5ebed5cc",
                "op_45e786db15a63d537713ce36ab637d0607013082189aca85ce6949692f553ef0",
            ]
        );
    }

    #[test]
    fn text_round_trips_and_other_kinds_are_refused() {
        let id = SnapshotId::of(b"x");
        assert_eq!(id.to_string().parse::<SnapshotId>(), Ok(id));
        assert_eq!(
            id.to_string().parse::<PageId>(),
            Err(IdParseError::WrongKind { expected: "page" })
        );
        assert!("snap_12".parse::<SnapshotId>().is_err());
        assert!(id.to_string().to_uppercase().parse::<SnapshotId>().is_err());
    }
}
