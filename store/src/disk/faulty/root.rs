//! Roots and files of a [`FaultyDisk`].

use std::any::Any;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FaultyDisk;
use super::bytes::Change;
use super::world::{FileState, Number, Thing};
use crate::disk::{DiskFile, DiskLock, FileIdentity, FileKind, FileSystem, OpenMode, Root};

pub(super) struct FaultyRoot {
    disk: FaultyDisk,
    path: PathBuf,
    directory: Number,
}

impl FaultyRoot {
    pub(super) fn new(disk: FaultyDisk, path: &Path, directory: Number) -> Self {
        Self {
            disk,
            path: path.to_owned(),
            directory,
        }
    }

    /// Lets a name that is free stand for something new.
    fn make(&self, name: &Path, thing: Thing) -> io::Result<Number> {
        self.disk.power().change(|world| {
            let (directory, last) = world.resolve_parent(self.directory, name)?;
            if world.names(directory)?.contains_key(last) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let number = world.make(thing);
            world.rename(vec![(directory, last.to_owned(), Some(number))]);
            Ok(number)
        })
    }

    fn remove(&self, name: &Path, is_directory: bool) -> io::Result<()> {
        self.disk.power().change(|world| {
            let (directory, last) = world.resolve_parent(self.directory, name)?;
            let found = world.names(directory)?.get(last);
            let number = *found.ok_or(io::ErrorKind::NotFound)?;
            match (world.kind(number) == FileKind::Directory, is_directory) {
                (true, false) => return Err(io::ErrorKind::IsADirectory.into()),
                (false, true) => return Err(io::ErrorKind::NotADirectory.into()),
                (true, true) if !world.names(number)?.is_empty() => {
                    return Err(io::ErrorKind::DirectoryNotEmpty.into());
                }
                _ => {}
            }
            world.rename(vec![(directory, last.to_owned(), None)]);
            Ok(())
        })
    }

    fn find(&self, name: &Path) -> io::Result<Number> {
        self.disk.power().look()?.resolve(self.directory, name)
    }

    fn file(&self, number: Number) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile {
            disk: self.disk.clone(),
            number,
        })
    }
}

impl Root for FaultyRoot {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let found = self.find(name);
        let absent = matches!(&found, Err(e) if e.kind() == io::ErrorKind::NotFound);
        let number = match mode {
            OpenMode::CreateNew => self.make(name, Thing::File(FileState::default()))?,
            OpenMode::Create if absent => self.make(name, Thing::File(FileState::default()))?,
            OpenMode::Read | OpenMode::Write | OpenMode::Create => found?,
        };
        if self.disk.power().look()?.kind(number) != FileKind::Regular {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(self.file(number))
    }

