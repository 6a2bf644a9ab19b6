//! A set of changes that become visible, and durable, together.
//!
//! Owns: the order in which things reach the disk: bytes first, the index second. Refuses:
//! to decide what is added or dropped.
//!
//! A batch is shared by many threads. Bytes go to packs at once, in big writes; rows are
//! kept in memory (some 150 bytes each) until [`Batch::commit`], so a caller with millions
//! of them commits every now and then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shoal_protocol::id::{ChunkId, GrantId, PageId, SnapshotId, VersionId};
use shoal_protocol::peer::PeerKey;

use crate::Store;
use crate::disk::Root;
use crate::error::StoreError;
use crate::index::{
    AbsolutePath, AudienceId, Changes, DestinationRow, Extent, FileClass, FileId, FileRow,
    FileState, PackSpot, ReceiveRow, RootId, SnapshotRow, SyncNote,
};
use crate::lease::Closed;
use crate::pack::RecordKind;

/// Changes that are not yet visible. Dropping it forgets them.
pub struct Batch {
    store: Store,
    changes: Mutex<Changes>,
    /// Failed writes to packs when it began.
    failures: u64,
    /// The first pack that it may write to.
    floor: u32,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.store.inner().packs.end(self.floor);
    }
}

impl Batch {
    pub(crate) fn new(store: Store) -> Self {
        let failures = store.inner().packs.failures();
        let floor = store.inner().packs.begin();
        Self {
            store,
            changes: Mutex::default(),
            failures,
            floor,
        }
    }

    /// Whether a chunk is known, here or in the index, as [`View::contains`] means it.
    ///
    /// [`View::contains`]: crate::index::View::contains
    pub fn contains(&self, id: &ChunkId) -> Result<bool, StoreError> {
        if let Some(change) = self.changes().chunks.get(id) {
            if change.length.is_some() {
                return Ok(true);
            }
            if change.forget {
                return Ok(false);
            }
        }
        self.store.contains(id)
    }

    /// Writes a chunk to a pack, unless it already is in one or in an owned file. Gives
    /// whether it was written. The caller vouches that `id` is the id of `bytes`.
    pub fn append_chunk(
        &self,
        id: &ChunkId,
        bytes: &[u8],
        audience: AudienceId,
    ) -> Result<bool, StoreError> {
        let length = chunk_length(bytes.len());
        let safe_before = self.is_safe(id)?;
        let mut changes = self.changes();
        let change = changes.chunk(id);
        change.add_audience(audience);
        if safe_before && !change.forget || change.claimed {
            return Ok(false);
        }
        change.claimed = true;
        change.length = Some(length);
        drop(changes);
        let packs = &self.store.inner().packs;
        let spot = packs.append(RecordKind::Chunk, id.as_bytes(), bytes)?;
        self.changes().chunk(id).extents.push(Extent::Pack(spot));
        Ok(true)
    }

    /// Writes neighbouring chunks to a pack as they lie in `bytes`, straight from the
    /// caller's buffer: for big files. Each chunk is its id and length. All are written, also
    /// those that are known: leave them out.
    pub fn append_run(
        &self,
        chunks: &[(ChunkId, u32)],
        bytes: &[u8],
        audience: AudienceId,
    ) -> Result<(), StoreError> {
        let total: u64 = chunks.iter().map(|(_, length)| u64::from(*length)).sum();
        assert_eq!(total, bytes.len() as u64, "the chunks are the bytes");
        let first = self.store.inner().packs.append_run(chunks, bytes)?;
        let mut offset = first.offset;
        let mut changes = self.changes();
        for (id, length) in chunks {
            let change = changes.chunk(id);
            change.add_audience(audience);
            change.claimed = true;
            change.length = Some(*length);
            change
                .extents
                .push(Extent::Pack(PackSpot { offset, ..first }));
            offset += u64::from(*length);
        }
        Ok(())
    }

