//! Reads a file, or a segment of it, and cuts it into chunks.
//!
//! Owns: the one big buffer of a worker, and reading around holes. Refuses: to know what
//! becomes of the chunks.
//!
//! Bytes are read a megabyte at a time and cut and hashed while they are still in the
//! processor's cache; they stay in the buffer, so that whoever stores them copies them from
//! there.

use std::io;
use std::ops::Range;

use shoal_protocol::chunking::{self, Profile, next_cut};
use shoal_protocol::id::ChunkId;

use crate::disk::DiskFile;

/// A chunk of a file.
pub(super) type Piece = chunking::Piece<ChunkId>;

const READ_BYTES: usize = 1 << 20;

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

/// The longest chunk of zeros: what a hole consists of.
#[derive(Debug, Clone, Copy)]
struct Zeros {
    length: usize,
    id: ChunkId,
}

/// A worker's buffer.
pub(super) struct Cutter {
    profile: Profile,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
    zeros: Option<Zeros>,
}

impl Cutter {
    /// A cutter by this profile. Its buffer grows to the longest stretch and `profile.max`.
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            profile,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            zeros: None,
        }
    }

    /// Reads the stretch, and as far beyond its end as its last chunk may reach, and cuts it
    /// as though a chunk began at its start.
    pub(super) fn cut(
        &mut self,
        file: &dyn DiskFile,
        stretch: Stretch,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), CutError> {
        let Stretch {
            size, start, end, ..
        } = stretch;
        let reach = (end + self.profile.max as u64).min(size);
        let length = usize::try_from(reach - start).expect("a segment fits memory");
        let until = usize::try_from(end - start).expect("a segment fits memory");
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        self.start = start;
        self.filled = 0;
        pieces.clear();
        let mut data = DataRanges::of(file, stretch);
        if data.is_hole(start..reach)? {
            return self.cut_hole(length, until, pieces);
        }
        let mut at = 0;
        while at < until {
            while self.filled < length && self.filled - at < self.profile.max {
                self.fill(&mut data, length)?;
            }
            let piece = self.piece(at);
            at += piece.length as usize;
            pieces.push(piece);
        }
        // Whoever cuts again, from another boundary, may need the rest.
        while self.filled < length {
            self.fill(&mut data, length)?;
        }
        Ok(())
    }

    fn fill(&mut self, data: &mut DataRanges<'_>, length: usize) -> Result<(), CutError> {
        let next = (self.filled + READ_BYTES).min(length);
        let into = &mut self.buffer[self.filled..next];
        data.read(self.start + self.filled as u64, into)?;
        self.filled = next;
        Ok(())
    }

    /// As `cut` for a stretch that is all hole, without hashing the same zeros again and
    /// again.
    fn cut_hole(
        &mut self,
        length: usize,
        until: usize,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), CutError> {
        self.buffer[..length].fill(0);
        self.filled = length;
        let mut at = 0;
        while at < until {
            let known = self.zeros.filter(|_| length - at >= self.profile.max);
            let piece = match known {
                Some(Zeros { length, id }) => Piece {
                    offset: self.start + at as u64,
                    length: length as u32,
                    value: id,
                },
                None => self.piece(at),
            };
            if length - at >= self.profile.max {
                self.zeros = Some(Zeros {
                    length: piece.length as usize,
                    id: piece.value,
                });
            }
            at += piece.length as usize;
            pieces.push(piece);
        }
        Ok(())
    }

    /// The chunk that begins at an offset of the file within the last stretch.
    pub(super) fn recut(&self, offset: u64) -> Piece {
        self.piece(self.at(offset))
    }

    /// The bytes of neighbouring chunks of the last stretch.
    pub(super) fn bytes(&self, range: Range<u64>) -> &[u8] {
        &self.buffer[self.at(range.start)..self.at(range.end)]
    }

    fn at(&self, offset: u64) -> usize {
        usize::try_from(offset - self.start).expect("an offset in the stretch")
    }

    fn piece(&self, at: usize) -> Piece {
        let data = &self.buffer[at..self.filled];
        let length = next_cut(&self.profile, data);
        Piece {
            offset: self.start + at as u64,
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
