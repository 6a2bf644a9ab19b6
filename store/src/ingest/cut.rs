//! Reads a file, or a segment of it, and cuts it into chunks.
//!
//! Owns: the buffer of a worker, and reading around holes. Refuses: to know what becomes of
//! the chunks.
//!
//! Bytes are read in steps that fit the processor's cache, and are cut and hashed while they
//! are there. Where somebody will store them they stay in a buffer that holds the whole
//! stretch. Where nobody will, the buffer is a window of half a megabyte that moves along the
//! file: a copy into memory that is in the cache costs a fifth of one that is not.

use std::io;
use std::ops::Range;

use shoal_protocol::chunking::{self, Profile, next_cut};
use shoal_protocol::id::ChunkId;

use crate::disk::DiskFile;

/// A chunk of a file.
pub(super) type Piece = chunking::Piece<ChunkId>;

/// What is read at once where the bytes stay.
const READ_BYTES: usize = 1 << 20;
/// The window where they do not: the longest chunk and as much again, within the second-level
/// cache of one core.
const WINDOW_BYTES: usize = 512 << 10;

/// Why a file could not be cut.
#[derive(Debug)]
pub(super) enum CutError {
    /// It cannot be read.
    Io(io::Error),
    /// It ended earlier than it should: somebody is writing to it.
    Shrunk,
}

/// What to read of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// Size of the file.
    pub size: u64,
    /// Where to begin.
    pub start: u64,
    /// Chunks that begin before this place are cut.
    pub end: u64,
    /// Whether the file takes less room than it has bytes, so that looking for holes pays.
    pub sparse: bool,
}

impl Stretch {
    /// How far its last chunk may reach.
    fn reach(&self, profile: &Profile) -> u64 {
        (self.end + profile.max as u64).min(self.size)
    }
}

/// The longest chunk of zeros: what a hole consists of.
#[derive(Debug, Clone, Copy)]
struct Zeros {
    length: usize,
    id: ChunkId,
}

/// What becomes of the bytes that were cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bytes {
    /// They are stored from the buffer, all of them.
    Stay,
    /// They are in a file already and not needed again.
    Go,
}

/// A worker's buffer.
pub(super) struct Cutter {
    profile: Profile,
    buffer: Vec<u8>,
    /// How much of the buffer is used for this stretch.
    room: usize,
    /// Where in the file the buffer begins, and how much of it is filled.
    start: u64,
    filled: usize,
    zeros: Option<Zeros>,
}

