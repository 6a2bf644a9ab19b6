//! The bytes of the rows that there are many of.
//!
//! Owns: the packed form of chunk, page and file rows, a few dozen bytes each, because an
//! artifact of small files must not cost more in the index than its bytes are worth.
//! Refuses: rows that are few; those are plain bincode.
//!
//! Integers are LEB128; all forms are described in docs/formats.md.

use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::manifest::Content;
use shoal_protocol::path::ManifestPath;

use super::rows::{AudienceId, ChunkRow, Extent, FileClass, FileId, FileRow, PackSpot, RootId};
use super::sync::StoredState;
use crate::disk::{FileIdentity, FileKind};

/// The bytes of a row that is not what this module writes; the text says what is wrong.
pub(crate) type Malformed = &'static str;

pub(crate) fn write_number(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_signed(out: &mut Vec<u8>, number: i128) {
    write_number(out, (number.wrapping_shl(1) ^ (number >> 127)) as u128);
}

/// Reads a row from its front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (front, rest) = self.0.split_at_checked(count).ok_or("it is too short")?;
        self.0 = rest;
        Ok(front)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    fn id(&mut self) -> Result<[u8; 32], Malformed> {
        Ok(self.bytes(32)?.try_into().expect("32 bytes were taken"))
    }

    fn wide(&mut self) -> Result<u128, Malformed> {
        let mut number = 0;
        for shift in (0..126).step_by(7) {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too long")
    }

    fn signed(&mut self) -> Result<i128, Malformed> {
        let number = self.wide()?;
        Ok((number >> 1) as i128 ^ -((number & 1) as i128))
    }

    pub(crate) fn number<T: TryFrom<u128>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.wide()?).map_err(|_| "a number is out of range")
    }

    fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("bytes are left over")
        }
    }
}

/// A chunk row: length; audiences and extents, each as a count and its items. An extent is
/// `pack * 2` or `file * 2 + 1`, then the offset.
pub(crate) fn chunk_bytes(row: &ChunkRow) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    write_number(&mut out, row.length.into());
    write_number(&mut out, row.audiences.len() as u128);
    for audience in &row.audiences {
        write_number(&mut out, audience.0.into());
    }
    write_number(&mut out, row.extents.len() as u128);
    for extent in &row.extents {
        let (place, offset) = match extent {
            Extent::Pack(spot) => (u128::from(spot.pack) * 2, spot.offset),
            Extent::File { file, offset } => (u128::from(file.0) * 2 + 1, *offset),
        };
        write_number(&mut out, place);
        write_number(&mut out, offset.into());
    }
    out
}

pub(crate) fn chunk_row(bytes: &[u8]) -> Result<ChunkRow, Malformed> {
    let mut reader = Reader(bytes);
    let length = reader.number()?;
    let mut audiences = Vec::new();
    for _ in 0..reader.number::<u32>()? {
        audiences.push(AudienceId(reader.number()?));
    }
    let mut extents = Vec::new();
    for _ in 0..reader.number::<u32>()? {
        let place: u128 = reader.wide()?;
        let offset = reader.number()?;
        extents.push(if place & 1 == 0 {
            let pack = u32::try_from(place >> 1).map_err(|_| "a pack number is out of range")?;
            Extent::Pack(PackSpot { pack, offset })
        } else {
            let file = u64::try_from(place >> 1).map_err(|_| "a file number is out of range")?;
            Extent::File {
                file: FileId(file),
                offset,
            }
        });
    }
    reader.end()?;
    Ok(ChunkRow {
        length,
        audiences,
        extents,
    })
}

/// A page row: pack, offset, length.
pub(crate) fn page_bytes(spot: PackSpot, length: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    write_number(&mut out, spot.pack.into());
    write_number(&mut out, spot.offset.into());
    write_number(&mut out, length.into());
    out
}

pub(crate) fn page_row(bytes: &[u8]) -> Result<(PackSpot, u32), Malformed> {
    let mut reader = Reader(bytes);
    let spot = PackSpot {
        pack: reader.number()?,
        offset: reader.number()?,
    };
    let length = reader.number()?;
    reader.end()?;
    Ok((spot, length))
}

/// The key of a file: its root, then its path with every `/` as a NUL, which no path has;
/// so the order of keys is the order of paths.
pub(crate) fn file_key(root: RootId, path: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + path.len());
    key.extend_from_slice(&root.0.to_be_bytes());
    key.extend(path.bytes().map(|b| if b == b'/' { 0 } else { b }));
    key
}

