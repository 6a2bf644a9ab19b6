//! The files of the packs.
//!
//! Owns: their names, opening them once, reading from them. Refuses: writing.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::disk::{DiskFile, OpenMode, Root};
use crate::error::StoreError;
use crate::index::PackSpot;

/// The directory of the packs, in the store's own.
pub(crate) const DIRECTORY: &str = "packs";

/// The open files of the packs. There are few: one for every `pack_bytes_max` of data.
pub(crate) struct PackFiles {
    home: Arc<dyn Root>,
    open: RwLock<HashMap<u32, Arc<dyn DiskFile>>>,
}

impl PackFiles {
    pub(crate) fn new(home: Arc<dyn Root>) -> Self {
        Self {
            home,
            open: RwLock::default(),
        }
    }

    /// The name of a pack's file in the store's directory.
    pub(crate) fn name(number: u32) -> PathBuf {
        Path::new(DIRECTORY).join(format!("{number:08x}.pack"))
    }

    /// The numbers of the packs that lie in the directory, ascending.
    pub(crate) fn numbers(home: &dyn Root) -> Result<Vec<u32>, StoreError> {
        let directory = Path::new(DIRECTORY);
        let names = home.list(directory).map_err(StoreError::io(directory))?;
        let mut numbers: Vec<u32> = names
            .iter()
            .filter_map(|name| {
                let number = name.to_str()?.strip_suffix(".pack")?;
                u32::from_str_radix(number, 16).ok()
            })
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Cuts off what no commit knows: the packs end where the index says. A pack that is
    /// shorter is left as it is; reading will tell what it has lost.
    pub(crate) fn recover(&self, committed: &BTreeMap<u32, u64>) -> Result<(), StoreError> {
        for number in Self::numbers(&*self.home)? {
            let name = Self::name(number);
            let Some(&end) = committed.get(&number) else {
                self.home
                    .remove_file(&name)
                    .map_err(StoreError::io(&name))?;
                continue;
            };
            let found = self.home.stat(&name).map_err(StoreError::io(&name))?;
            let size = found.map_or(0, |found| found.size);
            if size > end {
                let cut = self.file(number).and_then(|file| file.set_len(end));
                cut.map_err(StoreError::io(&name))?;
            } else if size < end {
                tracing::warn!(pack = number, size, end, "a pack has lost its end");
            }
        }
        Ok(())
    }

    /// The file of a pack.
    pub(crate) fn file(&self, number: u32) -> io::Result<Arc<dyn DiskFile>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&number) {
            return Ok(file.clone());
        }
        drop(open);
        let file = self.home.open(&Self::name(number), OpenMode::Write)?;
        self.insert(number, file.clone());
        Ok(file)
    }

    /// Makes the file of a new pack.
    pub(crate) fn create(&self, number: u32) -> io::Result<Arc<dyn DiskFile>> {
        let name = Self::name(number);
        let file = self.home.open(&name, OpenMode::CreateNew)?;
        self.insert(number, file.clone());
        Ok(file)
    }

    /// Removes the file of a pack.
    pub(crate) fn remove(&self, number: u32) -> io::Result<()> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.remove(&number);
        self.home.remove_file(&Self::name(number))
    }

    /// Makes the names of the packs survive a power cut.
    pub(crate) fn sync_names(&self) -> Result<(), StoreError> {
        let directory = Path::new(DIRECTORY);
        self.home
            .sync_dir(directory)
            .map_err(StoreError::io(directory))
    }

    /// Reads bytes of a record. Whether all of `out` could be read.
    pub(crate) fn read(&self, spot: PackSpot, out: &mut [u8]) -> Result<bool, StoreError> {
        let read = self
            .file(spot.pack)
            .and_then(|file| file.read_at(spot.offset, out));
        match read {
            Ok(read) => Ok(read == out.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io(Self::name(spot.pack))(error)),
        }
    }

    fn insert(&self, number: u32, file: Arc<dyn DiskFile>) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(number, file);
    }
}
