//! One file of rows, sorted by the front of an id.
//!
//! Owns: the bytes of the file, sorting within bounded memory, and finding the rows of an id.
//! Refuses: to believe the rows.
//!
//! Bytes: `shoalplc`, format (`u32`), count of snapshots (`u32`), their ids; then rows of 16
//! bytes: the first 8 of an id, the number of the snapshot (`u16`, big-endian), the position
//! (48 bits, big-endian). So rows sort as bytes do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shoal_protocol::id::SnapshotId;

use super::SNAPSHOTS_MAX;
use crate::Store;
use crate::disk::{DiskFile, OpenMode, Root};
use crate::error::StoreError;

const MAGIC: &[u8; 8] = b"shoalplc";
const FORMAT: u32 = 1;
const HEAD_BYTES: u64 = 16;
const ID_BYTES: u64 = 32;
const ROW_BYTES: usize = 16;
/// Positions beyond this are not listed.
const POSITION_MAX: u64 = (1 << 48) - 1;
/// Rows that are sorted at once: 16 MiB.
const SORTED_ROWS: usize = 1 << 20;
/// Rows that are read at once, and written.
const BLOCK_ROWS: usize = 256;
/// Rows of one id in one snapshot: it stands there more often than anybody needs to know.
const SAME_MAX: usize = 2;

/// Writers must not take each other's file, should there be two for a moment.
static NUMBER: AtomicU64 = AtomicU64::new(0);

type Row = [u8; ROW_BYTES];

/// A place that a row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) snapshot: SnapshotId,
    pub(super) position: u64,
}

/// A file that is read.
pub(super) struct Listed {
    pub(super) name: PathBuf,
    pub(super) snapshots: Vec<SnapshotId>,
    file: Arc<dyn DiskFile>,
    rows: u64,
}

impl Listed {
    /// The file, if it is one of these.
    pub(super) fn read(name: PathBuf, file: Arc<dyn DiskFile>) -> Option<Self> {
        let size = file.identity().ok()?.size;
        let mut head = [0; HEAD_BYTES as usize];
        read_all(&*file, 0, &mut head).ok()?;
        let (magic, rest) = head.split_at(MAGIC.len());
        let (format, count) = rest.split_at(4);
        let count = u32::from_le_bytes(count.try_into().expect("4 bytes")) as usize;
        let is_ours = magic == MAGIC && format == FORMAT.to_le_bytes();
        if !is_ours || count > SNAPSHOTS_MAX {
            return None;
        }
        let mut ids = vec![0; count * ID_BYTES as usize];
        read_all(&*file, HEAD_BYTES, &mut ids).ok()?;
        let ids = ids.as_chunks::<{ ID_BYTES as usize }>().0;
        let bytes = size.checked_sub(start(count))?;
        Some(Self {
            name,
            snapshots: ids.iter().copied().map(SnapshotId::from_bytes).collect(),
            file,
            rows: bytes / ROW_BYTES as u64,
        })
    }

    /// The first `hints_max` hints for an id.
    pub(super) fn find(&self, id: &[u8; 32], hints_max: usize) -> Result<Vec<Hint>, StoreError> {
        let front = &id[..8];
        let (mut low, mut high) = (0, self.rows);
        while high - low > BLOCK_ROWS as u64 {
            let middle = low + (high - low) / 2;
            match self.block(middle, 1)?.first() {
                Some(row) if row[..8] < *front => low = middle + 1,
                _ => high = middle,
            }
        }
        let mut hints = Vec::new();
        // Those of one id may go on behind the block in which they begin.
        loop {
            let rows = self.block(low, BLOCK_ROWS)?;
            for row in &rows {
                match row[..8].cmp(front) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal if hints.len() < hints_max => {
                        hints.extend(self.hint(row));
                    }
                    _ => return Ok(hints),
                }
            }
            if rows.is_empty() {
                return Ok(hints);
            }
            low += rows.len() as u64;
        }
    }

    fn hint(&self, row: &Row) -> Option<Hint> {
        let (number, position) = row[8..].split_first_chunk().expect("a row has 16 bytes");
        let snapshot = self.snapshots.get(usize::from(u16::from_be_bytes(*number)));
        let position = position
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let snapshot = *snapshot?;
        Some(Hint { snapshot, position })
    }

    /// At most `count` rows from `first` on.
    fn block(&self, first: u64, count: usize) -> Result<Vec<Row>, StoreError> {
        let count = (self.rows.saturating_sub(first)).min(count as u64) as usize;
        let offset = start(self.snapshots.len()) + first * ROW_BYTES as u64;
        block(&*self.file, offset, count).map_err(StoreError::io(&self.name))
    }
}

/// Where the rows begin.
fn start(snapshots: usize) -> u64 {
    HEAD_BYTES + snapshots as u64 * ID_BYTES
}

fn block(file: &dyn DiskFile, offset: u64, count: usize) -> std::io::Result<Vec<Row>> {
    let mut bytes = vec![0; count * ROW_BYTES];
    read_all(file, offset, &mut bytes)?;
    Ok(bytes.as_chunks::<ROW_BYTES>().0.to_vec())
}