fn root_and_path(key: &[u8]) -> Result<(RootId, ManifestPath), Malformed> {
    let (root, path) = key.split_first_chunk().ok_or("its key is too short")?;
    let path = path.iter().map(|&b| if b == 0 { b'/' } else { b });
    let path = String::from_utf8(path.collect()).map_err(|_| "its path is not text")?;
    let path = ManifestPath::new(path).map_err(|_| "its path is not one")?;
    Ok((RootId(u32::from_be_bytes(*root)), path))
}

const OWNED: u8 = 1;
const SETTLED: u8 = 1 << 1;
const EXECUTABLE: u8 = 1 << 2;
const SYNCED: u8 = 1 << 3;
const SUSPECT: u8 = 1 << 4;
const ONE_CHUNK: u8 = 1 << 5;
const LIST: u8 = 1 << 6;

/// A file row: flags, id, the epoch it was written in if it was not known to be synced,
/// device, inode, size, allocated bytes, owner, time of modification and from there to the
/// time of change in nanoseconds, and what the content begins with.
pub(crate) fn file_bytes(row: &FileRow, state: StoredState) -> Vec<u8> {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(row.class == FileClass::Owned, OWNED)
        | flag(row.settled, SETTLED)
        | flag(row.identity.executable, EXECUTABLE)
        | flag(state == StoredState::Synced, SYNCED)
        | flag(state == StoredState::Suspect, SUSPECT)
        | flag(matches!(row.content, Content::Chunk(_)), ONE_CHUNK)
        | flag(matches!(row.content, Content::List(_)), LIST);
    let identity = &row.identity;
    let mut out = Vec::with_capacity(80);
    out.push(flags);
    write_number(&mut out, row.id.0.into());
    if let StoredState::WrittenIn(epoch) = state {
        write_number(&mut out, epoch.into());
    }
    write_number(&mut out, identity.device.into());
    write_number(&mut out, identity.inode.into());
    write_number(&mut out, identity.size.into());
    write_number(&mut out, identity.allocated.into());
    write_number(&mut out, identity.owner.into());
    write_signed(&mut out, identity.modified_ns);
    write_signed(&mut out, identity.changed_ns - identity.modified_ns);
    match &row.content {
        Content::Empty => {}
        Content::Chunk(id) => out.extend_from_slice(id.as_bytes()),
        Content::List(id) => out.extend_from_slice(id.as_bytes()),
    }
    out
}

/// The id in the bytes of a file row.
pub(crate) fn file_id(bytes: &[u8]) -> Result<FileId, Malformed> {
    let mut reader = Reader(bytes);
    reader.byte()?;
    Ok(FileId(reader.number()?))
}

/// The file row with this key and these bytes; its state is for the caller to judge.
pub(crate) fn file_row(key: &[u8], bytes: &[u8]) -> Result<(FileRow, StoredState), Malformed> {
    let (root, path) = root_and_path(key)?;
    let mut reader = Reader(bytes);
    let flags = reader.byte()?;
    let id = FileId(reader.number()?);
    let state = match flags & (SYNCED | SUSPECT) {
        0 => StoredState::WrittenIn(reader.number()?),
        SYNCED => StoredState::Synced,
        _ => StoredState::Suspect,
    };
    let device = reader.number()?;
    let inode = reader.number()?;
    let size = reader.number()?;
    let allocated = reader.number()?;
    let owner = reader.number()?;
    let modified_ns = reader.signed()?;
    let changed_ns = modified_ns + reader.signed()?;
    let content = match flags & (ONE_CHUNK | LIST) {
        0 => Content::Empty,
        ONE_CHUNK => Content::Chunk(ChunkId::from_bytes(reader.id()?)),
        _ => Content::List(PageId::from_bytes(reader.id()?)),
    };
    reader.end()?;
    let row = FileRow {
        id,
        root,
        path,
        identity: FileIdentity {
            kind: FileKind::Regular,
            device,
            inode,
            size,
            modified_ns,
            changed_ns,
            executable: flags & EXECUTABLE != 0,
            owner,
            allocated,
        },
        content,
        class: if flags & OWNED != 0 {
            FileClass::Owned
        } else {
            FileClass::External
        },
        state: state.unjudged(),
        settled: flags & SETTLED != 0,
    };
    Ok((row, state))
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
