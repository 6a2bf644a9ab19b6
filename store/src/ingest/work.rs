//! What the threads of one add share.
//!
//! Owns: the source, the shelf, and the list of what went wrong; once something did, the rest
//! of the files are only tried, so that the error can name all that cannot be read. Refuses:
//! order.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::chunking::Profile;
use shoal_protocol::manifest::Content;
use shoal_protocol::path::ManifestPath;

use super::AddMode;
use super::clone::Clones;
use super::cut::CutError;
use super::report::{AddError, PathList, Unusable};
use super::shelf::Shelf;
use super::walk::Walked;
use crate::StoreError;
use crate::disk::{DiskFile, FileIdentity, OpenMode, Root};
use crate::held::Held;
use crate::index::{FileClass, FileId, FileRow, FileState, RootId};
use crate::progress::{Note, Progress};

/// How often a file that changes is read.
pub(super) const ATTEMPTS_MAX: u32 = 3;
/// A file that last changed longer ago than this is on the medium: Linux writes back after 30
/// seconds, other systems sooner.
const WRITTEN_BACK_NS: i128 = 120_000_000_000;

/// All is well.
const FINE: u8 = 0;
/// Some file cannot be taken: the others are only tried.
const DOOMED: u8 = 1;
/// Nothing is done any more.
const FAILED: u8 = 2;

/// Shared by the threads of one add.
pub(super) struct Work<'a> {
    pub root: Arc<dyn Root>,
    pub root_id: RootId,
    pub entries: &'a [Walked],
    pub profile: Profile,
    pub segment_bytes: u64,
    pub mode: AddMode,
    pub shelf: Shelf<'a>,
    pub clones: Clones,
    pub progress: &'a dyn Progress,
    pub files_read: AtomicU64,
    pub state: AtomicU8,
    pub problems: Mutex<Problems>,
}

/// What went wrong.
#[derive(Default)]
pub(super) struct Problems {
    unusable: PathList<Unusable>,
    changing: PathList<ManifestPath>,
    fatal: Option<AddError>,
}

impl Problems {
    /// As the error of the add.
    pub(super) fn into_error(self) -> Option<AddError> {
        if self.fatal.is_some() {
            return self.fatal;
        }
        if !self.unusable.is_empty() {
            return Some(AddError::Unusable(self.unusable));
        }
        (!self.changing.is_empty()).then_some(AddError::Changing(self.changing))
    }
}

/// Why a file was not taken.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It changed while it was read: try again.
    Changed,
    /// It cannot be read.
    Unreadable(io::Error),
    /// The store failed.
    Store(StoreError),
    /// The add is doomed or cancelled, so nothing was done.
    Skipped,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CutError> for Trouble {
    fn from(error: CutError) -> Self {
        match error {
            CutError::Shrunk => Self::Changed,
            CutError::Io(error) => Self::of_source(error),
        }
    }
}

impl Trouble {
    /// The trouble that an error of the source's file system means.
    pub(super) fn of_source(error: io::Error) -> Self {
        match error.kind() {
            // It went, or became something else, since the walk.
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput => Self::Changed,
            _ => Self::Unreadable(error),
        }
    }
}

impl Work<'_> {
    /// Whether files are no longer taken in.
    pub(super) fn stopped(&self) -> bool {
        if self.progress.cancelled() {
            self.fail(AddError::Cancelled);
        }
        self.state.load(Ordering::Relaxed) != FINE
    }

    /// Whether files are not even tried any more.
    pub(super) fn failed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FAILED
    }

    /// Has everybody stop.
    pub(super) fn abandon(&self) {
        self.state.store(FAILED, Ordering::Relaxed);
    }

    /// Ends the add with this error.
    pub(super) fn fail(&self, error: AddError) {
        self.abandon();
        self.problems().fatal.get_or_insert(error);
    }

    /// Notes what the matter is with the file at `path`, after the last attempt.
    pub(super) fn trouble(&self, path: &ManifestPath, trouble: Trouble) {
        match trouble {
            Trouble::Skipped => return,
            Trouble::Store(error) => return self.fail(AddError::Store(error)),
            Trouble::Changed => self.problems().changing.push(path.clone()),
            Trouble::Unreadable(error) => return self.refuse(path, error.to_string()),
        }
        self.state.fetch_max(DOOMED, Ordering::Relaxed);
    }

    /// Notes that what stands at `path` cannot be part of a snapshot.
    pub(super) fn refuse(&self, path: &ManifestPath, why: String) {
        let path = path.as_str().into();
        self.problems().unusable.push(Unusable { path, why });
        self.state.fetch_max(DOOMED, Ordering::Relaxed);
    }

    /// Tells that a file is read again.
    pub(super) fn again(&self, path: &ManifestPath, attempt: u32) {
        let path = self.absolute(path);
        self.progress.note(Note::ChangedWhileRead { path, attempt });
    }

    /// Opens a file of the source.
    pub(super) fn open(
        &self,
        path: &ManifestPath,
    ) -> Result<(Arc<dyn DiskFile>, FileIdentity), Trouble> {
        let file = self
            .root
            .open(Path::new(path.as_str()), OpenMode::Read)
            .map_err(Trouble::of_source)?;
        let identity = file.identity().map_err(Trouble::of_source)?;
        Ok((file, identity))
    }

    /// Whether a file is as its row says and the store has what it holds.
    pub(super) fn is_unchanged(
        &self,
        row: &FileRow,
        identity: &FileIdentity,
    ) -> Result<bool, StoreError> {
        let needed = match self.mode {
            AddMode::Keep => Held::Kept,
            AddMode::InPlace => Held::Volatile,
        };
        Ok(row.is_of(identity) && self.shelf.has(&row.content, identity.size, needed)?)
    }

    /// Records the state of the source's file in which it had `content`.
    pub(super) fn record(
        &self,
        id: FileId,
        path: &ManifestPath,
        identity: FileIdentity,
        content: Content,
    ) {
        let now = now_ns();
        self.files_read.fetch_add(1, Ordering::Relaxed);
        self.shelf.put_file(FileRow {
            id,
            root: self.root_id,
            path: path.clone(),
            identity,
            content,
            class: FileClass::External,
            state: if now - identity.changed_ns > WRITTEN_BACK_NS {
                FileState::Trusted
            } else {
                FileState::Unsynced
            },
            settled: identity.is_settled(now),
        });
    }

    fn absolute(&self, path: &ManifestPath) -> PathBuf {
        self.root.path().join(path.as_str())
    }

    fn problems(&self) -> std::sync::MutexGuard<'_, Problems> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileRow {
    /// Whether the file is provably still in this state: the same identity, taken when it was
    /// old enough, and no power cut since that may have undone its bytes.
    pub(super) fn is_of(&self, identity: &FileIdentity) -> bool {
        self.settled && self.state != FileState::Suspect && self.identity == *identity
    }
}

/// Nanoseconds since the epoch.
fn now_ns() -> i128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as i128)
}
