//! What a pack's records say, checked.
//!
//! Owns: taking records apart into chunks, pages and rows, and leaving out what is damaged.
//! Refuses: to look at the index.

use shoal_protocol::id::{ChunkId, PageId};

use super::record::RowRecord;
use crate::disk::DiskFile;
use crate::error::StoreError;
use crate::index::PackSpot;
use crate::pack::{RecordKind, RunTable, ScanEnd, scan};

/// Something that a pack holds, whole.
pub(super) enum Piece<'a> {
    Chunk {
        id: ChunkId,
        spot: PackSpot,
        bytes: &'a [u8],
    },
    Page {
        id: PageId,
        spot: PackSpot,
        bytes: &'a [u8],
    },
    Row(RowRecord),
}

/// Shows every whole piece of a pack to `each`, in the order in which they were written.
pub(super) fn visit(
    file: &dyn DiskFile,
    pack: u32,
    mut each: impl FnMut(Piece<'_>) -> Result<(), StoreError>,
) -> Result<ScanEnd, StoreError> {
    scan(file, pack, |record| {
        let (spot, bytes) = (record.spot, record.bytes);
        match record.kind {
            RecordKind::Chunk => {
                let id = ChunkId::from_bytes(record.id);
                if ChunkId::of(bytes) == id {
                    each(Piece::Chunk { id, spot, bytes })?;
                }
            }
            RecordKind::Page => {
                let id = PageId::from_bytes(record.id);
                if PageId::of(bytes) == id {
                    each(Piece::Page { id, spot, bytes })?;
                }
            }
            RecordKind::Run => {
                let Some(run) = RunTable::read(&record.id, bytes) else {
                    return Ok(());
                };
                let mut offset = run.data;
                for (id, length) in run.chunks {
                    let Some(bytes) = bytes.get(offset..offset + length as usize) else {
                        break;
                    };
                    let spot = PackSpot {
                        offset: spot.offset + offset as u64,
                        ..spot
                    };
                    if ChunkId::of(bytes) == id {
                        each(Piece::Chunk { id, spot, bytes })?;
                    }
                    offset += length as usize;
                }
            }
            RecordKind::Row => {
                if let Some(row) = RowRecord::from_bytes(&record.id, bytes) {
                    each(Piece::Row(row))?;
                }
            }
        }
        Ok(())
    })
}
