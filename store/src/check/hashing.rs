//! Reads places again and compares what they hold with its hash.
//!
//! Owns: the order of reading (by place, so that disks read forwards), the threads, and what
//! is to be forgotten. Refuses: to draw conclusions for snapshots.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::manifest::{SnapshotCursor, Step};

use super::places::{Place, tasks};
use super::{DamagedPlace, VerifyError, VerifyReport};
use crate::disk::FileIdentity;
use crate::doubt::suspects;
use crate::index::{
    ChunkRow, Extent, FileId, FileRow, FileState, PackSpot, RootId, SnapshotRow, View,
};
use crate::ingest::workers;
use crate::pack::PackFiles;
use crate::progress::Progress;
use crate::survey::page_of;
use crate::{Batch, Store, StoreError};

/// Places that are sorted and read at a time: some 30 MiB of memory.
const PLACES_MAX: usize = 512 << 10;
/// A verification while it reads.
pub(super) struct Hashing<'a> {
    store: &'a Store,
    progress: &'a dyn Progress,
    view: Arc<View>,
    batch: Batch,
    places: Vec<Place>,
    bytes: AtomicU64,
    damaged: Mutex<Faults>,
    away: Mutex<Away>,
    /// Suspect files, with their identity if all that was read of them is right.
    suspects: Mutex<HashMap<FileId, Option<FileIdentity>>>,
}

/// How many bytes of a file are not right, and why.
type Faults = BTreeMap<PathBuf, (u64, String)>;

/// What cannot be looked at now.
#[derive(Default)]
struct Away {
    files: HashSet<FileId>,
    faults: Faults,
}

/// What is wrong with a place.
enum Fault {
    /// It is in a state of a file that the index itself has given up.
    Stale,
    /// It is in a file of which an add will tell the index when it is through.
    Coming,
    /// Something else is there, or nothing.
    Wrong(&'static str),
    /// It cannot be looked at now.
    Away(String),
}

impl<'a> Hashing<'a> {
    pub(super) fn new(store: &'a Store, progress: &'a dyn Progress) -> Self {
        // A file that is kept open can be read although it has been removed.
        store.inner().open_files.clear();
        Self {
            store,
            progress,
            view: store.view(),
            batch: store.begin(),
            places: Vec::new(),
            bytes: AtomicU64::new(0),
            damaged: Mutex::default(),
            away: Mutex::default(),
            suspects: Mutex::default(),
        }
    }

    /// Every place of every chunk, and every page.
    pub(super) fn everything(&mut self) -> Result<(), VerifyError> {
        let view = self.view.clone();
        let mut total = 0;
        for chunk in view.chunks()? {
            let (_, row) = chunk?;
            total += u64::from(row.length) * row.extents.len() as u64;
        }
        self.progress.total_bytes(total);
        for chunk in view.chunks()? {
            let (id, row) = chunk?;
            self.chunk(&id, &row)?;
        }
        self.read()?;
        for page in view.pages()? {
            let (id, spot, length) = page?;
            self.page(&id, spot, length)?;
        }
        Ok(())
    }

    /// Every place in a suspect file.
    pub(super) fn suspects_only(&mut self) -> Result<(), VerifyError> {
        let view = self.view.clone();
        if !view.any_suspect() {
            return Ok(());
        }
        let suspects = suspects(&view)?;
        let is_suspect = |extent: &Extent| match extent {
            Extent::File { file, .. } => suspects.contains(file),
            Extent::Pack(_) => false,
        };
        for chunk in view.chunks()? {
            let (id, mut row) = chunk?;
            row.extents.retain(is_suspect);
            self.chunk(&id, &row)?;
        }
        self.read()
    }

    /// Every place of the chunks of a snapshot. Its pages are read on the way; those that are
    /// missing are found by whoever surveys it.
    pub(super) fn snapshot(&mut self, row: &SnapshotRow) -> Result<(), VerifyError> {
        self.progress.total_bytes(row.snapshot.bytes);
        let view = self.view.clone();
        let mut cursor = SnapshotCursor::new(&row.snapshot);
        let mut missing: Option<PageId> = None;
        loop {
            match cursor.next(self.store) {
                Ok(None) => break,
                Ok(Some(Step::Chunk { chunk, .. })) => {
                    if let Some(row) = view.chunk(&chunk.id)? {
                        self.chunk(&chunk.id, &row)?;
                    }
                }
                Ok(Some(Step::Entry { .. })) => {}
                Err(error) => {
                    let page = page_of(error)?;
                    // A page of the manifest is still missing when the file is passed over.
                    if missing.replace(page) == Some(page) {
                        break;
                    }
                    cursor.skip_chunks();
                }
            }
        }
        self.read()
    }

