//! One file on its way into the destination.
//!
//! Owns: the staging file, how many bytes are still missing, and the moment at which the
//! file gets its name. Refuses: to verify; what is written here has been.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use shoal_protocol::manifest::Content;
use shoal_protocol::path::ManifestPath;

use super::likeness::OldFile;
use crate::disk::ahead::Ahead;
use crate::disk::{DiskFile, FileIdentity, OpenMode, Root};
use crate::index::FileId;

/// What a target begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Nothing: its staging file is made with the first bytes.
    New,
    /// A staging file with bytes that may be right.
    Staged,
    /// A file under its final name, with bytes that may be right.
    Standing {
        /// Whether it may be changed if they are not: shoal wrote it, or the user forces.
        ours: bool,
    },
}

/// A file that is being put together.
pub(crate) struct Target {
    /// Its index in the manifest.
    pub(crate) index: u64,
    /// Its name beneath the root of the destination.
    pub(crate) name: ManifestPath,
    /// Where its bytes lie until they are whole.
    pub(crate) staged: PathBuf,
    /// Its length.
    pub(crate) size: u64,
    /// Whether its owner may execute it.
    pub(crate) executable: bool,
    /// Its bytes, by hash.
    pub(crate) content: Content,
    /// What it replaces, as it was when the receive decided that it may.
    pub(crate) replaces: Option<FileIdentity>,
    /// What it began with.
    pub(crate) start: Start,
    /// The file of an earlier version that it replaces, if that is known byte by byte.
    pub(crate) old: Option<Arc<OldFile>>,
    /// Its short name in the index, once it has one.
    pub(crate) id: OnceLock<FileId>,
    missing: AtomicU64,
    hand: Mutex<Hand>,
    /// Held while writing: the system lets one writer at a time at a file, and has the next
    /// one spin meanwhile, on a processor that has better things to do. A file that replaces
    /// another has to be on the medium before it takes its name, and is synced while it comes.
    writing: Mutex<Ahead>,
}

/// Where the file is now.
enum Hand {
    /// Not opened yet.
    Closed,
    /// In the staging area, open for writing.
    Staged(Arc<dyn DiskFile>),
    /// In the staging area, whole, and closed until it gets its name.
    Parked,
    /// Under its name from the start, open for reading: its bytes are being looked at.
    Standing(Arc<dyn DiskFile>),
    /// Whole, under its name, in this state.
    Placed(FileIdentity),
}

/// What a new [`Target`] is made of.
pub(crate) struct Blank {
    pub(crate) index: u64,
    pub(crate) name: ManifestPath,
    pub(crate) staged: PathBuf,
    pub(crate) size: u64,
    pub(crate) executable: bool,
    pub(crate) content: Content,
    pub(crate) replaces: Option<FileIdentity>,
    pub(crate) start: Start,
    pub(crate) old: Option<Arc<OldFile>>,
}

impl Target {
    /// A file of which nothing is in place yet.
    pub(crate) fn new(blank: Blank) -> Self {
        Self {
            missing: AtomicU64::new(blank.size),
            index: blank.index,
            name: blank.name,
            staged: blank.staged,
            size: blank.size,
            executable: blank.executable,
            content: blank.content,
            replaces: blank.replaces,
            start: blank.start,
            old: blank.old,
            id: OnceLock::new(),
            hand: Mutex::new(Hand::Closed),
            writing: Mutex::default(),
        }
    }

    /// The same file, begun again with a staging file that now exists.
    pub(crate) fn restaged(&self) -> Self {
        Self::new(Blank {
            index: self.index,
            name: self.name.clone(),
            staged: self.staged.clone(),
            size: self.size,
            executable: self.executable,
            content: self.content,
            replaces: self.replaces,
            start: Start::Staged,
            old: self.old.clone(),
        })
    }

    /// Its name as a path.
    pub(crate) fn path(&self) -> &Path {
        Path::new(self.name.as_str())
    }

    /// Where its bytes are now.
    pub(crate) fn place(&self) -> PathBuf {
        match (&*self.lock(), self.start) {
            (Hand::Placed(_) | Hand::Standing(_), _) | (Hand::Closed, Start::Standing { .. }) => {
                self.path().to_owned()
            }
            _ => self.staged.clone(),
        }
    }

    /// Whether it does not have its name yet, but lies in the staging area (or will).
    pub(crate) fn is_staged(&self) -> bool {
        match &*self.lock() {
            Hand::Staged(_) | Hand::Parked => true,
            Hand::Closed => !matches!(self.start, Start::Standing { .. }),
            Hand::Standing(_) | Hand::Placed(_) => false,
        }
    }

