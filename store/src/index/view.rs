//! One consistent state of the index, for reading.
//!
//! Owns: every lookup. Refuses: writes; those go through a [`Batch`](crate::Batch).

use std::sync::Arc;

use bincode::Decode;
use redb::ReadTransaction;
use shoal_protocol::codec;
use shoal_protocol::id::{ChunkId, GrantId, PageId, SnapshotId, VersionId};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::peer::PeerKey;

use super::compact;
use super::names::Names;
use super::sync::Epochs;
use super::table::{Rows, Table, damaged};
use super::{
    AbsolutePath, AudienceId, ChunkRow, DestinationRow, FileId, FileRow, PackSpot, ReceiveRow,
    RootId, SnapshotRow, tables,
};
use crate::error::StoreError;

type ById = Table<&'static [u8; 32], &'static [u8]>;
type ByBytes = Table<&'static [u8], &'static [u8]>;

/// The index as it was after some commit. Cheap to get and to look things up in; do not
/// keep one for long, because what later commits free cannot be reused until it is dropped.
pub struct View {
    chunks: ById,
    pages: ById,
    files: ByBytes,
    file_keys: Table<u64, &'static [u8]>,
    snapshots: ById,
    versions: ById,
    heads: ByBytes,
    grants: ById,
    receives: ByBytes,
    destinations: ByBytes,
    packs: Table<u32, u64>,
    names: Arc<Names>,
    epochs: Epochs,
}

/// More than any row that is stored as bincode takes.
const ROW_BYTES_MAX: usize = 16 << 20;

/// The row with these bincode bytes.
pub(super) fn decode_row<T: Decode<()>>(table: &str, bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode::<T, ROW_BYTES_MAX>(bytes).map_err(|error| damaged(table)(&error.to_string()))
}

fn chunk_row(bytes: &[u8]) -> Result<ChunkRow, StoreError> {
    compact::chunk_row(bytes).map_err(damaged("chunks"))
}

fn page_row(bytes: &[u8]) -> Result<(PackSpot, u32), StoreError> {
    compact::page_row(bytes).map_err(damaged("pages"))
}

fn versions_of(bytes: &[u8]) -> Result<Vec<VersionId>, StoreError> {
    let (ids, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(damaged("heads")("its length is not that of ids"));
    }
    Ok(ids.iter().copied().map(VersionId::from_bytes).collect())
}

