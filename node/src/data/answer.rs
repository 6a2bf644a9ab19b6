//! Reads from the store what a peer is answered with.
//!
//! Owns: cutting a request into frames of whole chunks, and making them shorter where that
//! is worth it. Blocking throughout. Refuses: the question whether the peer may have it, and
//! what it names as a base, which was answered before.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::serve::{Attempt, Compression, SAMPLE_BYTES, is_worthwhile};
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::BASE_BYTES_MAX;
use shoal_protocol::wire::limits::{
    FRAME_PAYLOAD_BYTES_MAX, PAGES_PLAIN_BYTES_MAX, REQUEST_PAGES_MAX,
};
use shoal_protocol::wire::{Base, Codec, Codecs, Outcome, PageCodec, PageHead};
use shoal_store::{ReadError, RunReader, Store, StoreError};

use super::coding::{Encoder, Encoders};

/// What is read and sent at once: two of the longest chunks. Frames of twice the size, which
/// may be sent too, cost a tenth more of both processors: their bytes leave the caches between
/// the steps that they go through (docs/benchmarks.md).
const PIECE_BYTES_MAX: u64 = 512 << 10;

/// Readers that are kept for the next request of a connection.
const READERS_MAX: usize = 4;

/// Readers of one connection, so that a run that follows another is found without a search.
#[derive(Default)]
pub(crate) struct Readers(Mutex<Vec<RunReader>>);

impl Readers {
    fn take(&self, snapshot: &Snapshot, start: u64) -> Option<RunReader> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_snapshot = |reader: &RunReader| reader.snapshot() == snapshot;
        let at = kept
            .iter()
            .position(|reader| of_snapshot(reader) && reader.position() == Some(start))
            .or_else(|| kept.iter().position(of_snapshot))?;
        Some(kept.remove(at))
    }

    fn keep(&self, reader: RunReader) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(0, reader);
        kept.truncate(READERS_MAX);
    }
}

/// How the bytes of an answer may travel.
pub(crate) struct Coding {
    pub(crate) codecs: Codecs,
    /// What the peer has that resembles what it asks for, in the order of positions. It may
    /// read all of it, and it was on offer when the request came.
    pub(crate) bases: Vec<(Base, Snapshot)>,
    pub(crate) encoders: Arc<Encoders>,
    /// What is known of the connection.
    pub(crate) compression: Arc<Mutex<Compression>>,
}

impl Coding {
    /// What resembles the bytes at `position`, and where that ends.
    fn base_at(&self, position: u64) -> (Option<&(Base, Snapshot)>, u64) {
        let behind = self.bases.partition_point(|(b, _)| b.position <= position);
        let base = behind.checked_sub(1).map(|at| &self.bases[at]);
        let end = self.bases.get(behind).map_or(u64::MAX, |(b, _)| b.position);
        (base, end)
    }