    /// Its state, if it is whole and has its name.
    pub(crate) fn placed(&self) -> Option<FileIdentity> {
        match &*self.lock() {
            Hand::Placed(identity) => Some(*identity),
            _ => None,
        }
    }

    /// Counts bytes that are in their place from now on. Says whether they were the last,
    /// which it does exactly once.
    pub(crate) fn landed(&self, bytes: u64) -> bool {
        self.missing.fetch_sub(bytes, Ordering::AcqRel) == bytes
    }

    /// Writes verified bytes. A stretch of zeros becomes a hole where nothing was written
    /// before.
    pub(crate) fn write(&self, root: &dyn Root, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.open(root, true)?;
        if self.start == Start::New && is_zero(bytes) {
            return file.set_len(self.size);
        }
        let mut ahead = self.ahead();
        file.write_at(offset, bytes)?;
        let synced = match self.replaces {
            Some(_) => ahead.wrote(&file, bytes.len() as u64),
            None => Ok(()),
        };
        synced.inspect_err(|_| self.discard(root))
    }

    /// Makes a stretch zero.
    pub(crate) fn write_zeros(&self, root: &dyn Root, offset: u64, length: u64) -> io::Result<()> {
        let file = self.open(root, true)?;
        if self.start == Start::New {
            return Ok(());
        }
        let zeros = vec![0; length.min(1 << 20) as usize];
        let mut at = 0;
        while at < length {
            let piece = (length - at).min(zeros.len() as u64);
            file.write_at(offset + at, &zeros[..piece as usize])?;
            at += piece;
        }
        Ok(())
    }

    /// Reads bytes that are in their place, or may be; gives how many there were.
    pub(crate) fn read(
        &self,
        root: &dyn Root,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        self.open(root, false)?.read_at(offset, buffer)
    }

    /// The first range with data at or behind `offset`.
    pub(crate) fn next_data(
        &self,
        root: &dyn Root,
        offset: u64,
    ) -> io::Result<Option<std::ops::Range<u64>>> {
        self.open(root, false)?.next_data(offset)
    }

    /// The state of the file as it stands now.
    pub(crate) fn identity(&self, root: &dyn Root) -> io::Result<FileIdentity> {
        if let Some(identity) = self.placed() {
            return Ok(identity);
        }
        self.open(root, false)?.identity()
    }

    /// Gives the file its name: all of its bytes are in their place. Where something stands
    /// already it fails with `AlreadyExists`, unless it `replaces` that.
    pub(crate) fn finish(&self, root: &dyn Root, replaces: bool) -> io::Result<()> {
        let file = self.open(root, false)?;
        let mut hand = self.lock();
        let standing = matches!(*hand, Hand::Standing(_));
        let executable = self.start != Start::New && file.identity()?.executable;
        if executable != self.executable {
            file.set_executable(self.executable)?;
        }
        match (standing, replaces) {
            (true, _) => {}
            (false, true) => root.rename(&self.staged, self.path())?,
            (false, false) => root.rename_new(&self.staged, self.path())?,
        }
        *hand = Hand::Placed(file.identity()?);
        Ok(())
    }

    /// Closes a whole file that cannot get its name yet.
    pub(crate) fn park(&self) {
        let mut hand = self.lock();
        if matches!(*hand, Hand::Staged(_)) {
            *hand = Hand::Parked;
        }
    }

    /// Makes a staged file survive a power cut. If that fails, nothing of it is left.
    pub(crate) fn sync(&self, root: &dyn Root) -> io::Result<()> {
        self.wait_for_syncs(root)?;
        let synced = self.open(root, true)?.sync();
        synced.inspect_err(|_| self.discard(root))?;
        self.park();
        Ok(())
    }

    /// Waits for the sync that was begun while the file came. If it failed, nothing of the
    /// file is left.
    pub(crate) fn wait_for_syncs(&self, root: &dyn Root) -> io::Result<()> {
        let synced = self.ahead().wait();
        synced.inspect_err(|_| self.discard(root))
    }

