//! Winning back an index from the packs.
//!
//! Owns: what is taken from a pack, and what must then be checked. Refuses: external files;
//! whoever wants them known again adds them again.
//!
//! The new index is made beside the old one and takes its name when it is whole, so a
//! rebuild that is broken off can be begun again.

mod record;
mod repack;
mod visit;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use shoal_protocol::id::VersionId;
use shoal_protocol::manifest::{Content, SnapshotCursor, Step};
use shoal_protocol::paged_list::{ChunkRef, Cursor};
use shoal_protocol::path::ManifestPath;

use self::record::RowRecord;
use self::visit::{Piece, visit};
use crate::disk::{Disk, OpenMode};
use crate::error::{OpenError, StoreError};
use crate::home::{Home, claim};
use crate::index::{
    AudienceId, Changes, Coverage, Extent, FileClass, FileRow, FileState, Index, RootId,
    SnapshotRow, SyncNote,
};
use crate::pack::PackFiles;
use crate::store::{Store, StoreOptions};
use shoal_protocol::id::ChunkId;

pub(crate) use record::append_rows;
pub use repack::Repacked;

/// What a rebuild has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Chunks found whole in packs and owned files.
    pub chunks: u64,
    /// Pages found whole.
    pub pages: u64,
    /// Snapshots found, whole or in part.
    pub snapshots: u64,
    /// Bytes in packs that belong to nothing.
    pub bytes_damaged: u64,
}

/// Owned files by path: their length and what they hold.
type OwnedFiles = BTreeMap<ManifestPath, Content>;

impl Store {
    /// Opens the store in `home` with an index that is made anew from its packs and owned
    /// files, reading and hashing all of them. What lies in external files is not known
    /// afterwards, nor are grants and unfinished receives.
    pub fn rebuild(
        disk: Arc<dyn Disk>,
        home: &Path,
        options: StoreOptions,
    ) -> Result<(Store, Rebuilt), OpenError> {
        let Home { root, lock } = claim(&*disk, home, &options)?;
        let index = Index::create(&*root, options.index_cache_bytes, disk.boot())?;
        let mut found = Rebuilt::default();
        let mut owned = OwnedFiles::new();
        let files = PackFiles::new(root.clone());
        let mut ends = BTreeMap::new();
        for number in PackFiles::numbers(&*root)? {
            let name = PackFiles::name(number);
            let file = files.file(number).map_err(StoreError::io(&name))?;
            let mut changes = Changes::default();
            let end = visit(&*file, number, |piece| {
                take(piece, &index, &mut changes, &mut owned, &mut found);
                Ok(())
            })?;
            found.bytes_damaged += end.damaged;
            ends.insert(number, end.end);
            file.set_len(end.end).map_err(StoreError::io(&name))?;
            file.sync().map_err(StoreError::io(&name))?;
            let ends = ends.clone();
            index.commit(changes, false, SyncNote::None, |_| Ok(ends))?;
        }
        index.commit(Changes::default(), true, SyncNote::None, |_| Ok(ends))?;
        Index::name(&*root)?;
        let store = Self::assemble(disk, root, lock, index, &options)?;
        store.take_owned_files(owned, &mut found)?;
        store.correct_coverage(&mut found)?;
        Ok((store, found))
    }

    /// Adds what owned files hold, as far as it is what their records say.
    fn take_owned_files(&self, owned: OwnedFiles, found: &mut Rebuilt) -> Result<(), StoreError> {
        let batch = self.begin();
        batch.sync_first(self.home().clone());
        let mut bytes = Vec::new();
        for (path, content) in owned {
            let name = Path::new(path.as_str());
            let Ok(file) = self.home().open(name, OpenMode::Read) else {
                continue;
            };
            let identity = file.identity().map_err(StoreError::io(name))?;
            let id = batch.new_file();
            let mut list = self.chunks_of(&content, identity.size)?.into_iter();
            let mut offset = 0;
            list.try_for_each(|chunk| {
                bytes.resize(chunk.length as usize, 0);
                let read = file.read_at(offset, &mut bytes);
                let read = read.map_err(StoreError::io(name))?;
                if read == bytes.len() && ChunkId::of(&bytes) == chunk.id {
                    let extent = Extent::File { file: id, offset };
                    batch.add_extent(&chunk.id, chunk.length, extent, AudienceId::SELF);
                    found.chunks += 1;
                }
                offset += u64::from(chunk.length);
                Ok::<_, StoreError>(())
            })?;
            batch.put_file(FileRow {
                id,
                root: RootId::HOME,
                path,
                identity,
                content,
                class: FileClass::Owned,
                state: FileState::Trusted,
                settled: true,
            });
        }
        batch.commit(true)
    }