    fn compression(&self) -> MutexGuard<'_, Compression> {
        (self.compression.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole chunks, ready to be sent.
pub(crate) struct Piece {
    /// Their positions.
    pub(crate) range: Range<u64>,
    /// How their bytes travel.
    pub(crate) codec: Codec,
}

/// The answer to one request for a run.
pub(crate) struct RunAnswer {
    store: Store,
    reader: Option<RunReader>,
    left: RangeSet,
    /// Whether something had to be left out.
    lacking: bool,
    readers: Arc<Readers>,
    coding: Coding,
}

impl RunAnswer {
    /// Begins to read `ranges` of `snapshot`.
    pub(crate) fn open(
        store: &Store,
        snapshot: &Snapshot,
        ranges: RangeSet,
        readers: Arc<Readers>,
        coding: Coding,
    ) -> Self {
        let start = ranges.iter().next().map_or(0, |range| range.start);
        let reader = readers.take(snapshot, start);
        Self {
            store: store.clone(),
            reader: Some(reader.unwrap_or_else(|| RunReader::new(snapshot))),
            left: ranges,
            lacking: false,
            readers,
            coding,
        }
    }

    /// Fills `out` with the next piece; nothing at the end. What is not here any more is left
    /// out, and not offered any more.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Piece>, ReadError> {
        loop {
            let Some(range) = self.left.iter().next() else {
                return Ok(None);
            };
            let (base, end) = self.coding.base_at(range.start);
            let within = range.start..range.end.min(end);
            let read = match base.copied() {
                Some(base) => self.piece_with_base(base, within, out),
                None => self.piece(within, out),
            };
            match read {
                Ok(piece) => {
                    self.left.remove(piece.range.clone());
                    return Ok(Some(piece));
                }
                Err(ReadError::Missing(chunk)) => self.leave_out(range, chunk)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a piece, compressed if that is worth it on this connection.
    fn piece(&mut self, within: Range<u64>, out: &mut Vec<u8>) -> Result<Piece, ReadError> {
        let attempt = match self.coding.codecs.allows(&Codec::Zstd) {
            true => self.coding.compression().attempt(),
            false => Attempt::Raw,
        };
        if attempt == Attempt::Raw {
            let range = self.read(within, out)?;
            let codec = Codec::Raw;
            return Ok(Piece { range, codec });
        }
        let encoders = Arc::clone(&self.coding.encoders);
        encoders.with(|encoder| {
            let range = self.read(within, &mut encoder.plain)?;
            let codec = self.compress(attempt, encoder, out);
            Ok(Piece { range, codec })
        })
    }

    fn read(&mut self, within: Range<u64>, into: &mut Vec<u8>) -> Result<Range<u64>, ReadError> {
        let reader = self.reader.as_mut().expect("taken when dropped");
        self.store.read_run(reader, within, PIECE_BYTES_MAX, into)
    }

    /// Fills `out` with what the encoder was given, as short as is worth it.
    fn compress(&self, attempt: Attempt, encoder: &mut Encoder, out: &mut Vec<u8>) -> Codec {
        let plain = encoder.plain.len();
        let mut encode = |bytes: usize, out: &mut Vec<u8>| {
            let began = Instant::now();
            let packed = match encoder.encode(bytes, out) {
                true => out.len(),
                false => bytes,
            };
            (self.coding.compression()).encoded(bytes, packed, began.elapsed())
        };
        let sample = plain.min(SAMPLE_BYTES);
        let pays = attempt == Attempt::Whole || encode(sample, out);
        if pays && encode(plain, out) {
            return Codec::Zstd;
        }
        std::mem::swap(&mut encoder.plain, out);
        Codec::Raw
    }

    /// Reads a piece as what it is beside `base`, or without it if that cannot be read or is
    /// of no use.
    fn piece_with_base(
        &mut self,
        base: (Base, Snapshot),
        within: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<Piece, ReadError> {
        let encoders = Arc::clone(&self.coding.encoders);
        let (base, of) = base;
        let with_base = encoders.with(|encoder| {
            if !self.read_base(&base, &of, &mut encoder.base) {
                return Ok::<_, ReadError>(None);
            }
            let range = self.read(within.clone(), &mut encoder.plain)?;
            let shorter = encoder.encode_with_base(out);
            if shorter && is_worthwhile(encoder.plain.len(), out.len()) {
                let codec = Codec::ZstdWithBase {
                    snapshot: base.snapshot,
                    start: base.start,
                    end: base.end,
                };
                return Ok(Some(Piece { range, codec }));
            }
            std::mem::swap(&mut encoder.plain, out);
            let codec = Codec::Raw;
            Ok(Some(Piece { range, codec }))
        })?;
        match with_base {
            Some(piece) => Ok(piece),
            None => {
                // Its file was changed or is away: the others are likely to be as well.
                let gone = base.snapshot;
                self.coding.bases.retain(|(b, _)| b.snapshot != gone);
                self.piece(within, out)
            }
        }
    }

    fn read_base(&self, base: &Base, of: &Snapshot, into: &mut Vec<u8>) -> bool {
        let range = base.start..base.end;
        let mut reader = (self.readers.take(of, base.start)).unwrap_or_else(|| RunReader::new(of));
        let read = self
            .store
            .read_run(&mut reader, range.clone(), BASE_BYTES_MAX, into);
        self.readers.keep(reader);
        read.is_ok_and(|read| read == range)
    }

    /// Whether nothing had to be left out so far.
    pub(crate) fn is_whole(&self) -> bool {
        !self.lacking
    }

    fn leave_out(&mut self, range: Range<u64>, lost: ChunkId) -> Result<(), ReadError> {
        let reader = self.reader.as_ref().expect("taken when dropped");
        let snapshot = *reader.snapshot();
        let withdrawn = self.store.withdraw(&snapshot, range, &lost)?;
        let (place, was_offered) = withdrawn.ok_or(ReadError::Missing(lost))?;
        if was_offered {
            let (snapshot, position) = (snapshot.id(), place.start);
            tracing::warn!(%snapshot, position, "what was offered is not here any more");
        }
        self.left.remove(place);
        self.lacking = true;
        Ok(())
    }
}

impl Drop for RunAnswer {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.readers.keep(reader);
        }
    }
}

/// What the peer is told when an answer stops early.
pub(crate) fn outcome(error: &ReadError) -> Outcome {
    match error {
        ReadError::Store(_) => Outcome::Failed,
        _ => Outcome::NotHeld,
    }
}

/// Puts as many of `pages` as a frame takes behind each other into `out`, leaving those out
/// that are not here; what is left of `pages` is for the next frame. With an encoder, those
/// are compressed that become shorter: pages of manifests do, by half.
pub(crate) fn read_pages(
    store: &Store,
    pages: &mut std::vec::IntoIter<PageId>,
    mut encoder: Option<&mut Encoder>,
    out: &mut Vec<u8>,
) -> Result<List<PageHead, REQUEST_PAGES_MAX>, StoreError> {
    out.clear();
    let mut heads = Vec::new();
    let mut packed = Vec::new();
    let mut plain = 0;
    while let Some(page) = pages.as_slice().first() {
        if let Some(bytes) = store.page(page)? {
            let compressed = encoder.as_mut().is_some_and(|encoder| {
                encoder.plain.clear();
                encoder.plain.extend_from_slice(&bytes);
                encoder.encode(bytes.len(), &mut packed) && is_worthwhile(bytes.len(), packed.len())
            });
            let (codec, sent) = match compressed {
                true => (PageCodec::Zstd, &packed[..]),
                false => (PageCodec::Raw, &bytes[..]),
            };
            plain += bytes.len();
            if out.len() + sent.len() > FRAME_PAYLOAD_BYTES_MAX || plain > PAGES_PLAIN_BYTES_MAX {
                break;
            }
            out.extend_from_slice(sent);
            heads.push(PageHead {
                page: *page,
                codec,
                plain_length: u32::try_from(bytes.len()).expect("pages are short"),
                length: u32::try_from(sent.len()).expect("not longer than the page"),
            });
        }
        pages.next();
    }
    Ok(List::new(heads).expect("not more than were asked for"))
}