    /// Removes the staging file after a sync that failed: the system may have dropped any of
    /// its bytes, shows them until it forgets them, and does not say so again
    /// (<https://wiki.postgresql.org/wiki/Fsync_Errors>). They come anew next time.
    pub(crate) fn discard(&self, root: &dyn Root) {
        // Where even that fails, the error is told that led here.
        let _ = root.remove_file(&self.staged);
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a standing file back into the staging area, because some of its bytes are
    /// wrong; the right ones will be written there.
    pub(crate) fn take_back(&self, root: &dyn Root) -> io::Result<()> {
        let mut hand = self.lock();
        if matches!(*hand, Hand::Standing(_) | Hand::Closed) {
            root.rename(self.path(), &self.staged)?;
            let file = root.open(&self.staged, OpenMode::Write)?;
            file.set_len(self.size)?;
            *hand = Hand::Staged(file);
        }
        Ok(())
    }

    /// The open file; `write` says that it must be in the staging area.
    fn open(&self, root: &dyn Root, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut hand = self.lock();
        match (&*hand, self.start) {
            (Hand::Staged(file), _) => return Ok(file.clone()),
            (Hand::Standing(file), _) if !write => return Ok(file.clone()),
            (Hand::Standing(_), _) => {
                return Err(io::Error::other(
                    "the file was expected to be right as it is",
                ));
            }
            (Hand::Placed(_), _) => return root.open(self.path(), OpenMode::Read),
            (Hand::Parked, _) => {
                let file = root.open(&self.staged, OpenMode::Write)?;
                *hand = Hand::Staged(file.clone());
                return Ok(file);
            }
            (Hand::Closed, Start::Standing { .. }) => {
                let file = root.open(self.path(), OpenMode::Read)?;
                *hand = Hand::Standing(file.clone());
                return Ok(file);
            }
            (Hand::Closed, Start::New | Start::Staged) => {}
        }
        let file = if self.start == Start::New {
            root.open(&self.staged, OpenMode::CreateNew)?
        } else {
            root.open(&self.staged, OpenMode::Write)?
        };
        // A new file of one chunk gets its length from its only write.
        if self.start == Start::Staged || matches!(self.content, Content::List(_)) {
            file.set_len(self.size)?;
        }
        *hand = Hand::Staged(file.clone());
        Ok(file)
    }

    fn lock(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all of `bytes` are zero. Data that is not says so within its first words.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::disk::faulty::FaultyDisk;

    /// A directory on a disk that fails when told to, and a file that comes into it in the
    /// place of another, or of none.
    fn target(disk: &FaultyDisk, replaces: bool) -> (Arc<dyn Root>, Target) {
        let root = disk.root(Path::new("/d"), true).unwrap();
        let old = root.open(Path::new("f"), OpenMode::CreateNew).unwrap();
        let target = Target::new(Blank {
            index: 0,
            name: ManifestPath::new("f").unwrap(),
            staged: PathBuf::from("0"),
            size: 1 << 30,
            executable: false,
            content: Content::Empty,
            replaces: replaces.then(|| old.identity().unwrap()),
            start: Start::New,
            old: None,
        });
        (root, target)
    }

    fn write(root: &dyn Root, target: &Target, mebibytes: u64) -> io::Result<()> {
        let bytes = vec![1; 1 << 20];
        (0..mebibytes).try_for_each(|at| target.write(root, at << 20, &bytes))
    }

    #[test]
    fn a_file_that_replaces_another_is_synced_while_it_comes() {
        let is_begun = |mebibytes, replaces| {
            let (root, target) = target(&FaultyDisk::new(), replaces);
            write(&*root, &target, mebibytes).unwrap();
            target.ahead().is_begun()
        };
        assert!(!is_begun(63, true));
        assert!(is_begun(64, true));
        assert!(!is_begun(64, false), "nobody waits for that one");
    }

    #[test]
    fn what_a_sync_is_told_that_nobody_waits_for_is_not_lost() {
        for parks in [false, true] {
            let disk = FaultyDisk::new();
            let (root, target) = target(&disk, true);
            write(&*root, &target, 63).unwrap();
            disk.fail_sync();
            write(&*root, &target, 1).unwrap();
            if parks {
                target.park();
            }
            assert!(
                target.sync(&*root).is_err(),
                "the first sync was told, not this one"
            );
            assert_eq!(root.stat(Path::new("0")).unwrap().map(|_| ()), None);
        }
    }

    #[test]
    fn it_is_told_to_whoever_goes_on_writing() {
        let disk = FaultyDisk::new();
        let (root, target) = target(&disk, true);
        disk.fail_sync();
        write(&*root, &target, 64).unwrap();
        while !target.ahead().is_idle() {
            std::thread::yield_now();
        }
        assert!(write(&*root, &target, 64).is_err());
        assert_eq!(root.stat(Path::new("0")).unwrap().map(|_| ()), None);
    }
}
