//! Moving what is still needed out of a pack.
//!
//! Owns: what of a pack is still needed, and that it is safe elsewhere before the pack goes.
//! Refuses: to choose packs; collection does.

use std::path::Path;

use shoal_protocol::id::{ChunkId, PageId};

use super::record::RowRecord;
use super::visit::{Piece, visit};
use crate::disk::Root;
use crate::error::StoreError;
use crate::index::{Extent, PackSpot, View};
use crate::pack::PackFiles;
use crate::{Batch, Store};

/// What moving a pack's content has brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repacked {
    /// Bytes that were written to another pack.
    pub bytes_moved: u64,
    /// Bytes that the file system has back.
    pub bytes_freed: u64,
}

impl Store {
    /// Moves what the index still points to out of a pack, durably, and deletes the pack.
    /// Nothing happens, and nothing is given, while a batch is open that may have written to
    /// it.
    pub fn repack(&self, pack: u32) -> Result<Option<Repacked>, StoreError> {
        let inner = self.inner();
        let name = PackFiles::name(pack);
        let Some(found) = stat(&*inner.home, &name)? else {
            return Ok(None);
        };
        if !inner.packs.retire(pack)? {
            return Ok(None);
        }
        let file = inner.packs.files().file(pack);
        let file = file.map_err(StoreError::io(&name))?;
        let view = self.view();
        let batch = self.begin();
        let mut moved = 0;
        visit(&*file, pack, |piece| {
            moved += move_piece(&view, &batch, self, piece)?;
            Ok(())
        })?;
        drop(view);
        batch.forget_pack(pack);
        batch.commit(true)?;
        Ok(Some(Repacked {
            bytes_moved: moved,
            bytes_freed: found,
        }))
    }
}

fn stat(home: &dyn Root, name: &Path) -> Result<Option<u64>, StoreError> {
    let found = home.stat(name).map_err(StoreError::io(name))?;
    Ok(found.map(|found| found.allocated))
}

/// Moves a piece if the index points to it; gives the bytes moved.
fn move_piece(
    view: &View,
    batch: &Batch,
    store: &Store,
    piece: Piece<'_>,
) -> Result<u64, StoreError> {
    match piece {
        Piece::Chunk { id, spot, bytes } if is_chunk_at(view, &id, spot)? => {
            batch.move_chunk(&id, bytes, spot)?;
            Ok(bytes.len() as u64)
        }
        Piece::Page { id, spot, bytes } if is_page_at(view, &id, spot)? => {
            batch.move_page(&id, bytes)?;
            Ok(bytes.len() as u64)
        }
        Piece::Row(record) => {
            if record.is_current(view)? {
                record.append_to(&store.inner().packs)?;
            }
            Ok(0)
        }
        Piece::Chunk { .. } | Piece::Page { .. } => Ok(0),
    }
}

fn is_chunk_at(view: &View, id: &ChunkId, spot: PackSpot) -> Result<bool, StoreError> {
    let row = view.chunk(id)?;
    Ok(row.is_some_and(|row| row.extents.contains(&Extent::Pack(spot))))
}

fn is_page_at(view: &View, id: &PageId, spot: PackSpot) -> Result<bool, StoreError> {
    Ok(view.page_spot(id)?.is_some_and(|(there, _)| there == spot))
}

impl RowRecord {
    /// Whether the record still says what the index says. What was removed stays said,
    /// because an older pack may hold a record of it.
    fn is_current(&self, view: &View) -> Result<bool, StoreError> {
        Ok(match self {
            Self::Snapshot { row, .. } => view.snapshot(&row.id())?.as_ref() == Some(row),
            Self::NoSnapshot(id) => view.snapshot(id)?.is_none(),
            Self::Version(bytes) => {
                let id = shoal_protocol::id::VersionId::of(bytes);
                view.version(&id)?.is_some()
            }
            Self::NoVersion(id) => view.version(id)?.is_none(),
            Self::Heads { artifact, heads } => view.heads(artifact)? == *heads,
            Self::OwnedFile { path, content, .. } => {
                let row = view.file_at(crate::index::RootId::HOME, path)?;
                row.is_some_and(|row| row.content == *content)
            }
        })
    }
}
