//! Reading stretches of a snapshot, to be sent.
//!
//! Owns: finding the chunks of a run, reading neighbours in one go, and the rule which
//! bytes are hashed on the way. Refuses: to judge whether a run may be offered.
//!
//! The rule: bytes of a file are taken as they are if the file is in the state that was
//! hashed, before and after the read, and that state was already old when it was hashed.
//! All other bytes are hashed. So a big file is read about as fast as it can be copied.

use std::ops::Range;

use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::paged_list::ChunkRef;
use shoal_protocol::snapshot::Snapshot;

use crate::Store;
use crate::error::{ReadError, StoreError};
use crate::index::{Extent, FileId, FileState, PackSpot, View};
use crate::store::Inner;

/// Reads runs of one snapshot, usually one after the other. Keeps its place in the manifest.
pub struct RunReader {
    snapshot: Snapshot,
    cursor: SnapshotCursor,
    /// The position of the next chunk, where that is known.
    at: Option<u64>,
    /// That chunk, if the cursor gave it already.
    peeked: Option<ChunkRef>,
}

impl RunReader {
    /// A reader at the beginning of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            snapshot: *snapshot,
            cursor: SnapshotCursor::new(snapshot),
            at: Some(0),
            peeked: None,
        }
    }

    /// Whose runs these are.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The position that it goes on from without a search, where there is one.
    pub fn position(&self) -> Option<u64> {
        self.at
    }

    /// The chunks at the beginning of `range` that `bytes_max` takes, and where they end.
    fn chunks(
        &mut self,
        store: &Store,
        range: &Range<u64>,
        bytes_max: u64,
    ) -> Result<(Vec<ChunkRef>, u64), ReadError> {
        let bad = || ReadError::BadRange {
            start: range.start,
            end: range.end,
        };
        if range.is_empty() || range.end > self.snapshot.bytes {
            return Err(bad());
        }
        let mut at = range.start;
        if self.at.take() != Some(at) {
            self.peeked = None;
            self.cursor.seek(at);
        }
        let end = range.end.min(at.saturating_add(bytes_max));
        let mut chunks = Vec::new();
        while at < end {
            let chunk = match self.peeked.take() {
                Some(chunk) => chunk,
                None => self.next_chunk(store, at)?.ok_or_else(bad)?,
            };
            if at + u64::from(chunk.length) > end {
                self.peeked = Some(chunk);
                break;
            }
            at += u64::from(chunk.length);
            chunks.push(chunk);
        }
        self.at = Some(at);
        if chunks.is_empty() {
            return Err(bad());
        }
        Ok((chunks, at))
    }

    /// The next chunk, if it begins at `at`.
    fn next_chunk(&mut self, store: &Store, at: u64) -> Result<Option<ChunkRef>, ReadError> {
        loop {
            match self.cursor.next(store)? {
                Some(Step::Entry { .. }) => {}
                Some(Step::Chunk {
                    position, chunk, ..
                }) => return Ok((position == at).then_some(chunk)),
                None => return Ok(None),
            }
        }
    }
}

/// Neighbouring chunks that also lie one behind the other on the disk.
struct Stretch {
    place: Place,
    /// Where the first lies.
    offset: u64,
    chunks: Range<usize>,
    bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Pack(u32),
    File(FileId),
    Nowhere,
}

impl Place {
    fn of(extent: Extent) -> (Self, u64) {
        match extent {
            Extent::Pack(spot) => (Self::Pack(spot.pack), spot.offset),
            Extent::File { file, offset } => (Self::File(file), offset),
        }
    }

    fn extent(self, offset: u64) -> Option<Extent> {
        match self {
            Self::Pack(pack) => Some(Extent::Pack(PackSpot { pack, offset })),
            Self::File(file) => Some(Extent::File { file, offset }),
            Self::Nowhere => None,
        }
    }
}

impl Store {
    /// A reader for the runs of a snapshot that is known here.
    pub fn run_reader(&self, snapshot: &SnapshotId) -> Result<RunReader, ReadError> {
        let row = self.view().snapshot(snapshot)?;
        let row = row.ok_or(ReadError::UnknownSnapshot(*snapshot))?;
        Ok(RunReader::new(&row.snapshot))
    }

