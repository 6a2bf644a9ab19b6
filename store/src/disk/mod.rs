//! The only door to a file system: the store's own, and the folders that users name.
//!
//! Owns: the [`Disk`] trait and what its operations promise after a power cut. Refuses:
//! any knowledge of packs, indexes or artifacts.
//!
//! Everything happens beneath a [`Root`]: an open directory from which names resolve
//! without ever leaving it and without following a symlink. The real disk
//! ([`RealDisk`](real::RealDisk)) keeps that with `openat2`; the faulty one
//! ([`FaultyDisk`](faulty::FaultyDisk)) is a file system in memory that forgets what was not
//! synced, tears writes, fills up and flips bits, at a point that the test chooses.
//!
//! # What survives a power cut
//! Written bytes survive once [`DiskFile::sync`] has returned. A name (created, renamed,
//! removed) survives once [`Root::sync_dir`] of its directory, or [`Root::sync_all`], has
//! returned; until then the old or the new state may be found, and of unsynced bytes any
//! part.

pub(crate) mod ahead;
pub mod faulty;
pub mod real;

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Opens the directory at an absolute `path`; with `create`, makes it (and its parents)
    /// first.
    fn root(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Root>>;
    /// Which run of the machine this is, if that can be told: as long as it is the same,
    /// nothing that was written has been lost to a power cut, synced or not.
    fn boot(&self) -> Option<String> {
        None
    }
    /// When this run of the machine began, in nanoseconds since the epoch, by the clock that
    /// files get their times from; nothing if that cannot be told.
    fn booted_ns(&self) -> Option<i128> {
        None
    }
}

/// What kind of thing a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A fifo, socket or device: nothing that an artifact holds.
    Special,
}

/// Which state of which file this is. Two equal identities are the same bytes, as far as
/// the file system can tell. The bytes that it takes on disk do not count: they change when
/// the file system gets round to writing it.
#[derive(Debug, Clone, Copy)]
pub struct FileIdentity {
    /// What the name stands for.
    pub kind: FileKind,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub modified_ns: i128,
    /// Change time, nanoseconds since the epoch.
    pub changed_ns: i128,
    /// Whether the owner may execute it.
    pub executable: bool,
    /// User id of the owner.
    pub owner: u32,
    /// Bytes that the file takes on disk.
    pub allocated: u64,
}

impl PartialEq for FileIdentity {
    fn eq(&self, other: &Self) -> bool {
        let state = |identity: &Self| {
            let times = (identity.modified_ns, identity.changed_ns);
            let place = (identity.device, identity.inode);
            let rights = (identity.executable, identity.owner);
            (identity.kind, place, identity.size, times, rights)
        };
        state(self) == state(other)
    }
}

impl Eq for FileIdentity {}

impl FileIdentity {
    /// Whether the file last changed long enough before `now_ns` (the time at which its
    /// bytes had been read) that a later change is sure to get another time stamp. Clocks of
    /// file systems tick every 1 to 10 ms; some keep whole seconds only, or two.
    pub fn is_settled(&self, now_ns: i128) -> bool {
        const TICK_NS: i128 = 50_000_000;
        const COARSE_TICK_NS: i128 = 2_100_000_000;
        let coarse = self.changed_ns % 1_000_000_000 == 0;
        now_ns - self.changed_ns > if coarse { COARSE_TICK_NS } else { TICK_NS }
    }
}

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist and be a regular file (a fifo never blocks: it is refused).
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; made if absent.
    Create,
    /// For reading and writing; made, and it must not exist yet.
    CreateNew,
}

/// What a file system is and has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name where it is a network file system (NFS, CIFS, Ceph, Lustre, …).
    pub network: Option<&'static str>,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Bytes that an unprivileged user may still write.
    pub free: u64,
}

/// An open directory. Names are relative to it and stay beneath it; no component of a name
/// is followed if it is a symlink.
pub trait Root: Send + Sync {
    /// The path that it was opened at, for messages and for the index.
    fn path(&self) -> &Path;
    /// Opens a regular file.
    fn open(&self, name: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// What stands at `name`, not following a symlink; nothing if nothing does. An empty
    /// `name` is the root itself.
    fn stat(&self, name: &Path) -> io::Result<Option<FileIdentity>>;
    /// The names in a directory, in no order.
    fn list(&self, name: &Path) -> io::Result<Vec<std::ffi::OsString>>;
    /// Makes a directory and its parents; they may exist.
    fn create_dir(&self, name: &Path) -> io::Result<()>;
    /// Renames a file or symlink, replacing a file that stands at `to`. Never a directory:
    /// names beneath it are remembered.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// As [`rename`](Self::rename), but fails with `AlreadyExists` if anything stands at `to`.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// As [`rename`](Self::rename), to a name beneath another root of the same file system
    /// and the same [`Disk`]. Across file systems it fails with `CrossesDevices`.
    fn rename_into(&self, from: &Path, target: &dyn Root, to: &Path) -> io::Result<()>;
    /// Removes a file or symlink.
    fn remove_file(&self, name: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, name: &Path) -> io::Result<()>;
    /// Makes a symlink.
    fn symlink(&self, target: &str, name: &Path) -> io::Result<()>;
    /// The target of a symlink.
    fn read_link(&self, name: &Path) -> io::Result<std::ffi::OsString>;
    /// Makes a new file at `name` that shares its blocks with `source`; `Ok(false)` where the
    /// file system cannot.
    fn reflink(&self, source: &dyn DiskFile, name: &Path) -> io::Result<bool>;
    /// Makes the names in a directory survive a power cut.
    fn sync_dir(&self, name: &Path) -> io::Result<()>;
    /// Makes everything on this file system survive a power cut (`syncfs`).
    fn sync_all(&self) -> io::Result<()>;
    /// Takes the exclusive lock file at `name`, whose content becomes `holder`; gives the
    /// content that the present holder wrote if it is taken. The lock ends with the process.
    ///
    /// There is at most one lock in a directory: it holds even if its file is removed.
    fn lock(&self, name: &Path, holder: &str) -> io::Result<Result<Box<dyn DiskLock>, String>>;
    /// Lets nobody but the owner into this directory.
    fn make_private(&self) -> io::Result<()>;
    /// What kind of file system this is and how much room it has.
    fn file_system(&self) -> io::Result<FileSystem>;
    /// The implementation itself, so that another root of the same disk can know it.
    fn as_any(&self) -> &dyn Any;
}

/// A lock that is held until it is dropped.
pub trait DiskLock: Send + Sync {}

/// An open regular file. Reads and writes go by offset, so one handle serves many threads.
pub trait DiskFile: Send + Sync {
    /// Reads until `buffer` is full or the file ends; gives the bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Sets the length; a longer file gets a hole.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Gives or takes the right to execute, for those who may read.
    fn set_executable(&self, executable: bool) -> io::Result<()>;
    /// Which state of which file this is.
    fn identity(&self) -> io::Result<FileIdentity>;
    /// The first range with data at or behind `offset`; nothing if only a hole is left.
    fn next_data(&self, offset: u64) -> io::Result<Option<std::ops::Range<u64>>>;
    /// Makes the bytes and the length survive a power cut.
    fn sync(&self) -> io::Result<()>;
    /// Writes all of `parts`, one behind the other, as bytes that nobody is going to read soon:
    /// their way to the medium begins at once, and the system need not keep them in memory.
    /// They survive a power cut no sooner than others.
    fn write_behind(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()>;
    /// The descriptor, where there is one: for reflinks.
    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>>;
}
