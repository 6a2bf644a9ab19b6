//! Writing a batch's changes to the tables.
//!
//! Owns: the order of tables and keys (ascending, which is what a B-tree likes), and how a
//! change meets the row that is there. Refuses: when to commit.

use std::collections::{BTreeMap, HashMap, HashSet};

use bincode::Encode;
use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use shoal_protocol::codec;
use shoal_protocol::id::{ChunkId, PageId};

use super::changes::{ByHash, ChunkChange};
use super::names::Unsaved;
use super::open::Writing;
use super::sorted::put_sorted;
use super::sync::{Epochs, StoredState};
use super::table::damaged;
use super::view::decode_row;
use super::{Changes, FileId, FileRow, FileState, PackSpot, SnapshotRow, compact, tables};
use crate::error::StoreError;

type BytesTable<'t> = Table<'t, &'static [u8], &'static [u8]>;
type IdTable<'t> = Table<'t, &'static [u8; 32], &'static [u8]>;

impl Changes {
    /// Writes everything; gives the packs that the index then knows.
    pub(super) fn apply(
        self,
        transaction: &WriteTransaction,
        writing: &Writing,
        epochs: &mut Epochs,
        names: &Unsaved,
        packs: BTreeMap<u32, u64>,
    ) -> Result<BTreeMap<u32, u64>, StoreError> {
        let dead = apply_files(transaction, self.files, self.forgotten_files, epochs)?;
        apply_chunks(transaction, self.chunks, &dead)?;

        apply_pages(transaction, self.pages)?;

        let mut snapshots = transaction.open_table(tables::SNAPSHOTS)?;
        for (id, row) in &self.snapshots {
            put_id(
                &mut snapshots,
                id.as_bytes(),
                row.as_ref().map(codec::encode),
            )?;
        }
        for id in &self.unkept {
            let row: Option<SnapshotRow> = (snapshots.get(id.as_bytes())?)
                .map(|bytes| decode_row("snapshots", bytes.value()))
                .transpose()?;
            if row.is_some_and(|row| !row.kept) {
                snapshots.remove(id.as_bytes())?;
            }
        }
        let mut versions = transaction.open_table(tables::VERSIONS)?;
        for (id, bytes) in self.versions {
            put_id(&mut versions, id.as_bytes(), bytes)?;
        }
        let mut grants = transaction.open_table(tables::GRANTS)?;
        for (id, bytes) in self.grants {
            put_id(&mut grants, id.as_bytes(), bytes)?;
        }
        let mut heads = transaction.open_table(tables::HEADS)?;
        for (name, ids) in self.heads {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
            let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
            put_bytes(&mut heads, name.as_bytes(), bytes)?;
        }
        let mut receives = transaction.open_table(tables::RECEIVES)?;
        for (dest, row) in &self.receives {
            put_row(&mut receives, dest.as_bytes(), row.as_ref())?;
        }
        let mut destinations = transaction.open_table(tables::DESTINATIONS)?;
        for (dest, row) in &self.destinations {
            put_row(&mut destinations, dest.as_bytes(), row.as_ref())?;
        }
        apply_names(transaction, names)?;
        apply_packs(transaction, &writing.packs, packs, &self.forgotten_packs)
    }
}

fn put_id(
    table: &mut IdTable<'_>,
    id: &[u8; 32],
    bytes: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    match bytes {
        Some(bytes) => table.insert(id, bytes.as_slice())?,
        None => table.remove(id)?,
    };
    Ok(())
}

fn put_bytes(
    table: &mut BytesTable<'_>,
    key: &[u8],
    bytes: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    match bytes {
        Some(bytes) => table.insert(key, bytes.as_slice())?,
        None => table.remove(key)?,
    };
    Ok(())
}

fn put_row<T: Encode>(
    table: &mut BytesTable<'_>,
    key: &[u8],
    row: Option<&T>,
) -> Result<(), StoreError> {
    put_bytes(table, key, row.map(codec::encode))
}

/// Writes file rows; gives the states of files that are gone.
fn apply_files(
    transaction: &WriteTransaction,
    mut rows: Vec<FileRow>,
    forgotten: Vec<FileId>,
    epochs: &mut Epochs,
) -> Result<HashSet<FileId>, StoreError> {
    keep_last_of_each(&mut rows);
    let mut files = transaction.open_table(tables::FILES)?;
    let mut keys = transaction.open_table(tables::FILE_KEYS)?;
    let mut dead = HashSet::new();
    for id in forgotten {
        forget(&mut files, &mut keys, id)?;
        dead.insert(id);
    }
    rows.sort_by(|a, b| (a.root, &a.path).cmp(&(b.root, &b.path)));
    let mut stored: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(rows.len());
    for row in &rows {
        let state = match row.state {
            FileState::Trusted => StoredState::Synced,
            FileState::Suspect => StoredState::Suspect,
            FileState::Unsynced => StoredState::WrittenIn(epochs.note(row.root)),
        };
        let key = compact::file_key(row.root, row.path.as_str());
        let bytes = compact::file_bytes(row, state);
        let old = match files.get(key.as_slice())? {
            Some(old) => Some(file_id(old.value())?),
            None => None,
        };
        if let Some(old) = old.filter(|old| *old != row.id) {
            dead.insert(old);
        }
        match stored.last_mut() {
            // Of several states of one path, the last holds.
            Some((last, last_bytes)) if *last == key => {
                dead.insert(file_id(last_bytes)?);
                *last_bytes = bytes;
            }
            _ => stored.push((key, bytes)),
        }
    }
    put_sorted(&mut files, &stored, |key| key.as_slice())?;
    let mut by_id = Vec::with_capacity(stored.len());
    for (key, bytes) in stored {
        let id = file_id(&bytes)?;
        let moved_from = match keys.get(id.0)? {
            Some(old) if old.value() != key => Some(old.value().to_vec()),
            _ => None,
        };
        if let Some(moved_from) = moved_from {
            remove_if(&mut files, &moved_from, id)?;
        }
        by_id.push((id, key));
    }
    by_id.sort_unstable();
    put_sorted(&mut keys, &by_id, |id| id.0)?;
    // A state that lost its path and got another in the same batch lives.
    for (id, _) in &by_id {
        dead.remove(id);
    }
    for &id in &dead {
        forget(&mut files, &mut keys, id)?;
    }
    Ok(dead)
}

