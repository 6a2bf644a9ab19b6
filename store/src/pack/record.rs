//! What a pack consists of: a header, then records one behind the other.
//!
//! Owns: the bytes of headers, and how a torn or foreign one is recognised. Refuses: the
//! bytes of chunks and pages, which their ids check.
//!
//! A record's header is bound to its place (pack and offset), so that bytes which look like
//! a record inside a chunk are never taken for one. Described in docs/formats.md.

use shoal_protocol::id::ChunkId;

/// The format that stands in a pack's header.
pub(crate) const PACK_FORMAT: u32 = 1;
/// Length of a pack's header.
pub(crate) const PACK_HEADER_BYTES: u64 = 16;
/// Length of a record's header.
pub(crate) const RECORD_HEADER_BYTES: u64 = 48;
/// The most bytes that a record may have: a run of a big file.
pub(crate) const RECORD_BYTES_MAX: u32 = 64 << 20;

const PACK_MAGIC: &[u8; 8] = b"shoalpak";
/// What a record begins with.
pub(crate) const RECORD_MAGIC: &[u8; 4] = b"shrc";

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// The bytes of a chunk; the id is its id.
    Chunk = 1,
    /// The bytes of a page; the id is its id.
    Page = 2,
    /// A table of chunk ids and lengths, then their bytes; the id is the BLAKE3 of the table.
    Run = 3,
    /// A row of the index that a rebuild needs; the id is the BLAKE3 of the bytes.
    Row = 4,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Chunk, Self::Page, Self::Run, Self::Row]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    /// Bytes behind the header.
    pub(crate) length: u32,
    pub(crate) id: [u8; 32],
}

impl RecordHeader {
    /// The header's bytes at this place.
    pub(crate) fn to_bytes(self, pack: u32, offset: u64) -> [u8; RECORD_HEADER_BYTES as usize] {
        let mut bytes = [0; RECORD_HEADER_BYTES as usize];
        bytes[..4].copy_from_slice(RECORD_MAGIC);
        bytes[4] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..44].copy_from_slice(&self.id);
        let check = check(pack, offset, &bytes[..44]);
        bytes[44..].copy_from_slice(&check);
        bytes
    }

    /// The header with these bytes, if they were written for this place.
    pub(crate) fn from_bytes(bytes: &[u8; 48], pack: u32, offset: u64) -> Option<Self> {
        if bytes[..4] != *RECORD_MAGIC || bytes[44..] != check(pack, offset, &bytes[..44]) {
            return None;
        }
        let length = u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes"));
        Some(Self {
            kind: RecordKind::from_byte(bytes[4])?,
            length: Some(length).filter(|length| *length <= RECORD_BYTES_MAX)?,
            id: bytes[12..44].try_into().expect("32 bytes"),
        })
    }
}

fn check(pack: u32, offset: u64, header: &[u8]) -> [u8; 4] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&pack.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(header);
    let hash = hasher.finalize();
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// The header of a pack.
pub(crate) fn pack_header(number: u32) -> [u8; PACK_HEADER_BYTES as usize] {
    let mut bytes = [0; PACK_HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(PACK_MAGIC);
    bytes[8..12].copy_from_slice(&PACK_FORMAT.to_le_bytes());
    bytes[12..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The format and number in a pack's header; nothing if it is none.
pub(crate) fn read_pack_header(bytes: &[u8; 16]) -> Option<(u32, u32)> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    (bytes[..8] == *PACK_MAGIC).then(|| (number(8), number(12)))
}

/// Bytes of one chunk in the table of a [`RecordKind::Run`]: its id and its length.
pub(crate) const RUN_ITEM_BYTES: usize = 36;

/// The table in front of a run's bytes: the count of chunks, then ids and lengths.
pub(crate) fn run_table(chunks: &[(ChunkId, u32)]) -> Vec<u8> {
    let count = u32::try_from(chunks.len()).expect("a run has fewer than 2^32 chunks");
    let mut table = Vec::with_capacity(4 + chunks.len() * RUN_ITEM_BYTES);
    table.extend_from_slice(&count.to_le_bytes());
    for (id, length) in chunks {
        table.extend_from_slice(id.as_bytes());
        table.extend_from_slice(&length.to_le_bytes());
    }
    table
}

/// The chunks of a run, as its record says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RunTable {
    pub(crate) chunks: Vec<(ChunkId, u32)>,
    /// Where the bytes of the first begin in the record.
    pub(crate) data: usize,
}

impl RunTable {
    /// The table that a record with this id begins with; nothing if it is harmed.
    pub(crate) fn read(id: &[u8; 32], record: &[u8]) -> Option<Self> {
        let (count, rest) = record.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        let items = rest.get(..count.checked_mul(RUN_ITEM_BYTES)?)?;
        let data = 4 + items.len();
        if blake3::hash(&record[..data]).as_bytes() != id {
            return None;
        }
        let (items, _) = items.as_chunks::<RUN_ITEM_BYTES>();
        let item = |item: &[u8; RUN_ITEM_BYTES]| {
            let (id, length) = item.split_at(32);
            let id = ChunkId::from_bytes(id.try_into().expect("32 bytes"));
            let length = u32::from_le_bytes(length.try_into().expect("4 bytes"));
            (id, length)
        };
        let chunks = items.iter().map(item).collect();
        Some(Self { chunks, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_only_at_its_place_and_unharmed() {
        let header = RecordHeader {
            kind: RecordKind::Page,
            length: 70_000,
            id: [7; 32],
        };
        let bytes = header.to_bytes(3, 4_000);
        assert_eq!(RecordHeader::from_bytes(&bytes, 3, 4_000), Some(header));
        assert_eq!(RecordHeader::from_bytes(&bytes, 3, 4_001), None);
        assert_eq!(RecordHeader::from_bytes(&bytes, 4, 4_000), None);
        for at in 0..bytes.len() {
            let mut harmed = bytes;
            harmed[at] ^= 1;
            assert_eq!(
                RecordHeader::from_bytes(&harmed, 3, 4_000),
                None,
                "byte {at}"
            );
        }
    }

    #[test]
    fn pack_headers_round_trip() {
        assert_eq!(read_pack_header(&pack_header(9)), Some((PACK_FORMAT, 9)));
        assert_eq!(read_pack_header(&[0; 16]), None);
    }

    #[test]
    fn run_tables_round_trip_and_lies_are_refused() {
        let chunks = [(ChunkId::of(b"a"), 1), (ChunkId::of(b"b"), 2)];
        let mut record = run_table(&chunks);
        let id = *blake3::hash(&record).as_bytes();
        let data = record.len();
        record.extend_from_slice(b"abb");
        let table = RunTable::read(&id, &record).expect("a table");
        assert_eq!(table.chunks, chunks);
        assert_eq!(table.data, data);
        record[0] = 3;
        assert_eq!(RunTable::read(&id, &record), None);
        assert_eq!(RunTable::read(&id, &[255; 4]), None);
    }
}
