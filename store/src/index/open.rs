//! Opening the index, and the one place that writes to it.
//!
//! Owns: the database, its format number, the current view. Refuses: the order of bytes
//! and rows; that is [`Batch`](crate::Batch)'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, Durability, ReadableDatabase, WriteTransaction};
use shoal_protocol::codec;
use shoal_protocol::peer::PeerKey;

use super::backend::DiskBackend;
use super::names::Names;
use super::sync::Epochs;
use super::table::{damaged, damaged_index, intact};
use super::tables::{self, MetaKey};
use super::view::{View, decode_row};
use super::{AbsolutePath, Changes, FileId, RootId};
use crate::disk::{OpenMode, Root};
use crate::error::StoreError;

/// The format that this program writes.
pub(crate) const FORMAT: u32 = 1;
/// The oldest format that this program reads.
const FORMAT_MIN: u32 = 1;

const NAME: &str = "index.redb";
/// An index that is being made. It gets its name when it is whole.
const NEW_NAME: &str = "tmp/index.redb";

/// Commits that redb keeps in memory alone before one is made durable, so that the pages
/// they free can be used again.
const VOLATILE_COMMITS_MAX: u32 = 256;

/// Why the index could not be opened.
#[derive(Debug)]
pub(crate) enum IndexError {
    Newer(u32),
    Older(u32),
    Damaged(String),
    Store(StoreError),
}

impl<E: Into<StoreError>> From<E> for IndexError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// The open index.
pub(crate) struct Index {
    /// There until this is dropped.
    database: Option<Database>,
    names: Arc<Names>,
    next_file: AtomicU64,
    view: RwLock<Arc<View>>,
    /// Whether files became suspect when it was opened.
    lost_files: bool,
    /// What must be written one commit after the other.
    writing: Mutex<Writing>,
}

pub(super) struct Writing {
    pub(super) epochs: Epochs,
    /// Whether a commit met damage on its way: what redb has in memory is of no more use.
    is_broken: bool,
    volatile_commits: u32,
    /// Lengths of packs that the index has.
    pub(super) packs: BTreeMap<u32, u64>,
}

/// What a commit writes besides a batch's changes.
pub(crate) enum SyncNote {
    /// Nothing about syncs.
    None,
    /// Everything that was written up to this epoch is on the medium.
    Synced(u32),
}

impl Index {
    /// Whether there is an index in the store's directory.
    pub(crate) fn exists(home: &dyn Root) -> Result<bool, StoreError> {
        let found = home.stat(Path::new(NAME));
        Ok(found.map_err(StoreError::io(NAME))?.is_some())
    }

    /// Makes an empty index, which takes the place of whatever is there once it is
    /// [named](Self::name). The directory `tmp` exists.
    pub(crate) fn create(
        home: &dyn Root,
        cache_bytes: usize,
        boot: Option<String>,
    ) -> Result<Self, StoreError> {
        let name = Path::new(NEW_NAME);
        if home.stat(name).map_err(StoreError::io(name))?.is_some() {
            home.remove_file(name).map_err(StoreError::io(name))?;
        }
        let file = home
            .open(name, OpenMode::CreateNew)
            .map_err(StoreError::io(name))?;
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(DiskBackend(file))?;
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        tables::create(&transaction)?;
        {
            let mut meta = transaction.open_table(tables::META)?;
            meta.insert(MetaKey::FORMAT, FORMAT.to_le_bytes().as_slice())?;
        }
        transaction.commit()?;
        Self::load(database, boot)
    }

    /// Gives a new index its name, once what it holds is durable.
    pub(crate) fn name(home: &dyn Root) -> Result<(), StoreError> {
        home.rename(Path::new(NEW_NAME), Path::new(NAME))
            .and_then(|()| home.sync_dir(Path::new("")))
            .map_err(StoreError::io(NAME))
    }

    /// Opens the index that is there, in the state of its last durable commit.
    pub(crate) fn open(
        home: &dyn Root,
        cache_bytes: usize,
        boot: Option<String>,
    ) -> Result<Self, IndexError> {
        intact("its head", || {
            Ok(Self::open_undamaged(home, cache_bytes, boot))
        })?
    }

    fn open_undamaged(
        home: &dyn Root,
        cache_bytes: usize,
        boot: Option<String>,
    ) -> Result<Self, IndexError> {
        let file = home
            .open(Path::new(NAME), OpenMode::Write)
            .map_err(StoreError::io(NAME))?;
        let opened = Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(DiskBackend(file));
        let database = opened.map_err(|error| match error {
            redb::DatabaseError::Storage(redb::StorageError::Io(source))
                if !matches!(
                    source.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                IndexError::Store(StoreError::io(NAME)(source))
            }
            other => IndexError::Damaged(other.to_string()),
        })?;
        let reading = database.begin_read()?;
        let format = tables::meta(&reading, MetaKey::FORMAT)
            .ok()
            .flatten()
            .and_then(|bytes| bytes.try_into().ok().map(u32::from_le_bytes));
        match format {
            None => return Err(IndexError::Damaged("it has no format number".to_owned())),
            Some(newer) if newer > FORMAT => return Err(IndexError::Newer(newer)),
            Some(older) if older < FORMAT_MIN => return Err(IndexError::Older(older)),
            Some(_) => {}
        }
        drop(reading);
        Ok(Self::load(database, boot)?)
    }

