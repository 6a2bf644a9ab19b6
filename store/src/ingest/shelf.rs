//! Where the bytes of an add go, and what is here already.
//!
//! Owns: the decision, chunk by chunk, whether bytes are written, cloned, or only pointed to;
//! the lease on everything that the add relies on; and the size of the batches that go to the
//! index. Refuses: files and paths; it sees chunks in a buffer.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::manifest::{Content, ContentBuilder};
use shoal_protocol::paged_list::{ChunkRef, Cursor, PageSource};

use super::cut::{Cutter, Piece};
use crate::held::{Held, Holdings};
use crate::index::{AudienceId, Extent, FileId, FileRow};
use crate::lease::Lease;
use crate::{Batch, Store, StoreError};

/// Rows in a batch before it is committed: some 20 MiB of memory.
const ROWS_MAX: u64 = 128 << 10;
/// Places in files of the user that are recorded for one chunk in one batch. Zeros and
/// licence texts have thousands, and more of them make nothing safer.
const PLACES_MAX: u8 = 8;
const SHARDS: usize = 16;

/// Where chunks are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Copied into packs, unless the store holds them itself.
    Pack,
    /// Left in a file of the store's own, of which the source is a clone.
    Owned(FileId),
    /// Left in the user's file.
    External(FileId),
}

/// The store as one add sees it. Threads share it.
pub(super) struct Shelf<'a> {
    store: &'a Store,
    audience: AudienceId,
    lease: Lease,
    state: RwLock<State>,
    holdings: RwLock<Arc<Holdings>>,
    rows: AtomicU64,
    bytes_new: AtomicU64,
    bytes_copied: AtomicU64,
    bytes_cloned: AtomicU64,
}

struct State {
    batch: Batch,
    /// Chunks that this batch places.
    seen: Seen,
    /// Chunks that the batch before it places, while that is being committed.
    seen_before: Option<Seen>,
}

type Seen = Arc<[Mutex<HashMap<ChunkId, u8>>; SHARDS]>;

/// What was written where.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Bytes of chunks that were not here before.
    pub new: u64,
    /// Bytes written into packs.
    pub copied: u64,
    /// Bytes that the store now holds in clones.
    pub cloned: u64,
}

impl<'a> Shelf<'a> {
    /// An empty one, for chunks that are added for `audience`.
    pub(super) fn new(store: &'a Store, audience: AudienceId) -> Self {
        Self {
            audience,
            lease: store.leases().take(),
            state: RwLock::new(State {
                batch: store.begin(),
                seen: Seen::default(),
                seen_before: None,
            }),
            holdings: RwLock::new(Arc::new(Holdings::new(store.view()))),
            store,
            rows: AtomicU64::new(0),
            bytes_new: AtomicU64::new(0),
            bytes_copied: AtomicU64::new(0),
            bytes_cloned: AtomicU64::new(0),
        }
    }

    /// For whom chunks are added.
    pub(super) fn audience(&self) -> AudienceId {
        self.audience
    }

    /// Puts neighbouring chunks, whose bytes `cutter` has, in their place. Gives how many bytes
    /// now lie there that the store did not hold as safely before.
    pub(super) fn put(
        &self,
        pieces: &[Piece],
        cutter: &Cutter,
        place: Place,
    ) -> Result<u64, StoreError> {
        for piece in pieces {
            self.lease.cover(piece.value.as_bytes());
        }
        let _open = self.store.leases().open();
        let holdings = self.holdings();
        let state = self.state();
        match place {
            Place::Pack => self.copy(pieces, cutter, &state, &holdings),
            Place::Owned(file) => self.point(pieces, file, Held::Kept, &state, &holdings),
            Place::External(file) => self.point(pieces, file, Held::Volatile, &state, &holdings),
        }
    }

