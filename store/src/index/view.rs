//! One consistent state of the index, for reading.
//!
//! Owns: every lookup. Refuses: writes; those go through a [`Batch`](crate::Batch).

use std::sync::Arc;

use bincode::Decode;
use redb::{Key, ReadOnlyTable, ReadTransaction, Value};
use shoal_protocol::codec;
use shoal_protocol::id::{ChunkId, GrantId, PageId, SnapshotId, VersionId};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::peer::PeerKey;

use super::compact::{self, Malformed};
use super::names::Names;
use super::sync::Epochs;
use super::{
    AbsolutePath, AudienceId, ChunkRow, DestinationRow, FileId, FileRow, PackSpot, ReceiveRow,
    RootId, SnapshotRow, tables,
};
use crate::error::StoreError;

type ById = ReadOnlyTable<&'static [u8; 32], &'static [u8]>;
type ByBytes = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The index as it was after some commit. Cheap to get and to look things up in; do not
/// keep one for long, because what later commits free cannot be reused until it is dropped.
pub struct View {
    chunks: ById,
    pages: ById,
    files: ByBytes,
    file_keys: ReadOnlyTable<u64, &'static [u8]>,
    snapshots: ById,
    versions: ById,
    heads: ByBytes,
    grants: ById,
    receives: ByBytes,
    destinations: ByBytes,
    packs: ReadOnlyTable<u32, u64>,
    names: Arc<Names>,
    epochs: Epochs,
}

/// Rows of a table, one after the other.
pub type Rows<'a, T> = Box<dyn Iterator<Item = Result<T, StoreError>> + 'a>;

/// More than any row that is stored as bincode takes.
const ROW_BYTES_MAX: usize = 16 << 20;

fn damaged(table: &str) -> impl Fn(Malformed) -> StoreError + '_ {
    move |why| StoreError::Damaged {
        place: format!("table {table} of the index"),
        why: why.to_owned(),
    }
}

/// The row with these bincode bytes.
pub(super) fn decode_row<T: Decode<()>>(table: &str, bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode::<T, ROW_BYTES_MAX>(bytes).map_err(|error| StoreError::Damaged {
        place: format!("table {table} of the index"),
        why: error.to_string(),
    })
}

