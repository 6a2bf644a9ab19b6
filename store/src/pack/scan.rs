//! Reading a pack without the index.
//!
//! Owns: walking from record to record, and finding the next whole one behind damage.
//! Refuses: to believe a record's bytes; the caller checks them against their id.

use crate::disk::DiskFile;
use crate::error::StoreError;
use crate::index::PackSpot;

use super::files::PackFiles;
use super::record::{
    PACK_FORMAT, PACK_HEADER_BYTES, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader, RecordKind,
    read_pack_header,
};

/// A record as it was found.
pub(crate) struct Scanned<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) id: [u8; 32],
    /// The place of its bytes.
    pub(crate) spot: PackSpot,
    pub(crate) bytes: &'a [u8],
}

/// What a scan saw besides records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanEnd {
    /// Where the last whole record ends.
    pub(crate) end: u64,
    /// Bytes in front of that which belong to no record.
    pub(crate) damaged: u64,
}

/// Shows every whole record of a pack to `each`, in order. What is not a record is passed
/// over; a pack of another number or format has none.
pub(crate) fn scan(
    file: &dyn DiskFile,
    number: u32,
    mut each: impl FnMut(Scanned<'_>) -> Result<(), StoreError>,
) -> Result<ScanEnd, StoreError> {
    let io = || StoreError::io(PackFiles::name(number));
    let mut header = [0; PACK_HEADER_BYTES as usize];
    file.read_at(0, &mut header).map_err(io())?;
    if read_pack_header(&header) != Some((PACK_FORMAT, number)) {
        return Ok(ScanEnd::default());
    }
    let size = file.identity().map_err(io())?.size;
    let mut found = ScanEnd {
        end: PACK_HEADER_BYTES,
        damaged: 0,
    };
    let mut bytes = Vec::new();
    let mut at = PACK_HEADER_BYTES;
    while at + RECORD_HEADER_BYTES <= size {
        let mut header = [0; RECORD_HEADER_BYTES as usize];
        file.read_at(at, &mut header).map_err(io())?;
        let header = RecordHeader::from_bytes(&header, number, at);
        let data = at + RECORD_HEADER_BYTES;
        let Some(header) = header.filter(|h| data + u64::from(h.length) <= size) else {
            match next_magic(file, at + 1, size).map_err(io())? {
                Some(next) => at = next,
                None => break,
            }
            continue;
        };
        bytes.resize(header.length as usize, 0);
        file.read_at(data, &mut bytes).map_err(io())?;
        each(Scanned {
            kind: header.kind,
            id: header.id,
            spot: PackSpot {
                pack: number,
                offset: data,
            },
            bytes: &bytes,
        })?;
        found.damaged += at - found.end;
        at = data + u64::from(header.length);
        found.end = at;
    }
    Ok(found)
}

/// Where, at or behind `at`, the bytes of a record's magic stand next.
fn next_magic(file: &dyn DiskFile, mut at: u64, size: u64) -> std::io::Result<Option<u64>> {
    const WINDOW: usize = 1 << 20;
    let mut window = vec![0; WINDOW];
    while at < size {
        let read = file.read_at(at, &mut window)?;
        let mut places = window[..read].windows(RECORD_MAGIC.len());
        if let Some(place) = places.position(|bytes| bytes == RECORD_MAGIC) {
            return Ok(Some(at + place as u64));
        }
        if read < WINDOW {
            break;
        }
        at += (WINDOW - (RECORD_MAGIC.len() - 1)) as u64;
    }
    Ok(None)
}
