//! A file system in memory that fails when a test wants it to.
//!
//! Owns: the faults. The power goes at the n-th operation that changes anything
//! ([`FaultyDisk::cut_at`]), or the disk is looked at as it would be found after a cut at
//! every one of them ([`FaultyDisk::record`]); room runs out ([`FaultyDisk::set_room`]); bits
//! flip ([`FaultyDisk::flip`]); a sync fails once ([`FaultyDisk::fail_sync`]). Refuses:
//! permissions, hard links, anything of a real disk.
//!
//! What is found after a cut is the worst that [`super`] allows: of unsynced bytes any part,
//! torn within a block; of unsynced names any state that they had, where a rename is one
//! change even between directories.

mod bytes;
mod fate;
mod root;
mod world;

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::fate::Fate;
use self::root::FaultyRoot;
use self::world::{Names, Number, TOP, Thing, World};
use super::{Disk, FileKind, Root};

/// The file system. Clones are the same one.
#[derive(Clone)]
pub struct FaultyDisk {
    power: Arc<Mutex<Power>>,
}

/// The file system and whether it still works.
struct Power {
    world: World,
    operations: u64,
    fails_sync: bool,
    cut_at: Option<u64>,
    is_cut: bool,
    /// What stood there in the midst of each operation, while that is recorded.
    images: Option<Vec<World>>,
}

/// What was on a disk in the midst of an operation.
#[derive(Clone)]
pub struct Image(World);

impl Image {
    /// The disk that is found after a power cut at that moment.
    pub fn found(&self, fate: Fate) -> FaultyDisk {
        FaultyDisk::with(self.0.after_cut(fate))
    }
}

impl Default for FaultyDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyDisk {
    /// An empty file system without faults.
    pub fn new() -> Self {
        Self::with(World::new())
    }

    fn with(world: World) -> Self {
        Self {
            power: Arc::new(Mutex::new(Power {
                world,
                operations: 0,
                fails_sync: false,
                cut_at: None,
                is_cut: false,
                images: None,
            })),
        }
    }

    /// The disk, as [`Store::open`](crate::Store::open) wants it.
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// How many operations have changed or synced something so far.
    pub fn operations(&self) -> u64 {
        self.power().operations
    }

    /// Lets the next sync of a file fail, and the one after it say nothing of that, as Linux
    /// does.
    pub fn fail_sync(&self) {
        self.power().fails_sync = true;
    }

    /// Lets the power go in the midst of an operation: the first is number 1. It fails, and
    /// so does everything after it.
    pub fn cut_at(&self, operation: u64) {
        self.power().cut_at = Some(operation);
    }

    /// Whether the power has gone.
    pub fn is_cut(&self) -> bool {
        self.power().is_cut
    }

    /// The disk as it is found if the power goes now, or after it went.
    pub fn after_cut(&self, fate: Fate) -> Self {
        Self::with(self.power().world.after_cut(fate))
    }

    /// From now on keeps what a power cut in the midst of each operation would meet.
    pub fn record(&self) {
        self.power().images = Some(Vec::new());
    }

    /// What was kept: the image at `i` is that of the operation after which
    /// [`Self::operations`] had grown by `i + 1`.
    pub fn images(&self) -> Vec<Image> {
        let images = self.power().images.take().unwrap_or_default();
        images.into_iter().map(Image).collect()
    }

    /// Lets files take this many bytes in all; nothing lifts the limit.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.power().world.room = bytes;
    }

    /// Bytes that files take now.
    pub fn used(&self) -> u64 {
        self.power().world.used()
    }

    /// Flips the bits of `mask` in a byte of the file at an absolute path, on the medium: its
    /// times stay as they are.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) {
        let mut power = self.power();
        let found = power
            .world
            .resolve(TOP, path.strip_prefix("/").unwrap_or(path));
        let number = found.expect("a file to harm");
        power.world.flip(number, offset, mask);
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Power {
    /// The world, to be looked at.
    fn look(&self) -> io::Result<&World> {
        if self.is_cut {
            return Err(io::Error::other("the power is out"));
        }
        Ok(&self.world)
    }

    /// Does something that changes the world; the power may go in its midst.
    fn change<T>(&mut self, change: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        self.look()?;
        let done = change(&mut self.world);
        self.count()?;
        done
    }

    /// Makes something durable; if the power goes in its midst, nothing is known to be.
    fn sync(&mut self, sync: impl FnOnce(&mut World) -> io::Result<()>) -> io::Result<()> {
        self.look()?;
        self.count()?;
        sync(&mut self.world)
    }

    fn count(&mut self) -> io::Result<()> {
        self.operations += 1;
        if let Some(images) = &mut self.images {
            images.push(self.world.clone());
        }
        self.is_cut = self.cut_at == Some(self.operations);
        self.look().map(|_| ())
    }
}

impl World {
    /// What stands at `name` beneath a directory. Symlinks on the way are refused.
    fn resolve(&self, from: Number, name: &Path) -> io::Result<Number> {
        let mut at = from;
        for component in name.components() {
            at = match component {
                Component::Normal(part) => {
                    let names = self.names(at)?;
                    *names.get(part).ok_or(io::ErrorKind::NotFound)?
                }
                Component::CurDir => at,
                _ => return Err(io::ErrorKind::CrossesDevices.into()),
            };
        }
        Ok(at)
    }

    /// The directory of `name` and its last component.
    fn resolve_parent<'a>(&self, from: Number, name: &'a Path) -> io::Result<(Number, &'a OsStr)> {
        let (Some(parent), Some(last)) = (name.parent(), name.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let directory = self.resolve(from, parent)?;
        self.names(directory)?;
        Ok((directory, last))
    }

    /// Makes a directory, if it is not there.
    fn make_directory(&mut self, from: Number, name: &Path) -> io::Result<Number> {
        let (parent, last) = self.resolve_parent(from, name)?;
        if let Some(&there) = self.names(parent)?.get(last) {
            self.names(there)
                .map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))?;
            return Ok(there);
        }
        let number = self.make(Thing::Directory(Names::new()));
        self.rename(vec![(parent, last.to_owned(), Some(number))]);
        Ok(number)
    }

    fn kind(&self, number: Number) -> FileKind {
        self.identity(number).kind
    }
}

impl Disk for FaultyDisk {
    fn root(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Root>> {
        let Ok(beneath) = path.strip_prefix("/") else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if create {
            let mut made = std::path::PathBuf::new();
            for component in beneath.components() {
                made.push(component);
                let mut power = self.power();
                if power.look()?.resolve(TOP, &made).is_err() {
                    power.change(|world| world.make_directory(TOP, &made))?;
                    let parent = made.parent().unwrap_or(Path::new("")).to_owned();
                    power.sync(|world| {
                        let parent = world.resolve(TOP, &parent)?;
                        world.sync_names(parent);
                        Ok(())
                    })?;
                }
            }
        }
        let power = self.power();
        let directory = power.look()?.resolve(TOP, beneath)?;
        power.look()?.names(directory)?;
        drop(power);
        Ok(Arc::new(FaultyRoot::new(self.clone(), path, directory)))
    }

    fn boot(&self) -> Option<String> {
        Some(self.power().world.cuts.to_string())
    }

    fn booted_ns(&self) -> Option<i128> {
        Some(self.power().world.booted_ns)
    }
}

#[cfg(test)]
mod tests;