    /// Forgets what is wrong; gives what was found, and the files that cannot be looked at.
    pub(super) fn finish(self, all: bool) -> Result<(VerifyReport, HashSet<FileId>), VerifyError> {
        if all {
            self.clear_suspects()?;
        }
        self.batch.commit(true)?;
        let mut report = VerifyReport {
            bytes_hashed: self.bytes.into_inner(),
            ..VerifyReport::default()
        };
        let damaged = self.damaged.into_inner();
        for (path, (bytes, why)) in damaged.unwrap_or_else(PoisonError::into_inner) {
            report.damaged.push(DamagedPlace { path, bytes, why });
        }
        let away = self.away.into_inner();
        let Away { files, faults } = away.unwrap_or_else(PoisonError::into_inner);
        for (path, (bytes, why)) in faults {
            report.away.push(DamagedPlace { path, bytes, why });
        }
        Ok((report, files))
    }

    fn chunk(&mut self, id: &ChunkId, row: &ChunkRow) -> Result<(), VerifyError> {
        self.places.extend(row.extents.iter().map(|extent| Place {
            extent: *extent,
            id: *id,
            length: row.length,
        }));
        if self.places.len() >= PLACES_MAX {
            self.read()?;
        }
        Ok(())
    }

    /// Reads the places that were collected.
    fn read(&mut self) -> Result<(), VerifyError> {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable();
        places.dedup();
        let tasks = tasks(&places);
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            let mut buffer = Vec::new();
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                for place in &places[task.clone()] {
                    if let Err(error) = self.place(place, &mut buffer) {
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        next.store(tasks.len(), Ordering::Relaxed);
                        return;
                    }
                }
                if self.progress.cancelled() {
                    next.store(tasks.len(), Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..workers() {
                scope.spawn(work);
            }
            work();
        });
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        match failed {
            Some(error) => Err(error.into()),
            None if self.progress.cancelled() => Err(VerifyError::Cancelled),
            None => Ok(()),
        }
    }

    fn place(&self, place: &Place, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        buffer.resize(place.length as usize, 0);
        let fault = match place.extent {
            Extent::Pack(spot) => self.in_pack(spot, buffer)?,
            Extent::File { file, offset } => self.in_file(file, offset, buffer)?,
        };
        let bytes = u64::from(place.length);
        let fault = fault.or_else(|| {
            let right = ChunkId::of(buffer) == place.id;
            (!right).then_some(Fault::Wrong("are not what they were when they were added"))
        });
        self.progress.bytes(bytes);
        let Some(fault) = fault else {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            return Ok(());
        };
        let why = match fault {
            Fault::Coming => return Ok(()),
            Fault::Away(why) => return self.is_out_of_sight(place, why),
            Fault::Stale | Fault::Wrong(_) => {
                self.batch.drop_extent(&place.id, place.extent);
                if let Extent::File { file, .. } = place.extent {
                    self.suspects()
                        .entry(file)
                        .and_modify(|right| *right = None);
                }
                match fault {
                    Fault::Wrong(why) => why.to_owned(),
                    _ => return Ok(()),
                }
            }
        };
        self.damage(self.path_of(&place.extent)?, bytes, why);
        Ok(())
    }

    /// Notes bytes that may be there and cannot be looked at.
    fn is_out_of_sight(&self, place: &Place, why: String) -> Result<(), StoreError> {
        let path = self.path_of(&place.extent)?;
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if let Extent::File { file, .. } = place.extent {
            away.files.insert(file);
        }
        away.faults.entry(path).or_insert((0, why)).0 += u64::from(place.length);
        Ok(())
    }

