//! The disk of this machine.
//!
//! Owns: containment beneath an open directory, and which system calls keep the promises
//! of [`super`]. Refuses: following a symlink, opening anything but a regular file, and
//! network file systems it can recognise ([`FileSystem::network`] names them).

mod behind;
mod beneath;
#[cfg(target_os = "linux")]
mod boot;
mod file;
mod network;

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use self::beneath::Beneath;
use self::file::{RealFile, identity_of};
use super::{Disk, DiskFile, DiskLock, FileIdentity, FileKind, FileSystem, OpenMode, Root};

/// The file systems of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl RealDisk {
    /// The disk, as [`Store::open`](crate::Store::open) wants it.
    pub fn shared() -> Arc<dyn Disk> {
        Arc::new(Self)
    }
}

impl Disk for RealDisk {
    fn root(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Root>> {
        if !path.is_absolute() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path is not absolute",
            ));
        }
        if create {
            make_directories(path)?;
        }
        // Symlinks are followed up to and including the root: the user chose that path.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Arc::new(RealRoot {
            path: path.to_owned(),
            beneath: Beneath::new(fd),
        }))
    }

    #[cfg(target_os = "linux")]
    fn boot(&self) -> Option<String> {
        boot::id()
    }

    #[cfg(target_os = "linux")]
    fn booted_ns(&self) -> Option<i128> {
        Some(boot::began_ns())
    }
}

/// Makes a directory and its parents, and makes those that are new survive a power cut.
fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else {
        return Err(Errno::INVAL.into());
    };
    make_directories(parent)?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| File::open(parent)?.sync_all()),
    }
}

struct RealRoot {
    path: PathBuf,
    beneath: Beneath,
}

impl RealRoot {
    /// Does `operation` in the open directory that holds the last component of `name`.
    fn at<T>(
        &self,
        name: &Path,
        operation: impl Fn(&OwnedFd, &OsStr) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let (dir, last) = split(name)?;
        self.beneath.within(dir, |fd| operation(fd, last))
    }