    /// The chunks of a file, as far as its pages are here.
    fn chunks_of(&self, content: &Content, size: u64) -> Result<Vec<ChunkRef>, StoreError> {
        let length = u32::try_from(size).unwrap_or(u32::MAX);
        let page = match content {
            Content::Empty => return Ok(Vec::new()),
            Content::Chunk(id) => return Ok(vec![ChunkRef { id: *id, length }]),
            Content::List(page) => *page,
        };
        let mut chunks = Vec::new();
        let mut cursor = Cursor::<ChunkRef>::new(Some(page));
        while let Ok(Some(placed)) = cursor.next(self) {
            chunks.push(placed.item);
        }
        Ok(chunks)
    }

    /// Lets every snapshot say that it holds what is really here.
    fn correct_coverage(&self, found: &mut Rebuilt) -> Result<(), StoreError> {
        let batch = self.begin();
        for row in self.view().snapshots()? {
            let held = self.held_of(&row)?;
            let offered = match &row.offered {
                Coverage::Complete => held.clone(),
                // Which of them it was is not in the packs' records.
                Coverage::Ranges(_) => Coverage::Ranges(Vec::new()),
            };
            found.snapshots += 1;
            batch.put_snapshot(SnapshotRow {
                held,
                offered,
                ..row
            });
        }
        batch.commit(true)
    }

    /// The positions whose chunks are here. What lies beneath a page that is not counts as
    /// missing.
    fn held_of(&self, row: &SnapshotRow) -> Result<Coverage, StoreError> {
        let view = self.view();
        let mut cursor = SnapshotCursor::new(&row.snapshot);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        while let Ok(Some(step)) = cursor.next(self) {
            let Step::Chunk {
                position, chunk, ..
            } = step
            else {
                continue;
            };
            if !view.contains(&chunk.id)? {
                continue;
            }
            let end = position + u64::from(chunk.length);
            match ranges.last_mut() {
                Some(last) if last.end == position => last.end = end,
                _ => ranges.push(position..end),
            }
        }
        let whole = match ranges.as_slice() {
            [] => row.snapshot.bytes == 0,
            [only] => *only == (0..row.snapshot.bytes),
            _ => false,
        };
        Ok(if whole {
            Coverage::Complete
        } else {
            Coverage::Ranges(ranges)
        })
    }
}

/// Adds what a pack holds to the rows.
fn take(
    piece: Piece<'_>,
    index: &Index,
    changes: &mut Changes,
    owned: &mut OwnedFiles,
    found: &mut Rebuilt,
) {
    match piece {
        Piece::Chunk { id, spot, bytes } => {
            let change = changes.chunk(&id);
            change.length = Some(bytes.len() as u32);
            change.add_audience(AudienceId::SELF);
            change.extents.push(Extent::Pack(spot));
            found.chunks += 1;
        }
        Piece::Page { id, spot, bytes } => {
            changes.pages.insert(id, Some((spot, bytes.len() as u32)));
            found.pages += 1;
        }
        Piece::Row(RowRecord::Snapshot { mut row, audience }) => {
            row.audience = match audience {
                Some(peer) => index.names().name_audience(&peer),
                None => AudienceId::SELF,
            };
            changes.snapshots.insert(row.id(), Some(row));
        }
        Piece::Row(RowRecord::NoSnapshot(id)) => {
            changes.snapshots.insert(id, None);
        }
        Piece::Row(RowRecord::Version(bytes)) => {
            changes.versions.insert(VersionId::of(&bytes), Some(bytes));
        }
        Piece::Row(RowRecord::NoVersion(id)) => {
            changes.versions.insert(id, None);
        }
        Piece::Row(RowRecord::Heads { artifact, heads }) => {
            changes.heads.insert(artifact, heads);
        }
        Piece::Row(RowRecord::OwnedFile { path, content }) => {
            owned.insert(path, content);
        }
    }
}
