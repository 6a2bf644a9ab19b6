//! An open regular file of this machine.
//!
//! Owns: reading and writing by offset, and what counts as the identity of a file. Refuses:
//! `mmap`: a file that somebody truncates would kill the process.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{FileType, Mode, SeekFrom, Stat};
use rustix::io::Errno;

use super::behind;
use crate::disk::{DiskFile, FileIdentity, FileKind};

pub(super) struct RealFile(File);

impl RealFile {
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .0
                .read_at(&mut buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn set_executable(&self, executable: bool) -> io::Result<()> {
        let mode = rustix::fs::fstat(&self.0)?.st_mode & 0o777;
        let mode = if executable {
            mode | ((mode & 0o444) >> 2)
        } else {
            mode & !0o111
        };
        Ok(rustix::fs::fchmod(&self.0, Mode::from_raw_mode(mode))?)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(&rustix::fs::fstat(&self.0)?))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let size = rustix::fs::fstat(&self.0)?.st_size as u64;
        if offset >= size {
            return Ok(None);
        }
        let start = match rustix::fs::seek(&self.0, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // A file system that does not know its holes has none.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(offset..size)),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(&self.0, SeekFrom::Hole(start))?;
        Ok(Some(start..end))
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write_behind(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        behind::write(&self.0, offset, parts)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

// The fields of `stat` have other types on other systems.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(super) fn identity_of(stat: &Stat) -> FileIdentity {
    let nanoseconds = |seconds: i64, rest: u64| seconds as i128 * 1_000_000_000 + rest as i128;
    FileIdentity {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            _ => FileKind::Special,
        },
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        size: stat.st_size as u64,
        modified_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        changed_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        executable: stat.st_mode & 0o100 != 0,
        owner: stat.st_uid,
        allocated: stat.st_blocks as u64 * 512,
    }
}
