//! The one door to what is on this disk.
//!
//! Owns: opening, locking, recovering and closing a store; handing out batches and views.
//! Refuses: everything that has a noun of its own (ingest, receive, export, check).

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::paged_list::PageSource;
use shoal_protocol::size::Size;

use crate::batch::Batch;
use crate::disk::{Disk, DiskLock, Root};
use crate::doubt;
use crate::error::{OpenError, StoreError};
use crate::home::{Home, claim};
use crate::index::{Changes, ChunkRow, FORMAT, Index, IndexError, SyncNote, View};
use crate::lease::Leases;
use crate::open_files::OpenFiles;
use crate::pack::{PackFiles, Packs};
use crate::page_cache::PageCache;
use crate::rebuild;
use crate::side_area;

/// Room on the disk that a commit leaves free: an index that runs out of room in the middle
/// of one has to be opened again.
pub(crate) const RESERVE_BYTES: u64 = 16 << 20;

/// What can be chosen about a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Bytes of memory that the index may use for caching.
    pub index_cache_bytes: usize,
    /// Bytes of memory for pages of manifests and content lists.
    pub page_cache_bytes: usize,
    /// A pack that has grown to this many bytes is followed by a new one.
    pub pack_bytes_max: u64,
    /// Bytes that are collected before they are written to a pack; three such buffers are
    /// in use while many threads add, none otherwise.
    pub pack_buffer_bytes: usize,
    /// What another process is told that finds the store in use.
    pub holder: String,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            index_cache_bytes: 32 << 20,
            page_cache_bytes: 8 << 20,
            pack_bytes_max: 1 << 30,
            pack_buffer_bytes: 8 << 20,
            holder: format!("process {}", std::process::id()),
        }
    }
}

/// An open store. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) home: Arc<dyn Root>,
    pub(crate) index: Index,
    pub(crate) packs: Packs,
    pub(crate) pages: PageCache,
    pub(crate) open_files: OpenFiles,
    pub(crate) leases: Leases,
    /// File systems that must be synced before the next durable commit. Locked while that
    /// is done.
    unsynced_roots: Mutex<Vec<Arc<dyn Root>>>,
    // Goes last, after everything that writes.
    _lock: Box<dyn DiskLock>,
}

impl Store {
    /// Opens the store in the directory `home`, making it if it is not there, and recovers
    /// from an unclean stop.
    pub fn open(
        disk: Arc<dyn Disk>,
        home: &Path,
        options: StoreOptions,
    ) -> Result<Store, OpenError> {
        let Home { root, lock } = claim(&*disk, home, &options)?;
        // The first pack is made after the index has its name, so one without the other
        // means that the index was lost.
        let has_packs = !PackFiles::numbers(&*root)?.is_empty();
        let index = if Index::exists(&*root)? {
            Index::open(&*root, options.index_cache_bytes, disk.boot())
                .map_err(|error| open_error(error, home))?
        } else if has_packs {
            return Err(OpenError::MissingIndex {
                home: home.to_owned(),
            });
        } else {
            let index = Index::create(&*root, options.index_cache_bytes, disk.boot())?;
            Index::name(&*root)?;
            index
        };
        let store = Self::assemble(disk, root, lock, index, &options)?;
        if store.inner.index.has_lost_files() {
            doubt::withdraw(&store)?;
        }
        side_area::adopt(&store)?;
        Ok(store)
    }

    pub(crate) fn assemble(
        disk: Arc<dyn Disk>,
        home: Arc<dyn Root>,
        lock: Box<dyn DiskLock>,
        index: Index,
        options: &StoreOptions,
    ) -> Result<Store, OpenError> {
        let committed = index.packs();
        let files = PackFiles::new(home.clone());
        files.recover(&committed)?;
        let packs = Packs::new(
            files,
            &committed,
            options.pack_bytes_max,
            options.pack_buffer_bytes,
        )?;
        Ok(Store {
            inner: Arc::new(Inner {
                disk,
                home,
                index,
                packs,
                pages: PageCache::new(options.page_cache_bytes),
                open_files: OpenFiles::default(),
                leases: Leases::default(),
                unsynced_roots: Mutex::default(),
                _lock: lock,
            }),
        })
    }

    /// Makes every commit survive a power cut and lets go of the store. Files that are
    /// unsynced stay so, since that may take long: see [`Self::sync_unsynced`]. Clones must be
    /// gone; those that are not keep the store open until they are dropped.
    pub fn close(self) -> Result<(), StoreError> {
        if self.inner.index.has_volatile_commits() {
            self.inner.commit_note(SyncNote::None)?;
        }
        Ok(())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.inner.disk
    }

    /// Its own directory. `tmp/` in it is emptied whenever a store is opened; owned files
    /// belong in `files/`.
    pub fn home(&self) -> &Arc<dyn Root> {
        &self.inner.home
    }

    /// The index as it is now.
    pub fn view(&self) -> Arc<View> {
        self.inner.index.view()
    }

    /// Starts a set of changes.
    pub fn begin(&self) -> Batch {
        Batch::new(self.clone())
    }