fn versions_of(bytes: &[u8]) -> Result<Vec<VersionId>, Malformed> {
    let (ids, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err("its length is not that of ids");
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
            chunks: transaction.open_table(tables::CHUNKS)?,
            pages: transaction.open_table(tables::PAGES)?,
            files: transaction.open_table(tables::FILES)?,
            file_keys: transaction.open_table(tables::FILE_KEYS)?,
            snapshots: transaction.open_table(tables::SNAPSHOTS)?,
            versions: transaction.open_table(tables::VERSIONS)?,
            heads: transaction.open_table(tables::HEADS)?,
            grants: transaction.open_table(tables::GRANTS)?,
            receives: transaction.open_table(tables::RECEIVES)?,
            destinations: transaction.open_table(tables::DESTINATIONS)?,
            packs: transaction.open_table(tables::PACKS)?,
            names,
            epochs,
        })
    }

    /// Whether anything is known of a chunk. Its bytes may have gone nevertheless: only
    /// [`Store::read_chunk`](crate::Store::read_chunk) finds out.
    pub fn contains(&self, id: &ChunkId) -> Result<bool, StoreError> {
        Ok(self.chunks.get(id.as_bytes())?.is_some())
    }

    /// What is known of a chunk.
    pub fn chunk(&self, id: &ChunkId) -> Result<Option<ChunkRow>, StoreError> {
        self.chunks
            .get(id.as_bytes())?
            .map(|value| compact::chunk_row(value.value()).map_err(damaged("chunks")))
            .transpose()
    }

    /// All chunks, by id.
    pub fn chunks(&self) -> Result<Rows<'_, (ChunkId, ChunkRow)>, StoreError> {
        rows(&self.chunks, |id, bytes| {
            let row = compact::chunk_row(bytes).map_err(damaged("chunks"))?;
            Ok((ChunkId::from_bytes(*id), row))
        })
    }

    /// Where a page lies, and its length.
    pub fn page_spot(&self, id: &PageId) -> Result<Option<(PackSpot, u32)>, StoreError> {
        self.pages
            .get(id.as_bytes())?
            .map(|value| compact::page_row(value.value()).map_err(damaged("pages")))
            .transpose()
    }

    /// All pages, by id.
    pub fn pages(&self) -> Result<Rows<'_, (PageId, PackSpot, u32)>, StoreError> {
        rows(&self.pages, |id, bytes| {
            let (spot, length) = compact::page_row(bytes).map_err(damaged("pages"))?;
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
        let Some(key) = self.file_keys.get(id.0)? else {
            return Ok(None);
        };
        let Some(value) = self.files.get(key.value())? else {
            return Ok(None);
        };
        let row = self.file_row(key.value(), value.value())?;
        Ok((row.id == id).then_some(row))
    }

    /// What is known of the file at a path.
    pub fn file_at(
        &self,
        root: RootId,
        path: &ManifestPath,
    ) -> Result<Option<FileRow>, StoreError> {
        let key = compact::file_key(root, path.as_str());
        self.files
            .get(key.as_slice())?
            .map(|value| self.file_row(&key, value.value()))
            .transpose()
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
        let range = self.files.range(start.as_slice()..end.as_slice())?;
        Ok(Box::new(range.map(|row| {
            let (key, value) = row?;
            self.file_row(key.value(), value.value())
        })))
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
            .get(id.as_bytes())?
            .map(|value| decode_row("snapshots", value.value()))
            .transpose()
    }

    /// All snapshots, by id.
    pub fn snapshots(&self) -> Result<Vec<SnapshotRow>, StoreError> {
        rows(&self.snapshots, |_, bytes| decode_row("snapshots", bytes))?.collect()
    }

    /// The canonical bytes of a version.
    pub fn version(&self, id: &VersionId) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.versions.get(id.as_bytes())?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    /// All versions, by id, with their canonical bytes.
    pub fn versions(&self) -> Result<Vec<(VersionId, Vec<u8>)>, StoreError> {
        rows(&self.versions, |id, bytes| {
            Ok((VersionId::from_bytes(*id), bytes.to_vec()))
        })?
        .collect()
    }

    /// The newest versions of an artifact, more than one if its history has forked; none if
    /// it is not known.
    pub fn heads(&self, artifact: &str) -> Result<Vec<VersionId>, StoreError> {
        match self.heads.get(artifact.as_bytes())? {
            Some(value) => versions_of(value.value()).map_err(damaged("heads")),
            None => Ok(Vec::new()),
        }
    }

    /// All artifacts with their heads, by name.
    pub fn artifacts(&self) -> Result<Vec<(String, Vec<VersionId>)>, StoreError> {
        rows(&self.heads, |name, bytes| {
            let name = std::str::from_utf8(name).map_err(|_| damaged("heads")("not text"))?;
            let heads = versions_of(bytes).map_err(damaged("heads"))?;
            Ok((name.to_owned(), heads))
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
        let found = self.grants.get(id.as_bytes())?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    /// All grants, by id.
    pub fn grants(&self) -> Result<Vec<(GrantId, Vec<u8>)>, StoreError> {
        rows(&self.grants, |id, bytes| {
            Ok((GrantId::from_bytes(*id), bytes.to_vec()))
        })?
        .collect()
    }

    /// The unfinished receive into a destination.
    pub fn receive(&self, dest: &AbsolutePath) -> Result<Option<ReceiveRow>, StoreError> {
        self.receives
            .get(dest.as_bytes())?
            .map(|value| decode_row("receives", value.value()))
            .transpose()
    }

    /// All unfinished receives, by destination.
    pub fn receives(&self) -> Result<Vec<ReceiveRow>, StoreError> {
        rows(&self.receives, |_, bytes| decode_row("receives", bytes))?.collect()
    }

    /// What shoal last wrote to a destination.
    pub fn destination(&self, dest: &AbsolutePath) -> Result<Option<DestinationRow>, StoreError> {
        self.destinations
            .get(dest.as_bytes())?
            .map(|value| decode_row("destinations", value.value()))
            .transpose()
    }

    /// All destinations that shoal wrote, by path.
    pub fn destinations(&self) -> Result<Vec<DestinationRow>, StoreError> {
        rows(&self.destinations, |_, bytes| {
            decode_row("destinations", bytes)
        })?
        .collect()
    }

    /// The packs and how many bytes of each are in use by committed records, dead or alive.
    pub fn packs(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        let mut packs = Vec::new();
        for row in self.packs.range::<u32>(..)? {
            let (number, length) = row?;
            packs.push((number.value(), length.value()));
        }
        Ok(packs)
    }
}

/// All rows of a table, each made by `row` from its key and value.
fn rows<'a, K, V, T>(
    table: &ReadOnlyTable<K, V>,
    row: impl for<'x> Fn(K::SelfType<'x>, V::SelfType<'x>) -> Result<T, StoreError> + 'a,
) -> Result<Rows<'a, T>, StoreError>
where
    K: Key + 'static,
    V: Value + 'static,
{
    let range = table.range::<K::SelfType<'_>>(..)?;
    Ok(Box::new(range.map(move |pair| {
        let (key, value) = pair?;
        row(key.value(), value.value())
    })))
}
