//! Keys in a file that nobody sees, parted by the front of their positions.
//!
//! Owns: the file, which has no name and goes with the process, and which of its blocks
//! belong to which part. Refuses: an order within a part; that is the list's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shoal_protocol::advert::{ADVERT_KEY_BYTES, AdvertKey, Position};

use crate::Store;
use crate::disk::{DiskFile, OpenMode};
use crate::error::StoreError;

/// By the first byte.
pub(super) const PARTS: usize = 256;
/// A row: 1 if the key is always advertised, and the key.
const ROW_BYTES: usize = 1 + ADVERT_KEY_BYTES;
/// So many rows of a part are collected before they are written: 16 KiB.
const BLOCK_ROWS: usize = (16 << 10) / ROW_BYTES;

/// Lists must not take each other's file, should there be two for a moment.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A key, and whether it is advertised whatever the budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) always: bool,
    pub(super) key: AdvertKey,
}

pub(super) struct Partitions {
    file: Arc<dyn DiskFile>,
    end: u64,
    parts: Vec<Part>,
}

#[derive(Default)]
struct Part {
    /// Where its blocks begin, and how long they are.
    blocks: Vec<(u64, u32)>,
    /// What was not written yet.
    open: Vec<u8>,
}

impl Partitions {
    /// An empty file in the store's `tmp`.
    pub(super) fn new(store: &Store) -> Result<Self, StoreError> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tmp/adverts-{number}");
        let name = Path::new(&name);
        let home = store.home();
        let file = home.open(name, OpenMode::CreateNew);
        let file = file.map_err(StoreError::io(name))?;
        home.remove_file(name).map_err(StoreError::io(name))?;
        let parts = std::iter::repeat_with(Part::default);
        Ok(Self {
            file,
            end: 0,
            parts: parts.take(PARTS).collect(),
        })
    }

    pub(super) fn push(&mut self, row: Row) -> Result<(), StoreError> {
        let part = usize::from(Position::of_key(&row.key).as_bytes()[0]);
        let open = &mut self.parts[part].open;
        open.push(u8::from(row.always));
        open.extend_from_slice(row.key.as_bytes());
        if open.len() >= BLOCK_ROWS * ROW_BYTES {
            self.write(part)?;
        }
        Ok(())
    }

    /// Writes what is left, and lets go of the memory.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        for part in 0..PARTS {
            self.write(part)?;
            self.parts[part].open = Vec::new();
        }
        Ok(())
    }

    /// The rows of a part, in no order.
    pub(super) fn rows(&self, part: usize) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for (offset, length) in &self.parts[part].blocks {
            let mut block = vec![0; *length as usize];
            let read = self.file.read_at(*offset, &mut block);
            if read.map_err(StoreError::io("tmp/adverts"))? < block.len() {
                let short = std::io::ErrorKind::UnexpectedEof.into();
                return Err(StoreError::io("tmp/adverts")(short));
            }
            rows.extend(block.as_chunks::<ROW_BYTES>().0.iter().map(|row| {
                let (always, key) = row.split_first_chunk::<1>().expect("a row is longer");
                let key = key.first_chunk().expect("the rest of a row is a key");
                Row {
                    always: *always != [0],
                    key: AdvertKey::from_bytes(*key),
                }
            }));
        }
        Ok(rows)
    }

    fn write(&mut self, part: usize) -> Result<(), StoreError> {
        let part = &mut self.parts[part];
        if part.open.is_empty() {
            return Ok(());
        }
        (self.file.write_at(self.end, &part.open)).map_err(StoreError::io("tmp/adverts"))?;
        part.blocks.push((self.end, part.open.len() as u32));
        self.end += part.open.len() as u64;
        part.open.clear();
        Ok(())
    }
}