impl Cutter {
    /// A cutter by this profile. Its buffer grows to the longest stretch and `profile.max`, or
    /// to a window where no bytes stay.
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            profile,
            buffer: Vec::new(),
            room: 0,
            start: 0,
            filled: 0,
            zeros: None,
        }
    }

    /// Cuts the stretch as though a chunk began at its start; the last chunk may reach beyond
    /// its end. Bytes that stay do so as far as that chunk may reach.
    pub(super) fn cut(
        &mut self,
        file: &dyn DiskFile,
        stretch: Stretch,
        bytes: Bytes,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), CutError> {
        pieces.clear();
        let reach = stretch.reach(&self.profile);
        let length = usize::try_from(reach - stretch.start).expect("a segment fits memory");
        self.begin(stretch.start, length, bytes);
        let mut data = DataRanges::of(file, stretch);
        if data.is_hole(stretch.start..reach)? {
            return self.cut_hole(stretch, length, bytes, pieces);
        }
        let mut at = stretch.start;
        while at < stretch.end {
            self.have(at, reach, &mut data)?;
            let piece = self.piece(at);
            at = piece.end();
            pieces.push(piece);
        }
        // Whoever cuts again, from another boundary, may need the rest.
        while bytes == Bytes::Stay && self.filled < length {
            self.fill(reach, &mut data)?;
        }
        Ok(())
    }

    /// Empties the buffer for bytes from `start` on.
    fn begin(&mut self, start: u64, length: usize, bytes: Bytes) {
        self.start = start;
        self.filled = 0;
        self.room = match bytes {
            Bytes::Stay => length,
            Bytes::Go => length.min(WINDOW_BYTES.max(2 * self.profile.max)),
        };
        if self.buffer.len() < self.room {
            self.buffer.resize(self.room, 0);
        }
    }

    /// Reads until the buffer has a whole chunk from `at` on, or everything up to `reach`.
    fn have(&mut self, at: u64, reach: u64, data: &mut DataRanges<'_>) -> Result<(), CutError> {
        let needed = (at + self.profile.max as u64).min(reach);
        while self.start + (self.filled as u64) < needed {
            if self.filled == self.room {
                let kept = self.at(at)..self.filled;
                self.filled = kept.len();
                self.start = at;
                self.buffer.copy_within(kept, 0);
            }
            self.fill(reach, data)?;
        }
        Ok(())
    }

    /// Reads on behind what is filled.
    fn fill(&mut self, reach: u64, data: &mut DataRanges<'_>) -> Result<(), CutError> {
        let left = usize::try_from(reach - self.start).unwrap_or(usize::MAX);
        let next = (self.filled + READ_BYTES).min(self.room).min(left);
        let into = &mut self.buffer[self.filled..next];
        data.read(self.start + self.filled as u64, into)?;
        self.filled = next;
        Ok(())
    }

    /// As `cut` for a stretch that is all hole, without hashing the same zeros again and
    /// again.
    fn cut_hole(
        &mut self,
        stretch: Stretch,
        length: usize,
        bytes: Bytes,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), CutError> {
        self.filled = match bytes {
            Bytes::Stay => length,
            Bytes::Go => length.min(self.profile.max),
        };
        self.buffer[..self.filled].fill(0);
        let reach = stretch.start + length as u64;
        let mut at = stretch.start;
        while at < stretch.end {
            let left = usize::try_from(reach - at).expect("a segment fits memory");
            let known = self.zeros.filter(|_| left >= self.profile.max);
            let zeros = match known {
                Some(zeros) => zeros,
                None => self.zeros(left),
            };
            if left >= self.profile.max {
                self.zeros = Some(zeros);
            }
            let piece = Piece {
                offset: at,
                length: zeros.length as u32,
                value: zeros.id,
            };
            at = piece.end();
            pieces.push(piece);
        }
        Ok(())
    }

    /// The chunk at the start of `left` zeros, of which the buffer has some.
    fn zeros(&self, left: usize) -> Zeros {
        let data = &self.buffer[..left.min(self.profile.max)];
        let length = next_cut(&self.profile, data);
        Zeros {
            length,
            id: ChunkId::of(&data[..length]),
        }
    }

    /// The chunk that begins at an offset of the file within the stretch that was cut last,
    /// read again where its bytes did not stay.
    pub(super) fn recut(
        &mut self,
        file: &dyn DiskFile,
        stretch: Stretch,
        offset: u64,
    ) -> Result<Piece, CutError> {
        let reach = stretch.reach(&self.profile);
        let here = self.start..self.start + self.filled as u64;
        if !here.contains(&offset) {
            let length = usize::try_from(reach - offset).expect("a segment fits memory");
            self.begin(offset, length, Bytes::Go);
        }
        self.have(offset, reach, &mut DataRanges::of(file, stretch))?;
        Ok(self.piece(offset))
    }

    /// The bytes of neighbouring chunks of the last stretch, if they stay.
    pub(super) fn bytes(&self, range: Range<u64>) -> &[u8] {
        &self.buffer[self.at(range.start)..self.at(range.end)]
    }

    fn at(&self, offset: u64) -> usize {
        usize::try_from(offset - self.start).expect("an offset in the buffer")
    }

    fn piece(&self, offset: u64) -> Piece {
        let data = &self.buffer[self.at(offset)..self.filled];
        let length = next_cut(&self.profile, data);
        Piece {
            offset,
            length: length as u32,
            value: ChunkId::of(&data[..length]),
        }
    }
}

/// Which parts of a stretch have to be read.
struct DataRanges<'a> {
    file: &'a dyn DiskFile,
    sparse: bool,
    size: u64,
    /// What is known: data from here to there, and a hole before it.
    known: Range<u64>,
    known_from: u64,
}

impl<'a> DataRanges<'a> {
    fn of(file: &'a dyn DiskFile, stretch: Stretch) -> Self {
        Self {
            file,
            sparse: stretch.sparse,
            size: stretch.size,
            known: 0..if stretch.sparse { 0 } else { stretch.size },
            known_from: 0,
        }
    }

    /// The first data at or behind `offset`.
    fn data_from(&mut self, offset: u64) -> Result<Range<u64>, CutError> {
        if self.sparse && !(self.known_from <= offset && offset < self.known.end) {
            let next = self.file.next_data(offset).map_err(CutError::Io)?;
            self.known = next.unwrap_or(self.size..u64::MAX);
            self.known_from = offset;
        }
        Ok(self.known.clone())
    }

    fn is_hole(&mut self, range: Range<u64>) -> Result<bool, CutError> {
        Ok(self.sparse && self.data_from(range.start)?.start >= range.end)
    }

    /// Fills `buffer` from `offset` on.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), CutError> {
        let mut at = 0;
        while at < buffer.len() {
            let place = offset + at as u64;
            let data = self.data_from(place)?;
            let rest = (buffer.len() - at) as u64;
            let hole = data.start.saturating_sub(place).min(rest) as usize;
            buffer[at..at + hole].fill(0);
            at += hole;
            if at == buffer.len() {
                break;
            }
            let place = offset + at as u64;
            let length = data
                .end
                .saturating_sub(place)
                .min((buffer.len() - at) as u64) as usize;
            let into = &mut buffer[at..at + length];
            let read = self.file.read_at(place, into).map_err(CutError::Io)?;
            if read < length || length == 0 {
                return Err(CutError::Shrunk);
            }
            at += length;
        }
        Ok(())
    }
}