    /// Reads from the beginning of `range`, which lies on a chunk boundary, as many whole
    /// chunks as fit into `bytes_max`, and gives their positions. `out` becomes their bytes;
    /// its capacity is reused. Bytes in packs are hashed, those in files unless the file is
    /// provably the one that was hashed before; wrong ones are dropped from the index and
    /// read elsewhere.
    ///
    /// Not even one chunk is [`ReadError::BadRange`].
    pub fn read_run(
        &self,
        reader: &mut RunReader,
        range: Range<u64>,
        bytes_max: u64,
        out: &mut Vec<u8>,
    ) -> Result<Range<u64>, ReadError> {
        let (chunks, end) = reader.chunks(self, &range, bytes_max)?;
        let view = self.view();
        out.resize((end - range.start) as usize, 0);
        let mut rest = out.as_mut_slice();
        for stretch in stretches(&view, &chunks)? {
            let (bytes, behind) = rest.split_at_mut(stretch.bytes as usize);
            rest = behind;
            let chunks = &chunks[stretch.chunks.clone()];
            match self.inner().read_stretch(&view, &stretch, bytes) {
                Ok(Belief::AsTheyAre) => {}
                Ok(Belief::Hash) => self.mend(&stretch, chunks, bytes, true)?,
                Ok(Belief::Nothing) | Err(_) => self.mend(&stretch, chunks, bytes, false)?,
            }
        }
        Ok(range.start..end)
    }

    /// Hashes chunks (if they were read at all) and reads those elsewhere that are wrong.
    fn mend(
        &self,
        stretch: &Stretch,
        chunks: &[ChunkRef],
        bytes: &mut [u8],
        were_read: bool,
    ) -> Result<(), ReadError> {
        let mut rest = bytes;
        let mut offset = stretch.offset;
        let mut again = Vec::new();
        for chunk in chunks {
            let (bytes, behind) = rest.split_at_mut(chunk.length as usize);
            rest = behind;
            let extent = stretch.place.extent(offset);
            offset += u64::from(chunk.length);
            if were_read && ChunkId::of(bytes) == chunk.id {
                continue;
            }
            if let Some(extent) = extent.filter(|_| were_read) {
                self.drop_extents(&chunk.id, &[extent])?;
            }
            self.read_chunk(&chunk.id, &mut again)?;
            if again.len() != bytes.len() {
                // A manifest lies about the length.
                return Err(ReadError::Missing(chunk.id));
            }
            bytes.copy_from_slice(&again);
        }
        Ok(())
    }
}

/// Chooses a place for every chunk, so that few stretches come of it.
fn stretches(view: &View, chunks: &[ChunkRef]) -> Result<Vec<Stretch>, ReadError> {
    let mut all: Vec<Stretch> = Vec::new();
    for (number, chunk) in chunks.iter().enumerate() {
        let row = view.chunk(&chunk.id)?;
        let row = row.ok_or(ReadError::Missing(chunk.id))?;
        let bytes = u64::from(chunk.length);
        if let Some(last) = all.last_mut() {
            let next = (last.place, last.offset + last.bytes);
            if row.extents.iter().any(|extent| Place::of(*extent) == next) {
                last.chunks.end = number + 1;
                last.bytes += bytes;
                continue;
            }
        }
        // A file is likely to hold the next chunk too, and need not be hashed.
        let is_file = |extent: &&Extent| matches!(extent, Extent::File { .. });
        let place = row.extents.iter().rfind(is_file).or(row.extents.first());
        let (place, offset) = place.map_or((Place::Nowhere, 0), |place| Place::of(*place));
        all.push(Stretch {
            place,
            offset,
            chunks: number..number + 1,
            bytes,
        });
    }
    Ok(all)
}

/// What may be believed of bytes that were read.
enum Belief {
    AsTheyAre,
    Hash,
    Nothing,
}

impl Inner {
    fn read_stretch(
        &self,
        view: &View,
        stretch: &Stretch,
        out: &mut [u8],
    ) -> Result<Belief, StoreError> {
        let file = match stretch.place {
            Place::Nowhere => return Ok(Belief::Nothing),
            Place::Pack(pack) => {
                let offset = stretch.offset;
                let whole = self.packs.files().read(PackSpot { pack, offset }, out)?;
                return Ok(if whole { Belief::Hash } else { Belief::Nothing });
            }
            Place::File(file) => file,
        };
        let Some(open) = self.open_file(view, file)? else {
            return Ok(Belief::Nothing);
        };
        let io = || StoreError::io(open.row.path.as_str());
        let known = open.row.settled && open.row.state != FileState::Suspect;
        let known = known && open.file.identity().map_err(io())? == open.row.identity;
        let read = open.file.read_at(stretch.offset, out).map_err(io())?;
        let known = known && read == out.len();
        let known = known && open.file.identity().map_err(io())? == open.row.identity;
        Ok(if known {
            Belief::AsTheyAre
        } else {
            Belief::Hash
        })
    }
}