    /// Whether the index has the chunk in a pack or in an owned file.
    fn is_safe(&self, id: &ChunkId) -> Result<bool, StoreError> {
        let view = self.store.view();
        let Some(row) = view.chunk(id)? else {
            return Ok(false);
        };
        for extent in row.extents {
            let safe = match extent {
                Extent::Pack(_) => true,
                Extent::File { file, .. } => view.file(file)?.is_some_and(|row| {
                    row.class == FileClass::Owned && row.state == FileState::Trusted
                }),
            };
            if safe {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says that a chunk (also) lies at `extent`, for `audience`.
    pub fn add_extent(&self, id: &ChunkId, length: u32, extent: Extent, audience: AudienceId) {
        let mut changes = self.changes();
        let change = changes.chunk(id);
        change.add_audience(audience);
        change.length = Some(length);
        change.extents.push(extent);
    }

    /// As [`Self::add_extent`], for neighbouring chunks that lie in a file from `offset` on.
    pub fn add_extents(
        &self,
        chunks: &[(ChunkId, u32)],
        file: FileId,
        mut offset: u64,
        audience: AudienceId,
    ) {
        let mut changes = self.changes();
        for (id, length) in chunks {
            let change = changes.chunk(id);
            change.add_audience(audience);
            change.length = Some(*length);
            change.extents.push(Extent::File { file, offset });
            offset += u64::from(*length);
        }
    }

    /// Says that a known chunk was also added or received for `audience`.
    pub fn add_audience(&self, id: &ChunkId, audience: AudienceId) {
        self.changes().chunk(id).add_audience(audience);
    }

    /// Says that a chunk no longer lies at `extent`.
    pub fn drop_extent(&self, id: &ChunkId, extent: Extent) {
        self.changes().chunk(id).dropped.push(extent);
    }

    /// Forgets a chunk with all its extents. What this batch says of it afterwards holds.
    pub fn forget_chunk(&self, id: &ChunkId) {
        *self.changes().chunk(id) = crate::index::ChunkChange::forgotten();
    }

    /// Writes a page to a pack, unless it is known. Gives whether it was written. The caller
    /// vouches that `id` is the id of `bytes`.
    pub fn put_page(&self, id: &PageId, bytes: &[u8]) -> Result<bool, StoreError> {
        let known = self.changes().pages.get(id).map(Option::is_some);
        let known = match known {
            Some(known) => known,
            None => self.store.view().page_spot(id)?.is_some(),
        };
        if known {
            return Ok(false);
        }
        let length = chunk_length(bytes.len());
        let packs = &self.store.inner().packs;
        let spot = packs.append(RecordKind::Page, id.as_bytes(), bytes)?;
        self.changes().pages.insert(*id, Some((spot, length)));
        Ok(true)
    }

    /// Forgets a page.
    pub fn forget_page(&self, id: &PageId) {
        self.changes().pages.insert(*id, None);
    }

    /// The short name of a directory, made if it has none.
    pub fn root(&self, path: &AbsolutePath) -> RootId {
        self.store.inner().index.names().name_root(path)
    }

    /// The short name of a peer, made if it has none.
    pub fn audience(&self, peer: &PeerKey) -> AudienceId {
        self.store.inner().index.names().name_audience(peer)
    }

    /// A short name for a file state that no other has or had.
    pub fn new_file(&self) -> FileId {
        self.store.inner().index.new_file()
    }

    /// Records a state of a file. A row for the same path under another id is replaced, and
    /// the extents in that state are gone; under the same id it is updated, and they stay
    /// (also when the path changes: a move).
    pub fn put_file(&self, row: FileRow) {
        self.changes().files.push(row);
    }

    /// Forgets a state of a file, with all extents in it.
    pub fn forget_file(&self, id: FileId) {
        self.changes().forgotten_files.push(id);
    }

    /// Records a snapshot, replacing its row.
    pub fn put_snapshot(&self, row: SnapshotRow) {
        self.changes().snapshots.insert(row.id(), Some(row));
    }

    /// Forgets a snapshot.
    pub fn forget_snapshot(&self, id: &SnapshotId) {
        self.changes().snapshots.insert(*id, None);
    }

    /// Forgets a snapshot, unless it is kept by the time that this is committed.
    pub fn forget_unkept_snapshot(&self, id: &SnapshotId) {
        self.changes().unkept.push(*id);
    }

    /// Records a version by its canonical bytes.
    pub fn put_version(&self, id: &VersionId, bytes: Vec<u8>) {
        self.changes().versions.insert(*id, Some(bytes));
    }

    /// Forgets a version.
    pub fn forget_version(&self, id: &VersionId) {
        self.changes().versions.insert(*id, None);
    }

    /// Sets the heads of an artifact; none forgets it.
    pub fn put_heads(&self, artifact: &str, heads: Vec<VersionId>) {
        self.changes().heads.insert(artifact.to_owned(), heads);
    }

    /// Records a grant, in the node's own encoding.
    pub fn put_grant(&self, id: &GrantId, bytes: Vec<u8>) {
        self.changes().grants.insert(*id, Some(bytes));
    }

    /// Forgets a grant.
    pub fn forget_grant(&self, id: &GrantId) {
        self.changes().grants.insert(*id, None);
    }

    /// Records an unfinished receive, replacing the row of its destination.
    pub fn put_receive(&self, row: ReceiveRow) {
        self.changes().receives.insert(row.dest.clone(), Some(row));
    }

    /// Forgets the unfinished receive into a destination.
    pub fn forget_receive(&self, dest: &AbsolutePath) {
        self.changes().receives.insert(dest.clone(), None);
    }

    /// Records what was written to a destination, replacing its row.
    pub fn put_destination(&self, row: DestinationRow) {
        let mut changes = self.changes();
        changes.destinations.insert(row.dest.clone(), Some(row));
    }

    /// Forgets what was written to a destination.
    pub fn forget_destination(&self, dest: &AbsolutePath) {
        self.changes().destinations.insert(dest.clone(), None);
    }

    /// Writes a chunk to a new place in the packs; the one in `from` is to go.
    pub(crate) fn move_chunk(
        &self,
        id: &ChunkId,
        bytes: &[u8],
        from: PackSpot,
    ) -> Result<(), StoreError> {
        let packs = &self.store.inner().packs;
        let to = packs.append(RecordKind::Chunk, id.as_bytes(), bytes)?;
        let mut changes = self.changes();
        let change = changes.chunk(id);
        change.dropped.push(Extent::Pack(from));
        change.extents.push(Extent::Pack(to));
        Ok(())
    }

    /// Writes a page to a new place in the packs.
    pub(crate) fn move_page(&self, id: &PageId, bytes: &[u8]) -> Result<(), StoreError> {
        let length = chunk_length(bytes.len());
        let packs = &self.store.inner().packs;
        let spot = packs.append(RecordKind::Page, id.as_bytes(), bytes)?;
        self.changes().pages.insert(*id, Some((spot, length)));
        Ok(())
    }

    /// Removes a pack that nothing points to any more, once the commit, which must be
    /// durable, is done.
    pub(crate) fn forget_pack(&self, number: u32) {
        self.changes().forgotten_packs.push(number);
    }

    /// Asks that everything beneath `root` be on the medium before the rows of this batch
    /// are: for owned files, and for files that are recorded as trusted.
    pub fn sync_first(&self, root: Arc<dyn Root>) {
        self.store.inner().sync_before_commit(root);
    }

    /// Makes the changes visible. With `durable` they survive a power cut from now on, and
    /// so does every batch committed before; without, they survive once a later commit is
    /// durable, and a power cut (or the end of the process) before that undoes them.
    pub fn commit(self, durable: bool) -> Result<(), StoreError> {
        let store = self.store.clone();
        let _open = store.leases().open();
        self.write(durable)
    }

    /// As [`Self::commit`], for the collection that has closed the gate.
    pub(crate) fn commit_behind(self, _closed: &Closed<'_>) -> Result<(), StoreError> {
        self.write(false)
    }

    fn write(self, durable: bool) -> Result<(), StoreError> {
        let changes = std::mem::take(&mut *self.changes());
        self.store
            .inner()
            .commit(changes, durable, SyncNote::None, self.failures)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn chunk_length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("chunks and pages are far shorter than 4 GiB")
}
