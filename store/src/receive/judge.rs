//! What may happen to the thing that stands where an entry belongs.
//!
//! Owns: the rule that shoal changes only what it wrote itself and nobody touched since,
//! unless the user forces it. Refuses: to change anything.

use std::io;
use std::path::Path;

use shoal_protocol::manifest::{Content, Entry, EntryKind};
use shoal_protocol::paged_list::{Cursor, ReadError};
use shoal_protocol::path::ManifestPath;

use super::resume::Base;
use super::{Receive, ReceiveError};
use crate::disk::{FileIdentity, FileKind};
use crate::index::{FileRow, FileState};

/// Changes of a file that a power cut may take back, in nanoseconds: file systems write them
/// after some seconds.
const LOST_NS_MAX: i128 = 3_600_000_000_000;

/// What is to be done about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing stands there.
    Free,
    /// What stands there is the entry.
    Keep,
    /// A file of the right length stands there: its bytes decide. If they are wrong, it may
    /// be changed only if it is `ours`.
    Check {
        /// Whether shoal wrote it, or the user forces.
        ours: bool,
    },
    /// Shoal wrote it, or the user forces: it makes way.
    Replace,
    /// The user changed or made it.
    Edited,
    /// A directory with things that shoal did not write.
    Clash,
}

impl Receive {
    /// Judges what stands at `name`, where an entry of this kind belongs, and gives its
    /// state.
    pub(super) fn judge(
        &self,
        name: &ManifestPath,
        kind: &EntryKind,
    ) -> Result<(Verdict, Option<FileIdentity>), ReceiveError> {
        if self.destination().fresh {
            return Ok((Verdict::Free, None));
        }
        self.judge_now(name, kind)
    }

    /// As [`Self::judge`], also where nothing stood at the beginning.
    pub(super) fn judge_now(
        &self,
        name: &ManifestPath,
        kind: &EntryKind,
    ) -> Result<(Verdict, Option<FileIdentity>), ReceiveError> {
        let Some(found) = self.look(Path::new(name.as_str()))? else {
            return Ok((Verdict::Free, None));
        };
        let verdict = match found.kind {
            FileKind::Regular => self.judge_file(name, kind, &found)?,
            FileKind::Directory => self.judge_directory(name, kind)?,
            FileKind::Symlink => self.judge_symlink(name, kind)?,
            FileKind::Special => self.unless_edited(false),
        };
        Ok((verdict, Some(found)))
    }

    /// What stands at `name`. What cannot be reached through real directories is not there.
    pub(super) fn look(&self, name: &Path) -> Result<Option<FileIdentity>, ReceiveError> {
        match self.destination().root.stat(name) {
            Ok(found) => Ok(found),
            Err(e) if is_obstructed(&e) => Ok(None),
            Err(e) => Err(self.destination().failed(name, e)),
        }
    }

    /// The row of the file at `name`, in whatever state the file was when it was recorded.
    pub(super) fn row_at(&self, name: &ManifestPath) -> Result<Option<FileRow>, ReceiveError> {
        let view = self.store.view();
        match view.root_id(self.root_path()) {
            Some(root) => Ok(view.file_at(root, name)?),
            None => Ok(None),
        }
    }

    fn judge_file(
        &self,
        name: &ManifestPath,
        kind: &EntryKind,
        found: &FileIdentity,
    ) -> Result<Verdict, ReceiveError> {
        let recorded = self.row_at(name)?;
        let torn = self.is_torn(name, recorded.as_ref(), found)?;
        let row = recorded.filter(|row| row.identity == *found);
        let EntryKind::File {
            executable,
            size,
            content,
        } = kind
        else {
            return self.judge_row(name, found, row.as_ref(), torn);
        };
        let same = row.as_ref().is_some_and(|row| row.content == *content);
        let sound = (row.as_ref()).is_some_and(|row| row.state != FileState::Suspect);
        if same && sound && found.executable == *executable {
            return Ok(Verdict::Keep);
        }
        if found.size == *size && *size > 0 && (same || row.is_none()) {
            let ours = same || torn || self.request.force;
            let earlier = !ours && self.judge_row(name, found, None, false)? == Verdict::Replace;
            return Ok(if earlier {
                Verdict::Replace
            } else {
                Verdict::Check { ours }
            });
        }
        if found.size == 0 && *size == 0 {
            return Ok(Verdict::Replace);
        }
        self.judge_row(name, found, row.as_ref(), torn)
    }