fn read_all(file: &dyn DiskFile, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    match file.read_at(offset, bytes)? == bytes.len() {
        true => Ok(()),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Puts a file together: sorts some rows at a time, and merges them at the end.
pub(super) struct Writer {
    /// The rows that were sorted, in a file without a name.
    sorted: Arc<dyn DiskFile>,
    /// Where each run of sorted rows begins and ends in it, in rows.
    runs: Vec<(u64, u64)>,
    open: Vec<Row>,
    snapshots: Vec<SnapshotId>,
}

impl Writer {
    pub(super) fn new(store: &Store) -> Result<Self, StoreError> {
        let home = store.home().clone();
        let name = temporary();
        let sorted = home.open(&name, OpenMode::CreateNew);
        let sorted = sorted.map_err(StoreError::io(&name))?;
        home.remove_file(&name).map_err(StoreError::io(&name))?;
        Ok(Self {
            sorted,
            runs: Vec::new(),
            open: Vec::new(),
            snapshots: Vec::new(),
        })
    }

    /// What follows stands in this snapshot.
    pub(super) fn begin(&mut self, snapshot: SnapshotId) {
        self.snapshots.push(snapshot);
    }

    pub(super) fn push(&mut self, id: &[u8; 32], position: u64) -> Result<(), StoreError> {
        let number = self.snapshots.len().checked_sub(1).expect("one was begun");
        let number = u16::try_from(number).expect("no more snapshots than have numbers");
        if position > POSITION_MAX {
            return Ok(());
        }
        let mut row = [0; ROW_BYTES];
        row[..8].copy_from_slice(&id[..8]);
        row[8..10].copy_from_slice(&number.to_be_bytes());
        row[10..].copy_from_slice(&position.to_be_bytes()[2..]);
        self.open.push(row);
        match self.open.len() >= SORTED_ROWS {
            true => self.sort(),
            false => Ok(()),
        }
    }

    fn sort(&mut self) -> Result<(), StoreError> {
        self.open.sort_unstable();
        let first = self.runs.last().map_or(0, |(_, end)| *end);
        let written = (self.sorted).write_at(first * ROW_BYTES as u64, self.open.as_flattened());
        written.map_err(StoreError::io("tmp/places"))?;
        self.runs.push((first, first + self.open.len() as u64));
        self.open.clear();
        Ok(())
    }

    /// Writes the file, which gets its name when it is whole.
    pub(super) fn finish(mut self, home: &dyn Root, name: PathBuf) -> Result<Listed, StoreError> {
        self.sort()?;
        self.open = Vec::new();
        let draft = temporary();
        let io = || StoreError::io(&draft);
        let file = home.open(&draft, OpenMode::CreateNew).map_err(io())?;
        let mut head = MAGIC.to_vec();
        head.extend(FORMAT.to_le_bytes());
        head.extend((self.snapshots.len() as u32).to_le_bytes());
        head.extend(self.snapshots.iter().flat_map(|id| *id.as_bytes()));
        file.write_at(0, &head).map_err(io())?;
        let rows = self.merge(&*file).map_err(io())?;
        file.sync().map_err(io())?;
        home.rename(&draft, &name).map_err(io())?;
        Ok(Listed {
            name,
            snapshots: self.snapshots,
            file,
            rows,
        })
    }

    /// Merges the runs behind the head; gives the number of rows.
    fn merge(&self, into: &dyn DiskFile) -> std::io::Result<u64> {
        let mut runs: Vec<_> = self.runs.iter().map(|run| Run::new(*run)).collect();
        let mut heap = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            heap.extend(run.next(&*self.sorted)?.map(|row| Reverse((row, number))));
        }
        let start = start(self.snapshots.len());
        let (mut rows, mut block) = (0u64, Vec::<Row>::with_capacity(BLOCK_ROWS));
        let (mut last, mut same) = ([0; 10], 0);
        while let Some(Reverse((row, number))) = heap.pop() {
            let next = runs[number].next(&*self.sorted)?;
            heap.extend(next.map(|row| Reverse((row, number))));
            same = if row[..10] == last { same + 1 } else { 1 };
            last.copy_from_slice(&row[..10]);
            if same > SAME_MAX {
                continue;
            }
            block.push(row);
            if block.len() == BLOCK_ROWS {
                into.write_at(start + rows * ROW_BYTES as u64, block.as_flattened())?;
                rows += block.len() as u64;
                block.clear();
            }
        }
        into.write_at(start + rows * ROW_BYTES as u64, block.as_flattened())?;
        Ok(rows + block.len() as u64)
    }
}

fn temporary() -> PathBuf {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Path::new("tmp").join(format!("places-{number}"))
}

/// One run of sorted rows, read from its front.
struct Run {
    left: std::ops::Range<u64>,
    read: std::vec::IntoIter<Row>,
}

impl Run {
    fn new((first, end): (u64, u64)) -> Self {
        Self {
            left: first..end,
            read: Vec::new().into_iter(),
        }
    }

    fn next(&mut self, file: &dyn DiskFile) -> std::io::Result<Option<Row>> {
        if self.read.as_slice().is_empty() {
            let count = (self.left.end - self.left.start).min(BLOCK_ROWS as u64);
            let offset = self.left.start * ROW_BYTES as u64;
            self.read = block(file, offset, count as usize)?.into_iter();
            self.left.start += count;
        }
        Ok(self.read.next())
    }
}