    fn stat(&self, name: &Path) -> io::Result<Option<FileIdentity>> {
        match self.find(name) {
            Ok(number) => Ok(Some(self.disk.power().look()?.identity(number))),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn list(&self, name: &Path) -> io::Result<Vec<OsString>> {
        let directory = self.find(name)?;
        let power = self.disk.power();
        Ok(power.look()?.names(directory)?.keys().cloned().collect())
    }

    fn create_dir(&self, name: &Path) -> io::Result<()> {
        let mut made = PathBuf::new();
        for component in name.components() {
            made.push(component);
            let mut power = self.disk.power();
            match power.look()?.resolve(self.directory, &made) {
                Ok(number) if power.look()?.kind(number) == FileKind::Directory => {}
                Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => {
                    power.change(|world| world.make_directory(self.directory, &made))?;
                }
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_into(from, self, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.stat(to)? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => self.rename(from, to),
        }
    }

    fn rename_into(&self, from: &Path, target: &dyn Root, to: &Path) -> io::Result<()> {
        let target = target.as_any().downcast_ref::<Self>();
        let same_disk = |target: &&Self| Arc::ptr_eq(&target.disk.power, &self.disk.power);
        let Some(target) = target.filter(same_disk) else {
            return Err(io::ErrorKind::CrossesDevices.into());
        };
        self.disk.power().change(|world| {
            let (from_dir, from_last) = world.resolve_parent(self.directory, from)?;
            let (to_dir, to_last) = world.resolve_parent(target.directory, to)?;
            let found = world.names(from_dir)?.get(from_last);
            let number = *found.ok_or(io::ErrorKind::NotFound)?;
            if let Some(&there) = world.names(to_dir)?.get(to_last) {
                let from_directory = world.kind(number) == FileKind::Directory;
                match (from_directory, world.kind(there) == FileKind::Directory) {
                    (false, true) => return Err(io::ErrorKind::IsADirectory.into()),
                    (true, false) => return Err(io::ErrorKind::NotADirectory.into()),
                    (true, true) if !world.names(there)?.is_empty() => {
                        return Err(io::ErrorKind::DirectoryNotEmpty.into());
                    }
                    _ => {}
                }
            }
            world.rename(vec![
                (from_dir, from_last.to_owned(), None),
                (to_dir, to_last.to_owned(), Some(number)),
            ]);
            Ok(())
        })
    }

    fn remove_file(&self, name: &Path) -> io::Result<()> {
        self.remove(name, false)
    }

    fn remove_dir(&self, name: &Path) -> io::Result<()> {
        self.remove(name, true)
    }

    fn symlink(&self, target: &str, name: &Path) -> io::Result<()> {
        self.make(name, Thing::Symlink(target.to_owned()))?;
        Ok(())
    }

    fn read_link(&self, name: &Path) -> io::Result<OsString> {
        let number = self.find(name)?;
        match &self.disk.power().look()?.node(number).thing {
            Thing::Symlink(target) => Ok(target.into()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn reflink(&self, source: &dyn DiskFile, name: &Path) -> io::Result<bool> {
        // The trait gives no way back from a file to its number but its identity.
        let source = source.identity()?.inode;
        let copy = self.make(name, Thing::File(FileState::default()))?;
        self.disk.power().change(|world| {
            let bytes = world.file(source).bytes.clone();
            world.change(copy, Change::Replace(bytes))
        })?;
        Ok(true)
    }

    fn sync_dir(&self, name: &Path) -> io::Result<()> {
        self.disk.power().sync(|world| {
            let directory = world.resolve(self.directory, name)?;
            world.names(directory)?;
            world.sync_names(directory);
            Ok(())
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.power().sync(|world| {
            world.sync_all();
            Ok(())
        })
    }

    fn lock(&self, name: &Path, holder: &str) -> io::Result<Result<Box<dyn DiskLock>, String>> {
        let file = self.open(name, OpenMode::Create)?;
        let number = file.identity()?.inode;
        if !self.disk.power().world.locked.insert(number) {
            let mut text = vec![0; 256];
            let length = file.read_at(0, &mut text)?;
            text.truncate(length);
            return Ok(Err(String::from_utf8_lossy(&text).into_owned()));
        }
        let lock = FaultyLock {
            disk: self.disk.clone(),
            number,
        };
        file.set_len(0)?;
        file.write_at(0, holder.as_bytes())?;
        Ok(Ok(Box::new(lock)))
    }

    fn make_private(&self) -> io::Result<()> {
        self.disk.power().look().map(|_| ())
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        let power = self.disk.power();
        let world = power.look()?;
        Ok(FileSystem {
            network: None,
            read_only: false,
            free: match world.room {
                Some(room) => room.saturating_sub(world.used()),
                None => 1 << 40,
            },
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct FaultyLock {
    disk: FaultyDisk,
    number: Number,
}

impl DiskLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.disk.power().world.locked.remove(&self.number);
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    number: Number,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let power = self.disk.power();
        Ok(power.look()?.file(self.number).bytes.read(offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let change = Change::Write {
            offset,
            bytes: bytes.into(),
        };
        let mut power = self.disk.power();
        power.change(|world| world.change(self.number, change))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let change = Change::SetLength(length);
        let mut power = self.disk.power();
        power.change(|world| world.change(self.number, change))
    }

    fn set_executable(&self, executable: bool) -> io::Result<()> {
        self.disk.power().change(|world| {
            world.set_executable(self.number, executable);
            Ok(())
        })
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(self.disk.power().look()?.identity(self.number))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let power = self.disk.power();
        Ok(power.look()?.file(self.number).bytes.next_data(offset))
    }

    fn sync(&self) -> io::Result<()> {
        let mut power = self.disk.power();
        if std::mem::take(&mut power.fails_sync) {
            return Err(io::Error::other("the medium did not take it"));
        }
        power.sync(|world| {
            world.sync_file(self.number);
            Ok(())
        })
    }

    fn write_behind(&self, mut offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.write_at(offset, part)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