    /// Whether anything is known of a chunk (see [`View::contains`]).
    pub fn contains(&self, id: &ChunkId) -> Result<bool, StoreError> {
        self.view().contains(id)
    }

    /// What is known of a chunk.
    pub fn chunk(&self, id: &ChunkId) -> Result<Option<ChunkRow>, StoreError> {
        self.view().chunk(id)
    }

    /// The bytes of a page, verified; nothing if it is not here.
    pub fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, StoreError> {
        if let Some(page) = self.inner.pages.get(id) {
            return Ok(Some(page));
        }
        let Some((spot, length)) = self.view().page_spot(id)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; length as usize];
        let whole = self.inner.packs.files().read(spot, &mut bytes)?;
        if !whole || PageId::of(&bytes) != *id {
            return Err(StoreError::DamagedPage(*id));
        }
        let page: Arc<[u8]> = bytes.into();
        self.inner.pages.put(*id, page.clone());
        Ok(Some(page))
    }

    /// Makes everything that is [`Unsynced`](crate::index::FileState::Unsynced) survive a
    /// power cut, and trusted. Waits for the disk.
    pub fn sync_unsynced(&self) -> Result<(), StoreError> {
        // Every row of this epoch that a commit has written had its bytes written before.
        // Rows that come while the disk syncs may not have: they get the next epoch.
        let Some((epoch, roots)) = self.inner.index.end_epoch() else {
            return Ok(());
        };
        let view = self.view();
        let mut synced = Vec::new();
        for root in roots {
            // Nothing is left to be synced of a directory that has gone.
            let Some(root) = self.inner.root_of(&view, root)? else {
                continue;
            };
            let found = root
                .stat(Path::new(""))
                .map_err(StoreError::io(root.path()))?;
            let device = found.map(|found| found.device);
            if !synced.contains(&device) {
                root.sync_all().map_err(StoreError::io(root.path()))?;
                synced.push(device);
            }
        }
        self.inner.commit_note(SyncNote::Synced(epoch))
    }
}

impl PageSource for Store {
    type Error = StoreError;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, StoreError> {
        Store::page(self, id)
    }
}

impl Inner {
    /// Asks for a sync of the whole file system of `root` before the next durable commit.
    pub(crate) fn sync_before_commit(&self, root: Arc<dyn Root>) {
        let mut roots = self
            .unsynced_roots
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !roots.iter().any(|known| known.path() == root.path()) {
            roots.push(root);
        }
    }

    fn commit_note(&self, note: SyncNote) -> Result<(), StoreError> {
        self.commit(Changes::default(), true, note, self.packs.failures())
    }

    /// Writes rows behind their bytes. `failures` is how many writes to packs had failed
    /// when the bytes of the first change were written.
    pub(crate) fn commit(
        &self,
        changes: Changes,
        durable: bool,
        note: SyncNote,
        failures: u64,
    ) -> Result<(), StoreError> {
        self.check_room(&changes)?;
        rebuild::append_rows(&changes, &self.index.view(), &self.packs)?;
        if durable {
            // The long wait for the disk lets other commits through.
            self.packs.flush()?;
            self.sync_bytes()?;
        }
        let forgotten_pages: Vec<_> = changes.forgotten_pages().collect();
        let forgotten_packs = changes.forgotten_packs.clone();
        assert!(
            durable || forgotten_packs.is_empty(),
            "packs go only when a power cut cannot bring back what points to them"
        );
        self.packs.forget(&forgotten_packs);
        self.index.commit(changes, durable, note, |durable| {
            let ends = self.packs.flush()?;
            if self.packs.failures() != failures {
                return Err(self.packs.last_failure());
            }
            if durable {
                self.sync_bytes()?;
            }
            Ok(ends)
        })?;
        for page in forgotten_pages {
            self.pages.remove(&page);
        }
        self.packs.remove(&forgotten_packs)
    }

    fn sync_bytes(&self) -> Result<(), StoreError> {
        self.packs.sync()?;
        let mut roots = self
            .unsynced_roots
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for root in roots.iter() {
            root.sync_all().map_err(StoreError::io(root.path()))?;
        }
        roots.clear();
        Ok(())
    }

    fn check_room(&self, changes: &Changes) -> Result<(), StoreError> {
        let system = self.home.file_system();
        let free = system.map_err(StoreError::io(self.home.path()))?.free;
        let needed = RESERVE_BYTES + changes.bytes();
        if free < needed {
            let why = format!(
                "the disk is full: the index needs {} free, and there are {}",
                Size(needed),
                Size(free)
            );
            let full = io::Error::new(io::ErrorKind::StorageFull, why);
            return Err(StoreError::io(self.home.path())(full));
        }
        Ok(())
    }
}

fn open_error(error: IndexError, home: &Path) -> OpenError {
    match error {
        IndexError::Newer(found) => OpenError::NewerFormat {
            found,
            supported: FORMAT,
        },
        IndexError::Older(found) => OpenError::OlderFormat {
            found,
            supported: FORMAT,
        },
        IndexError::Damaged(why) => OpenError::DamagedIndex {
            home: home.to_owned(),
            why,
        },
        IndexError::Store(error) => error.into(),
    }
}