impl View {
    pub(super) fn new(
        transaction: &ReadTransaction,
        names: Arc<Names>,
        epochs: Epochs,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            chunks: Table::open(transaction, tables::CHUNKS)?,
            pages: Table::open(transaction, tables::PAGES)?,
            files: Table::open(transaction, tables::FILES)?,
            file_keys: Table::open(transaction, tables::FILE_KEYS)?,
            snapshots: Table::open(transaction, tables::SNAPSHOTS)?,
            versions: Table::open(transaction, tables::VERSIONS)?,
            heads: Table::open(transaction, tables::HEADS)?,
            grants: Table::open(transaction, tables::GRANTS)?,
            receives: Table::open(transaction, tables::RECEIVES)?,
            destinations: Table::open(transaction, tables::DESTINATIONS)?,
            packs: Table::open(transaction, tables::PACKS)?,
            names,
            epochs,
        })
    }

    /// Whether anything is known of a chunk. Its bytes may have gone nevertheless: only
    /// [`Store::read_chunk`](crate::Store::read_chunk) finds out.
    pub fn contains(&self, id: &ChunkId) -> Result<bool, StoreError> {
        self.chunks.contains(id.as_bytes())
    }

    /// What is known of a chunk.
    pub fn chunk(&self, id: &ChunkId) -> Result<Option<ChunkRow>, StoreError> {
        self.chunks.get(id.as_bytes(), chunk_row)
    }

    /// All chunks, by id.
    pub fn chunks(&self) -> Result<Rows<'_, (ChunkId, ChunkRow)>, StoreError> {
        self.chunks
            .all(|id, bytes| Ok((ChunkId::from_bytes(*id), chunk_row(bytes)?)))
    }

    /// Where a page lies, and its length.
    pub fn page_spot(&self, id: &PageId) -> Result<Option<(PackSpot, u32)>, StoreError> {
        self.pages.get(id.as_bytes(), page_row)
    }

    /// All pages, by id.
    pub fn pages(&self) -> Result<Rows<'_, (PageId, PackSpot, u32)>, StoreError> {
        self.pages.all(|id, bytes| {
            let (spot, length) = page_row(bytes)?;
            Ok((PageId::from_bytes(*id), spot, length))
        })
    }

    fn file_row(&self, key: &[u8], bytes: &[u8]) -> Result<FileRow, StoreError> {
        let (mut row, state) = compact::file_row(key, bytes).map_err(damaged("files"))?;
        row.state = self.epochs.judge(state);
        Ok(row)
    }

    /// Whether files may be suspect because the machine stopped.
    pub(crate) fn any_suspect(&self) -> bool {
        self.epochs.any_suspect()
    }

    /// What is known of a state of a file.
    pub fn file(&self, id: FileId) -> Result<Option<FileRow>, StoreError> {
        let Some(key) = self.file_keys.get(id.0, |key| Ok(key.to_vec()))? else {
            return Ok(None);
        };
        let row = (self.files).get(&*key, |bytes| self.file_row(&key, bytes))?;
        Ok(row.filter(|row| row.id == id))
    }

    /// What is known of the file at a path.
    pub fn file_at(
        &self,
        root: RootId,
        path: &ManifestPath,
    ) -> Result<Option<FileRow>, StoreError> {
        let key = compact::file_key(root, path.as_str());
        self.files
            .get(key.as_slice(), |bytes| self.file_row(&key, bytes))
    }

    /// The files beneath a root (or the file at a path of it, and those beneath that path),
    /// in the order of paths.
    pub fn files(
        &self,
        root: RootId,
        beneath: Option<&ManifestPath>,
    ) -> Result<Rows<'_, FileRow>, StoreError> {
        let (start, end) = match beneath {
            None => {
                let next = root.0.checked_add(1).expect("fewer than 2^32 roots");
                (
                    compact::file_key(root, ""),
                    compact::file_key(RootId(next), ""),
                )
            }
            Some(path) => {
                let start = compact::file_key(root, path.as_str());
                let mut end = start.clone();
                // Just behind everything that goes on with a slash, which is a NUL here.
                end.push(1);
                (start, end)
            }
        };
        self.files
            .range(start.as_slice()..end.as_slice(), |key, bytes| {
                self.file_row(key, bytes)
            })
    }

    /// The short name of a directory, if it has one.
    pub fn root_id(&self, path: &AbsolutePath) -> Option<RootId> {
        self.names.root_id(path)
    }

    /// The directory with a short name; nothing for [`RootId::HOME`].
    pub fn root_path(&self, root: RootId) -> Option<AbsolutePath> {
        self.names.root_path(root)
    }

    /// All directories with a short name, the store's own left out.
    pub fn roots(&self) -> Vec<(RootId, AbsolutePath)> {
        self.names.roots()
    }

    /// What is known of a snapshot.
    pub fn snapshot(&self, id: &SnapshotId) -> Result<Option<SnapshotRow>, StoreError> {
        self.snapshots
            .get(id.as_bytes(), |bytes| decode_row("snapshots", bytes))
    }

    /// All snapshots, by id.
    pub fn snapshots(&self) -> Result<Vec<SnapshotRow>, StoreError> {
        self.snapshots
            .all(|_, bytes| decode_row("snapshots", bytes))?
            .collect()
    }

    /// The canonical bytes of a version.
    pub fn version(&self, id: &VersionId) -> Result<Option<Vec<u8>>, StoreError> {
        self.versions.get(id.as_bytes(), |bytes| Ok(bytes.to_vec()))
    }

    /// All versions, by id, with their canonical bytes.
    pub fn versions(&self) -> Result<Vec<(VersionId, Vec<u8>)>, StoreError> {
        self.versions
            .all(|id, bytes| Ok((VersionId::from_bytes(*id), bytes.to_vec())))?
            .collect()
    }

    /// The newest versions of an artifact, more than one if its history has forked; none if
    /// it is not known.
    pub fn heads(&self, artifact: &str) -> Result<Vec<VersionId>, StoreError> {
        let found = (self.heads).get(artifact.as_bytes(), versions_of)?;
        Ok(found.unwrap_or_default())
    }

    /// All artifacts with their heads, by name.
    pub fn artifacts(&self) -> Result<Vec<(String, Vec<VersionId>)>, StoreError> {
        self.heads
            .all(|name, bytes| {
                let name = std::str::from_utf8(name).map_err(|_| damaged("heads")("not text"))?;
                Ok((name.to_owned(), versions_of(bytes)?))
            })?
            .collect()
    }

    /// The short name of a peer, if it has one.
    pub fn audience_id(&self, peer: &PeerKey) -> Option<AudienceId> {
        self.names.audience_id(peer)
    }

    /// The peer with a short name; nothing for [`AudienceId::SELF`].
    pub fn audience_peer(&self, audience: AudienceId) -> Option<PeerKey> {
        self.names.audience_peer(audience)
    }

    /// A grant, in the encoding that the node gave it.
    pub fn grant(&self, id: &GrantId) -> Result<Option<Vec<u8>>, StoreError> {
        self.grants.get(id.as_bytes(), |bytes| Ok(bytes.to_vec()))
    }

    /// All grants, by id.
    pub fn grants(&self) -> Result<Vec<(GrantId, Vec<u8>)>, StoreError> {
        self.grants
            .all(|id, bytes| Ok((GrantId::from_bytes(*id), bytes.to_vec())))?
            .collect()
    }

    /// The unfinished receive into a destination.
    pub fn receive(&self, dest: &AbsolutePath) -> Result<Option<ReceiveRow>, StoreError> {
        self.receives
            .get(dest.as_bytes(), |bytes| decode_row("receives", bytes))
    }

    /// All unfinished receives, by destination.
    pub fn receives(&self) -> Result<Vec<ReceiveRow>, StoreError> {
        self.receives
            .all(|_, bytes| decode_row("receives", bytes))?
            .collect()
    }

    /// What shoal last wrote to a destination.
    pub fn destination(&self, dest: &AbsolutePath) -> Result<Option<DestinationRow>, StoreError> {
        self.destinations
            .get(dest.as_bytes(), |bytes| decode_row("destinations", bytes))
    }

    /// All destinations that shoal wrote, by path.
    pub fn destinations(&self) -> Result<Vec<DestinationRow>, StoreError> {
        self.destinations
            .all(|_, bytes| decode_row("destinations", bytes))?
            .collect()
    }

    /// The packs and how many bytes of each are in use by committed records, dead or alive.
    pub fn packs(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        self.packs
            .all(|number, length| Ok((number, length)))?
            .collect()
    }
}
