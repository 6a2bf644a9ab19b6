//! Reads from the store what a peer is answered with.
//!
//! Owns: cutting a request into frames of whole chunks. Blocking throughout. Refuses: the
//! question whether the peer may have it, which was answered before.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::{FRAME_PAYLOAD_BYTES_MAX, REQUEST_PAGES_MAX};
use shoal_protocol::wire::{Outcome, PageCodec, PageHead};
use shoal_store::{ReadError, RunReader, Store, StoreError};

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

/// The answer to one request for a run.
pub(crate) struct RunAnswer {
    store: Store,
    reader: Option<RunReader>,
    left: RangeSet,
    /// Whether something had to be left out.
    lacking: bool,
    readers: Arc<Readers>,
}

impl RunAnswer {
    /// Begins to read `ranges` of `snapshot`.
    pub(crate) fn open(
        store: &Store,
        snapshot: &Snapshot,
        ranges: RangeSet,
        readers: Arc<Readers>,
    ) -> Self {
        let start = ranges.iter().next().map_or(0, |range| range.start);
        let reader = readers.take(snapshot, start);
        Self {
            store: store.clone(),
            reader: Some(reader.unwrap_or_else(|| RunReader::new(snapshot))),
            left: ranges,
            lacking: false,
            readers,
        }
    }

    /// Fills `out` with the next piece and gives its positions; nothing at the end. What is
    /// not here any more is left out, and not offered any more.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Range<u64>>, ReadError> {
        loop {
            let Some(range) = self.left.iter().next() else {
                return Ok(None);
            };
            let reader = self.reader.as_mut().expect("taken when dropped");
            let within = range.clone();
            match self.store.read_run(reader, within, PIECE_BYTES_MAX, out) {
                Ok(piece) => {
                    self.left.remove(piece.clone());
                    return Ok(Some(piece));
                }
                Err(ReadError::Missing(chunk)) => self.leave_out(range, chunk)?,
                Err(error) => return Err(error),
            }
        }
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
/// that are not here; what is left of `pages` is for the next frame.
pub(crate) fn read_pages(
    store: &Store,
    pages: &mut std::vec::IntoIter<PageId>,
    out: &mut Vec<u8>,
) -> Result<List<PageHead, REQUEST_PAGES_MAX>, StoreError> {
    out.clear();
    let mut heads = Vec::new();
    while let Some(page) = pages.as_slice().first() {
        if let Some(bytes) = store.page(page)? {
            if out.len() + bytes.len() > FRAME_PAYLOAD_BYTES_MAX {
                break;
            }
            out.extend_from_slice(&bytes);
            let length = u32::try_from(bytes.len()).expect("pages are short");
            heads.push(PageHead {
                page: *page,
                codec: PageCodec::Raw,
                plain_length: length,
                length,
            });
        }
        pages.next();
    }
    Ok(List::new(heads).expect("not more than were asked for"))
}
