//! The rows that packs hold a copy of, so that a lost index can be won back.
//!
//! Owns: which rows those are, and their bytes. Refuses: what packs cannot vouch for:
//! external files, grants, unfinished receives.

use bincode::{Decode, Encode};
use shoal_protocol::codec;
use shoal_protocol::id::{SnapshotId, VersionId};
use shoal_protocol::manifest::Content;
use shoal_protocol::path::ManifestPath;
use shoal_protocol::peer::PeerKey;

use crate::error::StoreError;
use crate::index::{Changes, Coverage, FileClass, RootId, SnapshotRow, View};
use crate::pack::{Packs, RecordKind};

/// More than any record of a row takes.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// One statement about a row. Of several about the same, the last holds.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum RowRecord {
    /// A whole snapshot. Its audience by key, since short names are the index's own.
    Snapshot {
        row: SnapshotRow,
        audience: Option<PeerKey>,
    },
    /// A snapshot was removed.
    NoSnapshot(SnapshotId),
    /// The canonical bytes of a version.
    Version(Vec<u8>),
    /// A version was removed.
    NoVersion(VersionId),
    /// The heads of an artifact; none if it was removed.
    Heads {
        artifact: String,
        heads: Vec<VersionId>,
    },
    /// What a file in the store's own directory holds.
    OwnedFile {
        path: ManifestPath,
        content: Content,
    },
}

impl RowRecord {
    /// The record with these bytes; nothing if they are none.
    pub(super) fn from_bytes(id: &[u8; 32], bytes: &[u8]) -> Option<Self> {
        if blake3::hash(bytes).as_bytes() != id {
            return None;
        }
        codec::decode::<Self, RECORD_BYTES_MAX>(bytes).ok()
    }

    pub(super) fn append_to(&self, packs: &Packs) -> Result<(), StoreError> {
        let bytes = codec::encode(self);
        let id = *blake3::hash(&bytes).as_bytes();
        packs.append(RecordKind::Row, &id, &bytes)?;
        Ok(())
    }
}

/// Appends records of what `changes` says.
pub(crate) fn append_rows(changes: &Changes, view: &View, packs: &Packs) -> Result<(), StoreError> {
    let mut records = Vec::new();
    for (id, row) in &changes.snapshots {
        match row {
            // An unfinished snapshot lies in files that a rebuild knows nothing of.
            Some(row) if row.held != Coverage::Complete => {}
            Some(row) => records.push(RowRecord::Snapshot {
                audience: view.audience_peer(row.audience),
                row: row.clone(),
            }),
            None => records.push(RowRecord::NoSnapshot(*id)),
        }
    }
    for (id, bytes) in &changes.versions {
        records.push(match bytes {
            Some(bytes) => RowRecord::Version(bytes.clone()),
            None => RowRecord::NoVersion(*id),
        });
    }
    for (artifact, heads) in &changes.heads {
        records.push(RowRecord::Heads {
            artifact: artifact.clone(),
            heads: heads.clone(),
        });
    }
    for row in &changes.files {
        if row.class == FileClass::Owned && row.root == RootId::HOME {
            records.push(RowRecord::OwnedFile {
                path: row.path.clone(),
                content: row.content,
            });
        }
    }
    records
        .iter()
        .try_for_each(|record| record.append_to(packs))
}