    fn copy(
        &self,
        pieces: &[Piece],
        cutter: &Cutter,
        state: &State,
        holdings: &Holdings,
    ) -> Result<u64, StoreError> {
        let mut copied = 0;
        let mut run: Vec<(ChunkId, u32)> = Vec::new();
        let mut range: Range<u64> = 0..0;
        let flush = |run: &mut Vec<(ChunkId, u32)>, range: &Range<u64>| {
            if run.is_empty() {
                return Ok(());
            }
            let bytes = cutter.bytes(range.clone());
            state.batch.append_run(run, bytes, self.audience)?;
            self.rows.fetch_add(run.len() as u64, Ordering::Relaxed);
            run.clear();
            Ok::<_, StoreError>(())
        };
        for piece in pieces {
            if self.needs_copy(piece, state, holdings)? {
                copied += u64::from(piece.length);
                if range.end != piece.offset {
                    flush(&mut run, &range)?;
                }
                if run.is_empty() {
                    range = piece.offset..piece.offset;
                }
                range.end = piece.end();
                run.push((piece.value, piece.length));
            } else {
                flush(&mut run, &range)?;
            }
        }
        flush(&mut run, &range)?;
        self.bytes_copied.fetch_add(copied, Ordering::Relaxed);
        Ok(copied)
    }

    fn needs_copy(
        &self,
        piece: &Piece,
        state: &State,
        holdings: &Holdings,
    ) -> Result<bool, StoreError> {
        if state.placed_before(&piece.value) || state.place(&piece.value, 1) != Some(0) {
            return Ok(false);
        }
        let Some(row) = holdings.view().chunk(&piece.value)? else {
            self.count_new(piece);
            return Ok(true);
        };
        let held = holdings.row(&row)?;
        if held == Held::No {
            self.count_new(piece);
        }
        if held == Held::Kept && !row.audiences.contains(&self.audience) {
            state.batch.add_audience(&piece.value, self.audience);
        }
        Ok(held != Held::Kept)
    }

    /// Records that chunks lie in a file, where they make anything safer.
    fn point(
        &self,
        pieces: &[Piece],
        file: FileId,
        safety: Held,
        state: &State,
        holdings: &Holdings,
    ) -> Result<u64, StoreError> {
        let places_max = if safety == Held::Kept { 1 } else { PLACES_MAX };
        let mut pointed = 0;
        for piece in pieces {
            let Some(places) = state.place(&piece.value, places_max) else {
                continue;
            };
            if places == 0 && !state.placed_before(&piece.value) {
                let held = holdings.chunk(&piece.value)?;
                if held == Held::No {
                    self.count_new(piece);
                }
                if held == Held::Kept && safety == Held::Kept {
                    continue;
                }
                pointed += u64::from(piece.length);
            }
            let offset = piece.offset;
            state.batch.add_extent(
                &piece.value,
                piece.length,
                Extent::File { file, offset },
                self.audience,
            );
            self.rows.fetch_add(1, Ordering::Relaxed);
        }
        if safety == Held::Kept {
            self.bytes_cloned.fetch_add(pointed, Ordering::Relaxed);
        }
        Ok(pointed)
    }

    fn count_new(&self, piece: &Piece) {
        self.bytes_new
            .fetch_add(u64::from(piece.length), Ordering::Relaxed);
    }

    /// Adds chunks to a content; the pages of a list are put in the store.
    pub(super) fn extend(
        &self,
        content: &mut ContentBuilder,
        chunks: impl IntoIterator<Item = ChunkRef>,
    ) -> Result<(), StoreError> {
        self.emitting(|emit| {
            for chunk in chunks {
                let pushed = content.push(chunk, emit);
                pushed.expect("a cut chunk fits every list, and no file reaches 2^64 bytes");
            }
        })
    }

    /// Ends a content.
    pub(super) fn finish(&self, content: ContentBuilder) -> Result<Content, StoreError> {
        Ok(self.emitting(|emit| content.finish(emit))?.0)
    }

    /// Runs a builder and puts the pages that it emits in the store.
    pub(super) fn emitting<T>(
        &self,
        build: impl FnOnce(&mut dyn FnMut(PageId, Vec<u8>)) -> T,
    ) -> Result<T, StoreError> {
        let mut failed = None;
        let value = build(&mut |id, bytes| {
            if failed.is_none() {
                failed = self.put_page(&id, &bytes).err();
            }
        });
        failed.map_or(Ok(value), Err)
    }

    fn put_page(&self, id: &PageId, bytes: &[u8]) -> Result<(), StoreError> {
        self.lease.cover(id.as_bytes());
        let _open = self.store.leases().open();
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.state().batch.put_page(id, bytes).map(drop)
    }

