//! The tables of the index and their keys.

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use crate::error::StoreError;

type Rows<K, V> = TableDefinition<'static, K, V>;
type Id = &'static [u8; 32];
type Bytes = &'static [u8];

/// Format number, epochs, the next file id: see [`MetaKey`].
pub(super) const META: Rows<u8, Bytes> = TableDefinition::new("meta");
/// Chunk id → [`ChunkRow`](super::ChunkRow), compact.
pub(super) const CHUNKS: Rows<Id, Bytes> = TableDefinition::new("chunks");
/// Page id → pack, offset, length, compact.
pub(super) const PAGES: Rows<Id, Bytes> = TableDefinition::new("pages");
/// Root and path → [`FileRow`](super::FileRow), compact.
pub(super) const FILES: Rows<Bytes, Bytes> = TableDefinition::new("files");
/// File id → key in `files`.
pub(super) const FILE_KEYS: Rows<u64, Bytes> = TableDefinition::new("file_keys");
/// Root id → absolute path.
pub(super) const ROOTS: Rows<u32, Bytes> = TableDefinition::new("roots");
/// Audience id → the peer's key.
pub(super) const AUDIENCES: Rows<u32, Id> = TableDefinition::new("audiences");
/// Snapshot id → [`SnapshotRow`](super::SnapshotRow).
pub(super) const SNAPSHOTS: Rows<Id, Bytes> = TableDefinition::new("snapshots");
/// Version id → its canonical bytes.
pub(super) const VERSIONS: Rows<Id, Bytes> = TableDefinition::new("versions");
/// Artifact name → ids of its heads, one behind the other.
pub(super) const HEADS: Rows<Bytes, Bytes> = TableDefinition::new("heads");
/// Grant id → the node's own encoding.
pub(super) const GRANTS: Rows<Id, Bytes> = TableDefinition::new("grants");
/// Destination → [`ReceiveRow`](super::ReceiveRow).
pub(super) const RECEIVES: Rows<Bytes, Bytes> = TableDefinition::new("receives");
/// Destination → [`DestinationRow`](super::DestinationRow).
pub(super) const DESTINATIONS: Rows<Bytes, Bytes> = TableDefinition::new("destinations");
/// Pack number → its length as of the last commit.
pub(super) const PACKS: Rows<u32, u64> = TableDefinition::new("packs");

/// Keys of [`META`].
pub(super) struct MetaKey;

impl MetaKey {
    /// The format, as 4 bytes. It stands first for ever.
    pub(super) const FORMAT: u8 = 0;
    /// The lowest file id that was never used, as 8 bytes.
    pub(super) const NEXT_FILE: u8 = 1;
    /// [`Epochs`](super::sync::Epochs).
    pub(super) const EPOCHS: u8 = 2;
}

/// Makes every table, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(META)?;
    for table in [CHUNKS, PAGES, SNAPSHOTS, VERSIONS, GRANTS] {
        transaction.open_table(table)?;
    }
    for table in [FILES, HEADS, RECEIVES, DESTINATIONS] {
        transaction.open_table(table)?;
    }
    transaction.open_table(FILE_KEYS)?;
    transaction.open_table(ROOTS)?;
    transaction.open_table(AUDIENCES)?;
    transaction.open_table(PACKS)?;
    Ok(())
}

/// The value of a [`META`] row.
pub(super) fn meta(transaction: &ReadTransaction, key: u8) -> Result<Option<Vec<u8>>, StoreError> {
    let table = transaction.open_table(META)?;
    Ok(table.get(key)?.map(|value| value.value().to_vec()))
}