    /// Whether a file that must go may: shoal wrote it as it is, and it is not only known
    /// because the user added it where it stands.
    fn judge_row(
        &self,
        name: &ManifestPath,
        found: &FileIdentity,
        row: Option<&FileRow>,
        torn: bool,
    ) -> Result<Verdict, ReceiveError> {
        // A file whose times alone are not as they were recorded has its bytes to speak for it.
        let same = |size: u64, content: &Content| match row {
            Some(row) => row.content == *content,
            None => size == found.size && self.holds(name, size, content).unwrap_or(false),
        };
        let wrote = |entry: &Entry| match &entry.kind {
            EntryKind::File { size, content, .. } => entry.path == *name && same(*size, content),
            EntryKind::Symlink { .. } | EntryKind::EmptyDirectory => false,
        };
        let before = self.bases.iter().filter(|base| !base.ours);
        let ours = torn || self.request.force || self.has(before, name, wrote)?;
        Ok(self.unless_edited(ours))
    }

    /// Whether a file in a state that the index does not know is shoal's own, torn by a power
    /// cut. One that was safe on the medium is not: the user edited it.
    pub(super) fn is_torn(
        &self,
        name: &ManifestPath,
        recorded: Option<&FileRow>,
        found: &FileIdentity,
    ) -> Result<bool, ReceiveError> {
        let older = |booted| found.changed_ns < booted;
        if !self.store.disk().booted_ns().is_some_and(older) {
            return Ok(false);
        }
        match recorded {
            Some(row) if row.state == FileState::Suspect => {
                let wrote = |entry: &Entry| match &entry.kind {
                    EntryKind::File { content, .. } => {
                        entry.path == *name && *content == row.content
                    }
                    EntryKind::Symlink { .. } | EntryKind::EmptyDirectory => false,
                };
                Ok(went_back(&row.identity, found) && self.earlier(name, wrote)?)
            }
            Some(_) => Ok(false),
            // The receive that this one goes on from may have had no time to record it. Where an
            // earlier version had the file, that is not so: what replaces it is safe before.
            None if self.resumed.as_ref().is_some_and(|r| r.rebooted) => {
                let before = self.bases.iter().filter(|base| !base.ours);
                Ok(!self.has(before, name, |entry| entry.path == *name)?)
            }
            None => Ok(false),
        }
    }

    fn judge_symlink(
        &self,
        name: &ManifestPath,
        kind: &EntryKind,
    ) -> Result<Verdict, ReceiveError> {
        let target = self.link_target(name)?;
        if is_link_to(kind, &target) {
            return Ok(Verdict::Keep);
        }
        let ours = |kind: &EntryKind| is_link_to(kind, &target);
        let ours = self.earlier(name, |entry| entry.path == *name && ours(&entry.kind))?;
        Ok(self.unless_edited(ours))
    }

    fn judge_directory(
        &self,
        name: &ManifestPath,
        kind: &EntryKind,
    ) -> Result<Verdict, ReceiveError> {
        if *kind == EntryKind::EmptyDirectory {
            return Ok(Verdict::Keep);
        }
        // Whether it empties when the earlier version's files leave shows at the end.
        let ours = self.earlier(name, |entry| entry.path.is_within(name))?;
        Ok(if ours {
            Verdict::Replace
        } else {
            Verdict::Clash
        })
    }