    fn in_pack(&self, spot: PackSpot, buffer: &mut [u8]) -> Result<Option<Fault>, StoreError> {
        match self.store.inner().packs.files().read(spot, buffer) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(Fault::Wrong("are missing"))),
            Err(StoreError::Io { .. }) => Ok(Some(Fault::Wrong("cannot be read"))),
            Err(error) => Err(error),
        }
    }

    fn in_file(
        &self,
        id: FileId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<Option<Fault>, StoreError> {
        let Some(row) = self.view.file(id)? else {
            let coming = self.is_coming(id)?;
            return Ok(Some(if coming { Fault::Coming } else { Fault::Stale }));
        };
        let file = match self.store.inner().open_file(&self.view, id) {
            Ok(Some(open)) => open,
            Ok(None) if self.is_away(&row)? => {
                return Ok(Some(Fault::Away("are not there now".to_owned())));
            }
            Ok(None) => return Ok(Some(Fault::Wrong("are gone with their file"))),
            Err(StoreError::Io { source, .. }) => {
                return Ok(Some(Fault::Away(format!("cannot be read: {source}"))));
            }
            Err(error) => return Err(error),
        };
        if row.state == FileState::Suspect
            && let Ok(identity) = file.file.identity()
        {
            self.suspects().entry(id).or_insert(Some(identity));
        }
        Ok(match file.file.read_at(offset, buffer) {
            Ok(read) if read == buffer.len() => None,
            Ok(_) => Some(Fault::Wrong("are cut off")),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some(Fault::Away(error.to_string()))
            }
            Err(_) => Some(Fault::Wrong("cannot be read")),
        })
    }

    /// Whether a file that the index did not know is, or was meanwhile, in the hands of an add.
    /// Its lease goes only after the row has come, so it is looked for first.
    fn is_coming(&self, id: FileId) -> Result<bool, StoreError> {
        Ok(self.store.leases().any() || self.store.view().file(id)?.is_some())
    }

    /// Whether the file system of a user's file is not mounted now: its directory is not there,
    /// or lies on another device than the file did.
    fn is_away(&self, row: &FileRow) -> Result<bool, StoreError> {
        if row.root == RootId::HOME {
            return Ok(false);
        }
        let Some(path) = self.view.root_path(row.root) else {
            return Ok(true);
        };
        let root = self.store.disk().root(path.as_path(), false);
        let device = root.and_then(|root| root.stat("".as_ref()));
        Ok(!device.is_ok_and(|root| root.is_some_and(|r| r.device == row.identity.device)))
    }

    fn page(&self, id: &PageId, spot: PackSpot, length: u32) -> Result<(), VerifyError> {
        let mut bytes = vec![0; length as usize];
        let fault = self.in_pack(spot, &mut bytes)?;
        if fault.is_some() || PageId::of(&bytes) != *id {
            self.batch.forget_page(id);
            let path = self.path_of(&Extent::Pack(spot))?;
            self.damage(path, u64::from(length), "of a page are damaged".to_owned());
        }
        Ok(())
    }

    /// Believes suspect files again in which everything was right and that nobody touched.
    fn clear_suspects(&self) -> Result<(), VerifyError> {
        for (id, identity) in self.suspects().iter() {
            let row = self.view.file(*id)?;
            if let Some(row) = row.filter(|row| *identity == Some(row.identity)) {
                let state = FileState::Unsynced;
                self.batch.put_file(FileRow { state, ..row });
            }
        }
        Ok(())
    }

    fn path_of(&self, extent: &Extent) -> Result<PathBuf, StoreError> {
        let home = self.store.home().path();
        let file = match extent {
            Extent::Pack(spot) => return Ok(home.join(PackFiles::name(spot.pack))),
            Extent::File { file, .. } => *file,
        };
        let Some(row) = self.view.file(file)? else {
            return Ok(home.to_owned());
        };
        let root = match row.root {
            RootId::HOME => Some(home.to_owned()),
            root => {
                let path = self.view.root_path(root);
                path.map(|path| path.as_path().to_owned())
            }
        };
        Ok(root.unwrap_or_default().join(row.path.as_str()))
    }

    fn damage(&self, path: PathBuf, bytes: u64, why: String) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        damaged.entry(path).or_insert((0, why)).0 += bytes;
    }

    fn suspects(&self) -> std::sync::MutexGuard<'_, HashMap<FileId, Option<FileIdentity>>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