    /// Whether the store has all pages and chunks of `content`, a file of `size` bytes, at least
    /// as safe as `needed`.
    pub(super) fn has(
        &self,
        content: &Content,
        size: u64,
        needed: Held,
    ) -> Result<bool, StoreError> {
        let root = match content {
            Content::Empty => return Ok(size == 0),
            Content::Chunk(id) => return self.has_chunk(id, needed),
            Content::List(root) => *root,
        };
        let mut cursor = Cursor::<ChunkRef>::holding(Some(root), None, Some(size));
        let source = Covering(self);
        loop {
            match cursor.next(&source) {
                Ok(None) => return Ok(true),
                Ok(Some(placed)) if self.has_chunk(&placed.item.id, needed)? => {}
                // Missing and damaged pages are made again from the file.
                Ok(Some(_)) | Err(_) => return Ok(false),
            }
        }
    }

    fn has_chunk(&self, id: &ChunkId, needed: Held) -> Result<bool, StoreError> {
        self.lease.cover(id.as_bytes());
        let _open = self.store.leases().open();
        Ok(self.holdings().chunk(id)? >= needed)
    }

    /// A name for a state of a file.
    pub(super) fn new_file(&self) -> FileId {
        self.state().batch.new_file()
    }

    /// Records a state of a file.
    pub(super) fn put_file(&self, row: FileRow) {
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.state().batch.put_file(row);
    }

    /// Does something with the batch.
    pub(super) fn with_batch<T>(&self, f: impl FnOnce(&Batch) -> T) -> T {
        f(&self.state().batch)
    }

    /// Commits the batch, without waiting for the medium, once it has become big.
    pub(super) fn commit_if_big(&self) -> Result<(), StoreError> {
        if self.rows.load(Ordering::Relaxed) < ROWS_MAX {
            return Ok(());
        }
        self.rows.store(0, Ordering::Relaxed);
        let batch = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let seen = std::mem::take(&mut state.seen);
            state.seen_before = Some(seen);
            std::mem::replace(&mut state.batch, self.store.begin())
        };
        batch.commit(false)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen_before = None;
        Ok(())
    }

    /// Makes everything survive a power cut.
    pub(super) fn commit(self) -> Result<(Counts, Lease), StoreError> {
        let counts = Counts {
            new: self.bytes_new.into_inner(),
            copied: self.bytes_copied.into_inner(),
            cloned: self.bytes_cloned.into_inner(),
        };
        let state = self.state.into_inner();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.batch.commit(true)?;
        Ok((counts, self.lease))
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index as it is now: what a collection has deleted is not in it.
    fn holdings(&self) -> Arc<Holdings> {
        let view = self.store.view();
        let holdings = self.holdings.read().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(holdings.view(), &view) {
            return holdings.clone();
        }
        drop(holdings);
        let fresh = Arc::new(Holdings::new(view));
        let mut holdings = self
            .holdings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *holdings = fresh.clone();
        fresh
    }
}

impl State {
    /// Whether the batch that is being committed places a chunk.
    fn placed_before(&self, id: &ChunkId) -> bool {
        let before = self.seen_before.as_ref();
        before.is_some_and(|seen| lock(seen, id).contains_key(id))
    }

    /// Counts one more place of a chunk in this batch, unless there are `most`; gives how many
    /// there were.
    fn place(&self, id: &ChunkId, most: u8) -> Option<u8> {
        let mut seen = lock(&self.seen, id);
        let places = seen.entry(*id).or_insert(0);
        let before = *places;
        *places += u8::from(before < most);
        (before < most).then_some(before)
    }
}

fn lock<'a>(seen: &'a Seen, id: &ChunkId) -> MutexGuard<'a, HashMap<ChunkId, u8>> {
    let shard = usize::from(id.as_bytes()[0]) % SHARDS;
    seen[shard].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Pages of the store, each covered before it is looked for.
struct Covering<'a>(&'a Shelf<'a>);

impl PageSource for Covering<'_> {
    type Error = StoreError;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.0.lease.cover(id.as_bytes());
        let _open = self.0.store.leases().open();
        self.0.store.page(id)
    }
}