    fn make_dir(&self, name: &Path) -> io::Result<()> {
        match self.at(name, |dir, last| {
            rustix::fs::mkdirat(dir, last, Mode::from_raw_mode(0o777))
        }) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match self.stat(name)?.map(|found| found.kind) {
                    Some(FileKind::Directory) => Ok(()),
                    _ => Err(error),
                }
            }
            other => other,
        }
    }

    /// Renames by `call`, which is given both directories and both last components.
    fn rename_by(
        &self,
        from: &Path,
        target: &Self,
        to: &Path,
        call: impl Fn(&OwnedFd, &OsStr, &OwnedFd, &OsStr) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        let (to_dir, to_last) = split(to)?;
        self.at(from, |dir, last| {
            // The inner error is carried out as a value, so that a stale directory on one
            // side is not taken for one on the other.
            Ok((target.beneath).within(to_dir, |to_dir| call(dir, last, to_dir, to_last)))
        })?
    }

    /// For where no system call does both.
    fn look_and_rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.stat(to)? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => self.rename(from, to),
        }
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// The directory and the last component of a name.
fn split(name: &Path) -> io::Result<(&Path, &OsStr)> {
    match (name.parent(), name.file_name()) {
        (Some(dir), Some(last)) => Ok((dir, last)),
        _ => Err(Errno::INVAL.into()),
    }
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Root for RealRoot {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::Write => OFlags::RDWR,
            OpenMode::Create => OFlags::RDWR | OFlags::CREATE,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        // Without O_NONBLOCK a fifo would keep the open waiting for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = self.beneath.open(name, flags, Mode::from_raw_mode(0o666));
        let file = File::from(opened.map_err(|error| {
            if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
                not_regular()
            } else {
                error
            }
        })?);
        if mode != OpenMode::CreateNew {
            let stat = rustix::fs::fstat(&file)?;
            if identity_of(&stat).kind != FileKind::Regular {
                return Err(not_regular());
            }
        }
        Ok(Arc::new(RealFile::new(file)))
    }

    fn stat(&self, name: &Path) -> io::Result<Option<FileIdentity>> {
        if name.as_os_str().is_empty() {
            let stat = rustix::fs::fstat(self.beneath.root())?;
            return Ok(Some(identity_of(&stat)));
        }
        let stat = self.at(name, |dir, last| {
            rustix::fs::statat(dir, last, AtFlags::SYMLINK_NOFOLLOW)
        });
        Ok(absent_is_none(stat)?.map(|stat| identity_of(&stat)))
    }

    fn list(&self, name: &Path) -> io::Result<Vec<OsString>> {
        let fd = self.beneath.directory(name)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd)? {
            let entry = entry?;
            let bytes = entry.file_name().to_bytes();
            if bytes != b"." && bytes != b".." {
                names.push(OsStr::from_bytes(bytes).to_owned());
            }
        }
        Ok(names)
    }

    fn create_dir(&self, name: &Path) -> io::Result<()> {
        if name.as_os_str().is_empty() {
            return Ok(());
        }
        match self.make_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (parent, _) = split(name)?;
                if parent.as_os_str().is_empty() {
                    return Err(error);
                }
                self.create_dir(parent)?;
                self.make_dir(name)
            }
            other => other,
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_into(from, self, to)
    }

    #[cfg(target_os = "linux")]
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::RenameFlags;
        let renamed = self.rename_by(from, self, to, |dir, last, to_dir, to_last| {
            rustix::fs::renameat_with(dir, last, to_dir, to_last, RenameFlags::NOREPLACE)
        });
        match renamed {
            // Some file systems do not know the flag.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                self.look_and_rename(from, to)
            }
            other => other,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.look_and_rename(from, to)
    }

    fn rename_into(&self, from: &Path, target: &dyn Root, to: &Path) -> io::Result<()> {
        let Some(target) = target.as_any().downcast_ref::<Self>() else {
            return Err(io::ErrorKind::CrossesDevices.into());
        };
        self.rename_by(from, target, to, |dir, last, to_dir, to_last| {
            rustix::fs::renameat(dir, last, to_dir, to_last)
        })
    }

    fn remove_file(&self, name: &Path) -> io::Result<()> {
        self.at(name, |dir, last| {
            rustix::fs::unlinkat(dir, last, AtFlags::empty())
        })
    }

    fn remove_dir(&self, name: &Path) -> io::Result<()> {
        self.beneath.forget();
        self.at(name, |dir, last| {
            rustix::fs::unlinkat(dir, last, AtFlags::REMOVEDIR)
        })
    }

    fn symlink(&self, target: &str, name: &Path) -> io::Result<()> {
        self.at(name, |dir, last| rustix::fs::symlinkat(target, dir, last))
    }

    fn read_link(&self, name: &Path) -> io::Result<OsString> {
        let target = self.at(name, |dir, last| {
            rustix::fs::readlinkat(dir, last, Vec::new())
        })?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    #[cfg(target_os = "linux")]
    fn reflink(&self, source: &dyn DiskFile, name: &Path) -> io::Result<bool> {
        let Some(source) = source.descriptor() else {
            return Ok(false);
        };
        let copy = self.open(name, OpenMode::CreateNew)?;
        let copy = copy.descriptor().expect("a real file has a descriptor");
        let cloned = rustix::fs::ioctl_ficlone(copy, source);
        if cloned.is_err() {
            self.remove_file(name)?;
        }
        match cloned {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn reflink(&self, _source: &dyn DiskFile, _name: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn sync_dir(&self, name: &Path) -> io::Result<()> {
        let fd = self.beneath.directory(name)?;
        Ok(rustix::fs::fsync(&fd)?)
    }

    #[cfg(target_os = "linux")]
    fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(self.beneath.root())?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_all(&self) -> io::Result<()> {
        rustix::fs::sync();
        Ok(())
    }

    fn lock(&self, name: &Path, holder: &str) -> io::Result<Result<Box<dyn DiskLock>, String>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(self.beneath.open(name, flags, Mode::from_raw_mode(0o600))?);
        // Its directory is locked as well: whoever removes the file does not remove the lock.
        let (above, _) = split(name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened_anew = |above: &OwnedFd| rustix::fs::openat(above, ".", flags, Mode::empty());
        let directory = File::from(self.beneath.within(above, opened_anew)?);
        for locked in [&directory, &file] {
            match rustix::fs::flock(locked, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(Err(holder_of(&file)?)),
                Err(error) => return Err(error.into()),
            }
        }
        file.set_len(0)?;
        file.write_all_at(holder.as_bytes(), 0)?;
        Ok(Ok(Box::new(RealLock([directory, file]))))
    }

    fn make_private(&self) -> io::Result<()> {
        Ok(rustix::fs::fchmod(
            self.beneath.root(),
            Mode::from_raw_mode(0o700),
        )?)
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        let room = rustix::fs::fstatvfs(self.beneath.root())?;
        Ok(FileSystem {
            network: network::kind(self.beneath.root().as_fd())?,
            read_only: room.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
            free: room.f_bavail.saturating_mul(room.f_frsize),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What the process that has a lock wrote into it, as far as it is text of a sane length.
fn holder_of(file: &File) -> io::Result<String> {
    let mut text = [0; 256];
    let read = file.read_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text[..read]).trim().to_owned();
    Ok(if text.is_empty() {
        "another process".to_owned()
    } else {
        text
    })
}

/// The lock lies on the open file and goes with it.
struct RealLock(#[expect(dead_code, reason = "held, never used")] [File; 2]);

impl DiskLock for RealLock {}

#[cfg(test)]
mod tests;