/// Of several statements about one state of a file, the last holds.
fn keep_last_of_each(rows: &mut Vec<FileRow>) {
    let mut seen = HashSet::with_capacity(rows.len());
    rows.reverse();
    rows.retain(|row| seen.insert(row.id));
    rows.reverse();
}

fn file_id(bytes: &[u8]) -> Result<FileId, StoreError> {
    compact::file_id(bytes).map_err(damaged("files"))
}

/// Removes what is known of a state of a file.
fn forget(
    files: &mut BytesTable<'_>,
    keys: &mut Table<'_, u64, &'static [u8]>,
    id: FileId,
) -> Result<(), StoreError> {
    let key = keys.remove(id.0)?.map(|key| key.value().to_vec());
    match key {
        Some(key) => remove_if(files, &key, id),
        None => Ok(()),
    }
}

/// Removes the row at `key` if it is about this state of the file.
fn remove_if(files: &mut BytesTable<'_>, key: &[u8], id: FileId) -> Result<(), StoreError> {
    let found = files.get(key)?.map(|value| file_id(value.value()));
    if found.transpose()? == Some(id) {
        files.remove(key)?;
    }
    Ok(())
}

fn apply_chunks(
    transaction: &WriteTransaction,
    changes: HashMap<ChunkId, ChunkChange, ByHash>,
    dead: &HashSet<FileId>,
) -> Result<(), StoreError> {
    let mut chunks = transaction.open_table(tables::CHUNKS)?;
    let mut sorted: Vec<_> = changes.into_iter().collect();
    sorted.sort_unstable_by_key(|(id, _)| *id);
    let is_empty = chunks.is_empty()?;
    let mut rows = Vec::with_capacity(sorted.len());
    for (id, change) in sorted {
        let known = match is_empty {
            true => None,
            false => chunks
                .get(id.as_bytes())?
                .map(|value| compact::chunk_row(value.value()))
                .transpose()
                .map_err(damaged("chunks"))?,
        };
        let was_known = known.is_some();
        match change.apply(known, |file| dead.contains(&file)) {
            Some(row) => rows.push((id, compact::chunk_bytes(&row))),
            None if was_known => {
                chunks.remove(id.as_bytes())?;
            }
            None => {}
        }
    }
    put_sorted(&mut chunks, &rows, |id| id.as_bytes())
}

fn apply_pages(
    transaction: &WriteTransaction,
    changes: HashMap<PageId, Option<(PackSpot, u32)>, ByHash>,
) -> Result<(), StoreError> {
    let mut pages = transaction.open_table(tables::PAGES)?;
    let mut rows = Vec::with_capacity(changes.len());
    for (id, spot) in changes {
        match spot {
            Some((spot, length)) => rows.push((id, compact::page_bytes(spot, length))),
            None => {
                pages.remove(id.as_bytes())?;
            }
        }
    }
    rows.sort_unstable_by_key(|(id, _)| *id);
    put_sorted(&mut pages, &rows, |id| id.as_bytes())
}

fn apply_names(transaction: &WriteTransaction, names: &Unsaved) -> Result<(), StoreError> {
    let mut roots = transaction.open_table(tables::ROOTS)?;
    for (id, path) in &names.roots {
        roots.insert(id, path.as_bytes())?;
    }
    let mut audiences = transaction.open_table(tables::AUDIENCES)?;
    for (id, peer) in &names.audiences {
        audiences.insert(id, peer.as_bytes())?;
    }
    Ok(())
}

fn apply_packs(
    transaction: &WriteTransaction,
    known: &BTreeMap<u32, u64>,
    now: BTreeMap<u32, u64>,
    forgotten: &[u32],
) -> Result<BTreeMap<u32, u64>, StoreError> {
    let mut table = transaction.open_table(tables::PACKS)?;
    let mut all = known.clone();
    for (number, length) in now {
        if all.insert(number, length) != Some(length) {
            table.insert(number, length)?;
        }
    }
    for number in forgotten {
        all.remove(number);
        table.remove(number)?;
    }
    Ok(all)
}
