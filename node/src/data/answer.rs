//! Reads from the store what a peer is answered with.
//!
//! Owns: cutting a request into frames of whole chunks. Blocking throughout. Refuses: the
//! question whether the peer may have it, which was answered before.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::paged_list;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::{FRAME_PAYLOAD_BYTES_MAX, REQUEST_PAGES_MAX};
use shoal_protocol::wire::{Outcome, PageCodec, PageHead};
use shoal_store::{ReadError, RunReader, Store, StoreError};

use super::page_set::StorePages;

/// Readers that are kept for the next request of a connection.
const READERS_MAX: usize = 4;

/// Why an answer stops early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Pages(#[from] paged_list::ReadError<StoreError>),
}

impl AnswerError {
    /// What the peer is told.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Read(ReadError::Store(_)) | Self::Pages(_) => Outcome::Failed,
            Self::Read(_) => Outcome::NotHeld,
        }
    }
}

/// Readers of one connection, so that a run that follows another is found without a search.
#[derive(Default)]
pub(crate) struct Readers(Mutex<Vec<Pieces>>);

impl Readers {
    fn take(&self, snapshot: &SnapshotId, start: u64) -> Option<Pieces> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_snapshot = |pieces: &Pieces| pieces.snapshot == *snapshot;
        let at = kept
            .iter()
            .position(|pieces| of_snapshot(pieces) && pieces.next_start() == Some(start))
            .or_else(|| kept.iter().position(of_snapshot))?;
        Some(kept.remove(at))
    }

    fn keep(&self, pieces: Pieces) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(0, pieces);
        kept.truncate(READERS_MAX);
    }
}

/// Cuts positions of a snapshot into pieces of whole chunks, and reads them.
struct Pieces {
    store: Store,
    snapshot: SnapshotId,
    cursor: SnapshotCursor,
    /// The chunk that did not fit into the piece before.
    peeked: Option<Range<u64>>,
    reader: RunReader,
}

impl Pieces {
    fn open(store: &Store, snapshot: &Snapshot) -> Result<Self, AnswerError> {
        Ok(Self {
            store: store.clone(),
            snapshot: snapshot.id(),
            cursor: SnapshotCursor::new(snapshot),
            peeked: None,
            reader: store.run_reader(&snapshot.id())?,
        })
    }

    fn next_start(&self) -> Option<u64> {
        self.peeked.as_ref().map(|chunk| chunk.start)
    }

    /// The next chunk of the snapshot.
    fn next_chunk(&mut self) -> Result<Option<Range<u64>>, AnswerError> {
        if let Some(chunk) = self.peeked.take() {
            return Ok(Some(chunk));
        }
        while let Some(step) = self.cursor.next(&StorePages(&self.store))? {
            if let Step::Chunk {
                position, chunk, ..
            } = step
            {
                return Ok(Some(position..position + u64::from(chunk.length)));
            }
        }
        Ok(None)
    }

    /// The longest piece of whole chunks at the beginning of `range` that a frame takes.
    fn piece(&mut self, range: &Range<u64>) -> Result<Range<u64>, AnswerError> {
        if self.next_start() != Some(range.start) {
            self.peeked = None;
            self.cursor.seek(range.start);
        }
        let mut end = range.start;
        while let Some(chunk) = self.next_chunk()? {
            let too_long = chunk.end - range.start > FRAME_PAYLOAD_BYTES_MAX as u64;
            if chunk.start != end || chunk.end > range.end || too_long {
                self.peeked = Some(chunk);
                break;
            }
            end = chunk.end;
            if end == range.end {
                // So that the next request finds its place without a search.
                self.peeked = self.next_chunk()?;
                break;
            }
        }
        match end == range.start {
            // The request does not begin and end where chunks do.
            true => Err(ReadError::BadRange {
                start: range.start,
                end: range.end,
            }
            .into()),
            false => Ok(range.start..end),
        }
    }
}

/// The answer to one request for a run.
pub(crate) struct RunAnswer {
    pieces: Option<Pieces>,
    left: RangeSet,
    readers: Arc<Readers>,
}

impl RunAnswer {
    /// Begins to read `ranges` of `snapshot`.
    pub(crate) fn open(
        store: &Store,
        snapshot: &Snapshot,
        ranges: RangeSet,
        readers: Arc<Readers>,
    ) -> Result<Self, AnswerError> {
        let start = ranges.iter().next().map_or(0, |range| range.start);
        let pieces = match readers.take(&snapshot.id(), start) {
            Some(kept) => kept,
            None => Pieces::open(store, snapshot)?,
        };
        Ok(Self {
            pieces: Some(pieces),
            left: ranges,
            readers,
        })
    }

    /// Fills `out` with the next piece and gives its positions; nothing at the end.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Range<u64>>, AnswerError> {
        let Some(range) = self.left.iter().next() else {
            return Ok(None);
        };
        let pieces = self.pieces.as_mut().expect("taken when dropped");
        let piece = pieces.piece(&range)?;
        let Pieces { store, reader, .. } = pieces;
        store.read_run(reader, piece.clone(), out)?;
        self.left.remove(piece.clone());
        Ok(Some(piece))
    }
}

impl Drop for RunAnswer {
    fn drop(&mut self) {
        if let Some(pieces) = self.pieces.take() {
            self.readers.keep(pieces);
        }
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