    fn load(database: Database, boot: Option<String>) -> Result<Self, StoreError> {
        let reading = database.begin_read()?;
        let mut roots = Vec::new();
        for row in reading.open_table(tables::ROOTS)?.range::<u32>(..)? {
            let (id, path) = row?;
            let path = AbsolutePath::from_bytes(path.value().to_vec());
            let path = path.ok_or_else(|| damaged("roots")("a path is not absolute"))?;
            roots.push((id.value(), path));
        }
        let mut audiences = Vec::new();
        for row in reading.open_table(tables::AUDIENCES)?.range::<u32>(..)? {
            let (id, key) = row?;
            audiences.push((id.value(), PeerKey::from_bytes(*key.value())));
        }
        let next_file = tables::meta(&reading, MetaKey::NEXT_FILE)?
            .and_then(|bytes| bytes.try_into().ok().map(u64::from_le_bytes))
            .unwrap_or(1);
        let epochs = match tables::meta(&reading, MetaKey::EPOCHS)? {
            Some(bytes) => decode_row::<Epochs>("meta", &bytes)?,
            None => Epochs::default(),
        };
        let before = epochs;
        let epochs = before.reopened(boot);
        let names = Arc::new(Names::new(roots, audiences));
        let view = View::new(&reading, names.clone(), epochs.clone())?;
        let packs = view.packs()?.into_iter().collect();
        drop(reading);
        Ok(Self {
            database: Some(database),
            names,
            next_file: AtomicU64::new(next_file),
            view: RwLock::new(Arc::new(view)),
            lost_files: epochs.lost_since(&before),
            writing: Mutex::new(Writing {
                epochs,
                is_broken: false,
                volatile_commits: 0,
                packs,
            }),
        })
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("there until it is dropped")
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn new_file(&self) -> FileId {
        FileId(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the machine stopped since it was last open, before files were synced: these
    /// are suspect from now on.
    pub(crate) fn has_lost_files(&self) -> bool {
        self.lost_files
    }

    /// The epoch that unsynced rows were last written in, with the roots of the files in
    /// it and before it; nothing if all are synced. Rows from now on belong to the next.
    pub(crate) fn end_epoch(&self) -> Option<(u32, BTreeSet<RootId>)> {
        let epochs = &mut self.writing().epochs;
        let used = epochs.is_open().then_some(epochs.used)?;
        epochs.end(used);
        Some((used, epochs.roots(used)))
    }

    /// Whether there are commits that a power cut would undo.
    pub(crate) fn has_volatile_commits(&self) -> bool {
        self.writing().volatile_commits > 0
    }

    /// The packs that the index knows, and their lengths.
    pub(crate) fn packs(&self) -> BTreeMap<u32, u64> {
        self.writing().packs.clone()
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes changes to the tables. `prepare` is called once no other commit can come
    /// between; it is told whether this one will be durable, sees to the bytes, and gives
    /// the lengths of the packs.
    pub(crate) fn commit(
        &self,
        changes: Changes,
        durable: bool,
        note: SyncNote,
        prepare: impl FnOnce(bool) -> Result<BTreeMap<u32, u64>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut writing = self.writing();
        if writing.is_broken {
            return Err(damaged_index("a commit", "an earlier one did not end"));
        }
        let durable = durable || writing.volatile_commits >= VOLATILE_COMMITS_MAX;
        let packs = prepare(durable)?;
        writing.is_broken = true;
        let written = intact("a commit", || {
            Ok(self.write(&writing, changes, durable, &note, packs))
        })?;
        writing.is_broken = false;
        let (epochs, packs, view) = written?;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        *writing = Writing {
            epochs,
            is_broken: false,
            volatile_commits: if durable {
                0
            } else {
                writing.volatile_commits + 1
            },
            packs,
        };
        Ok(())
    }

    /// The transaction of a commit, and how things are after it.
    fn write(
        &self,
        writing: &Writing,
        changes: Changes,
        durable: bool,
        note: &SyncNote,
        packs: BTreeMap<u32, u64>,
    ) -> Result<(Epochs, BTreeMap<u32, u64>, View), StoreError> {
        let mut transaction = self.database().begin_write()?;
        if durable {
            transaction.set_quick_repair(true);
        } else {
            transaction
                .set_durability(Durability::None)
                .map_err(redb::Error::from)?;
        }
        let mut epochs = writing.epochs.clone();
        if let SyncNote::Synced(epoch) = note {
            epochs = epochs.after_sync(*epoch);
        }
        let names = self.names.unsaved();
        let packs = changes.apply(&transaction, writing, &mut epochs, &names, packs)?;
        self.write_meta(&transaction, &epochs)?;
        transaction.commit()?;

        self.names.saved(&names);
        let view = View::new(
            &self.database().begin_read()?,
            self.names.clone(),
            epochs.clone(),
        )?;
        Ok((epochs, packs, view))
    }

    fn write_meta(&self, writing: &WriteTransaction, epochs: &Epochs) -> Result<(), StoreError> {
        let mut meta = writing.open_table(tables::META)?;
        let next_file = self.next_file.load(Ordering::Relaxed);
        meta.insert(MetaKey::NEXT_FILE, next_file.to_le_bytes().as_slice())?;
        meta.insert(MetaKey::EPOCHS, codec::encode(epochs).as_slice())?;
        Ok(())
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let database = self.database.take();
        // It is being given up: whoever opens it next is told.
        let closed = intact("its end", || {
            drop(database);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the index was not closed in good order");
        }
    }
}