    fn unless_edited(&self, ours: bool) -> Verdict {
        if ours || self.request.force {
            Verdict::Replace
        } else {
            Verdict::Edited
        }
    }

    /// The target of the symlink at `name`, as far as it is text.
    pub(super) fn link_target(&self, name: &ManifestPath) -> Result<String, ReceiveError> {
        let path = Path::new(name.as_str());
        let target = self.destination().root.read_link(path);
        let target = target.map_err(|e| self.destination().failed(path, e))?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// Whether a snapshot that was written here before has, at `name` or first behind it, an
    /// entry with this property; its path is given as it stands beneath the destination.
    fn earlier(
        &self,
        name: &ManifestPath,
        property: impl Fn(&Entry) -> bool,
    ) -> Result<bool, ReceiveError> {
        self.has(self.bases.iter(), name, property)
    }

    /// As [`Self::earlier`], for these of the snapshots.
    fn has<'a>(
        &self,
        bases: impl Iterator<Item = &'a Base>,
        name: &ManifestPath,
        property: impl Fn(&Entry) -> bool,
    ) -> Result<bool, ReceiveError> {
        for base in bases {
            if self
                .written(base, name)?
                .is_some_and(|(_, entry)| property(&entry))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The entry of an earlier snapshot that was written at `name`, or else the first one
    /// behind it, with the position of its bytes there and the path that it had beneath the
    /// destination. A lone file's name is its destination's, whatever the artifact calls it.
    pub(super) fn written(
        &self,
        base: &Base,
        name: &ManifestPath,
    ) -> Result<Option<(u64, Entry)>, ReceiveError> {
        let lone = self.destination().is_lone();
        let mut cursor = Cursor::<Entry>::new(base.snapshot.manifest);
        match &base.inside {
            Some(inside) if lone => cursor.seek_path(inside.clone()),
            Some(inside) => match ManifestPath::new(format!("{inside}/{name}")) {
                Ok(path) => cursor.seek_path(path),
                Err(_) => return Ok(None),
            },
            None if lone => {}
            None => cursor.seek_path(name.clone()),
        }
        let (position, mut entry) = match cursor.next(&self.store) {
            Ok(Some(placed)) => (placed.position, placed.item),
            Ok(None) | Err(ReadError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if lone {
            entry.path = name.clone();
        } else if let Some(inside) = &base.inside {
            let rest = entry.path.as_str().strip_prefix(inside.as_str());
            let Some(Ok(path)) = rest.map(|r| ManifestPath::new(r.trim_start_matches('/'))) else {
                return Ok(None);
            };
            entry.path = path;
        }
        Ok(Some((position, entry)))
    }
}

/// Whether `found` may be what a power cut left of a file that was in a `recorded` state: the
/// same file, not changed later, nor so long before that the clock must have been set back.
fn went_back(recorded: &FileIdentity, found: &FileIdentity) -> bool {
    let place = |one: &FileIdentity| (one.device, one.inode);
    let since = recorded.changed_ns - found.changed_ns;
    place(recorded) == place(found) && (0..=LOST_NS_MAX).contains(&since)
}

fn is_link_to(kind: &EntryKind, text: &str) -> bool {
    matches!(kind, EntryKind::Symlink { target } if target.as_str() == text)
}

/// Whether an error says that something on the way to a name is no directory.
pub(super) fn is_obstructed(error: &io::Error) -> bool {
    is_loop(error)
        || matches!(
            error.kind(),
            io::ErrorKind::NotADirectory | io::ErrorKind::NotFound
        )
}

/// Whether an error says that a directory stands where a file belongs, or the reverse.
pub(super) fn is_clash(error: &io::Error) -> bool {
    is_loop(error)
        || matches!(
            error.kind(),
            io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::AlreadyExists
        )
}

/// Whether a symlink stood on the way, which nothing here follows.
fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}
