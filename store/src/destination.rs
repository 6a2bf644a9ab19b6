//! Where an artifact is written to: what DEST means, what stands there, and who may write.
//!
//! Owns: the resolving of DEST as the user wrote it, the names that shoal needs beside the
//! artifact while it writes, and the lock that keeps two writers apart. Refuses: to follow
//! anything that stands inside DEST.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use shoal_protocol::id::SnapshotId;
use shoal_protocol::path::{COMPONENT_BYTES_MAX, ManifestPath};
use shoal_protocol::snapshot::Shape;

use crate::disk::{Disk, DiskLock, FileKind, Root};
use crate::index::AbsolutePath;
use crate::receive::{Paths, ReceiveError};
use crate::side_area::SIDE_AREA;

/// The folder in a destination that holds what is not whole yet. Ingest leaves it out.
pub const STAGING: &str = ".shoal-partial";
/// The file in the staging folder that tells other writers to keep out.
const LOCK: &str = "lock";
/// Symbolic links that a path may lead through, as in Linux.
const LINKS_MAX: usize = 40;

/// The place that `path` stands for once every symbolic link in it is followed. What does
/// not exist yet is kept as it is written.
pub fn resolve(disk: &dyn Disk, path: &Path) -> io::Result<AbsolutePath> {
    let mut done = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            done.pop();
            continue;
        }
        match link_target(disk, &done, &name) {
            None => done.push(name),
            Some(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(io::ErrorKind::TooManyLinks.into());
                }
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                for name in names(&target).into_iter().rev() {
                    rest.push_front(name);
                }
            }
        }
    }
    AbsolutePath::new(&done).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Where the symbolic link `name` in `dir` points to. Nothing for all that is not a link, or
/// that may not be looked at: opening it later says why.
fn link_target(disk: &dyn Disk, dir: &Path, name: &OsString) -> Option<PathBuf> {
    let root = disk.root(dir, false).ok()?;
    let found = root.stat(Path::new(name)).ok()??;
    (found.kind == FileKind::Symlink)
        .then(|| root.read_link(Path::new(name)).ok())?
        .map(PathBuf::from)
}

/// A destination that is held against other writers.
pub(crate) struct Destination {
    /// The place itself, resolved.
    pub(crate) dest: AbsolutePath,
    /// The directory that all names start from: the folder itself, or that of the lone file.
    pub(crate) root: Arc<dyn Root>,
    /// Whether nothing but what shoal staged stood there.
    pub(crate) fresh: bool,
    shape: Shape,
    /// The name that a lone file gets.
    lone: Option<ManifestPath>,
    /// The part of the snapshot that is written.
    inside: Option<ManifestPath>,
    staging: PathBuf,
    staged: PathBuf,
    made: bool,
    _lock: Box<dyn DiskLock>,
}

impl Destination {
    /// Opens `dest` for an artifact of this shape and takes its lock. A folder, and the
    /// directories above, are made if they are missing.
    pub(crate) fn open(
        disk: &dyn Disk,
        dest: &AbsolutePath,
        shape: Shape,
        inside: Option<ManifestPath>,
        snapshot: &SnapshotId,
        holder: &str,
    ) -> Result<Self, ReceiveError> {
        let path = dest.as_path();
        let at = |source| ReceiveError::disk(path, source);
        let found = found_at(disk, path).map_err(at)?;
        let (root, lone, staging) = match shape {
            Shape::Folder => {
                if found.is_some_and(|kind| kind != FileKind::Directory) {
                    return Err(wrong_shape(path, "file", "folder"));
                }
                let root = disk.root(path, true).map_err(at)?;
                (root, None, PathBuf::from(STAGING))
            }
            Shape::File => {
                if found == Some(FileKind::Directory) {
                    return Err(wrong_shape(path, "folder", "file"));
                }
                let parent = path.parent().unwrap_or(Path::new("/"));
                let root = disk.root(parent, true).map_err(at)?;
                let name = lone_name(path).ok_or_else(|| at(io::ErrorKind::InvalidInput.into()))?;
                let staging = lone_staging(name.as_str());
                (root, Some(name), staging)
            }
        };
        root.create_dir(&staging).map_err(at)?;
        let lock = match root.lock(&staging.join(LOCK), holder).map_err(at)? {
            Ok(lock) => lock,
            Err(holder) => {
                return Err(ReceiveError::DestinationBusy {
                    dest: path.to_owned(),
                    holder,
                });
            }
        };
        let staged = staging.join(&hex_of(snapshot)[..16]);
        root.create_dir(&staged).map_err(at)?;
        let fresh = match &lone {
            Some(_) => found.is_none(),
            None => found.is_none() || root.list(Path::new("")).map_err(at)?.len() == 1,
        };
        Ok(Self {
            dest: dest.clone(),
            root,
            fresh,
            shape,
            lone,
            inside,
            staging,
            staged,
            made: found.is_none(),
            _lock: lock,
        })
    }

    /// Whether it is one file, not a folder.
    pub(crate) fn is_lone(&self) -> bool {
        self.lone.is_some()
    }

    /// The name beneath the root that an entry of the snapshot gets.
    pub(crate) fn name(&self, entry: ManifestPath) -> ManifestPath {
        if let Some(lone) = &self.lone {
            return lone.clone();
        }
        let Some(inside) = &self.inside else {
            return entry;
        };
        let rest = entry
            .as_str()
            .get(inside.as_str().len() + 1..)
            .expect("an entry inside a folder has a longer path");
        ManifestPath::new(rest).expect("what follows a component of a path is a path")
    }

    /// Whether a name is one that shoal needs for itself.
    pub(crate) fn reserves(&self, name: &ManifestPath) -> bool {
        let first = name.components().next();
        self.shape == Shape::Folder && [Some(STAGING), Some(SIDE_AREA)].contains(&first)
    }

    /// Where the bytes of the entry with this index lie until they are whole.
    pub(crate) fn staged(&self, index: u64) -> PathBuf {
        self.staged.join(format!("{index:x}"))
    }

    /// The indexes of the entries that an earlier receive left unfinished.
    pub(crate) fn staged_indexes(&self) -> Result<Vec<u64>, ReceiveError> {
        let names = self.root.list(&self.staged);
        let names = names.map_err(|e| self.failed(&self.staged, e))?;
        Ok(names
            .iter()
            .filter_map(|name| u64::from_str_radix(name.to_str()?, 16).ok())
            .collect())
    }

    /// The names that stand in the folder; at most as many as an error lists.
    pub(crate) fn standing(&self) -> Result<Paths, ReceiveError> {
        let mut paths = Paths::default();
        if let Some(lone) = &self.lone {
            paths.push(lone.as_str());
            return Ok(paths);
        }
        let names = self.root.list(Path::new(""));
        for name in names.map_err(|e| self.failed(Path::new(""), e))? {
            if name != STAGING {
                paths.push(name.to_string_lossy());
            }
        }
        Ok(paths)
    }

    /// Whether this file system takes names that differ in case for one.
    pub(crate) fn folds_case(&self) -> bool {
        let text = self.staging.to_string_lossy();
        let upper = PathBuf::from(text.to_uppercase());
        matches!(self.root.stat(&upper), Ok(Some(_)))
    }

    /// The full path of a name, for messages.
    pub(crate) fn full(&self, name: &Path) -> PathBuf {
        self.root.path().join(name)
    }

    /// The error for an operation on `name` that the file system refused.
    pub(crate) fn failed(&self, name: &Path, source: io::Error) -> ReceiveError {
        ReceiveError::disk(&self.full(name), source)
    }

    /// Removes what was staged, also by receives that this one supersedes.
    pub(crate) fn clear_staging(&self) -> Result<(), ReceiveError> {
        remove_tree(&*self.root, &self.staging).map_err(|e| self.failed(&self.staging, e))
    }

    /// Takes back what opening made, where nothing was written to it.
    pub(crate) fn abandon(&self, disk: &dyn Disk) {
        let nothing_staged = self.staged_indexes().is_ok_and(|staged| staged.is_empty());
        if !nothing_staged || self.clear_staging().is_err() {
            return;
        }
        let path = self.dest.as_path();
        if let (true, Some(parent), Some(name)) = (self.made, path.parent(), path.file_name()) {
            // It fails where something stands in it after all, and that is right.
            let _ = disk
                .root(parent, false)
                .and_then(|parent| parent.remove_dir(Path::new(name)));
        }
    }
}

fn remove_tree(root: &dyn Root, dir: &Path) -> io::Result<()> {
    for name in root.list(dir)? {
        let name = dir.join(name);
        match root.stat(&name)? {
            Some(found) if found.kind == FileKind::Directory => remove_tree(root, &name)?,
            Some(_) => root.remove_file(&name)?,
            None => {}
        }
    }
    root.remove_dir(dir)
}

fn found_at(disk: &dyn Disk, path: &Path) -> io::Result<Option<FileKind>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Some(FileKind::Directory));
    };
    match disk.root(parent, false) {
        Ok(root) => Ok(root.stat(Path::new(name))?.map(|found| found.kind)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn wrong_shape(dest: &Path, found: &'static str, wanted: &'static str) -> ReceiveError {
    ReceiveError::WrongShape {
        dest: dest.to_owned(),
        found,
        wanted,
    }
}

fn lone_name(path: &Path) -> Option<ManifestPath> {
    ManifestPath::new(path.file_name()?.to_str()?).ok()
}

/// `.NAME.shoal-partial`, shortened where that would be too long for a file system.
fn lone_staging(name: &str) -> PathBuf {
    let room = COMPONENT_BYTES_MAX - STAGING.len() - 1;
    if name.len() <= room {
        return format!(".{name}{STAGING}").into();
    }
    let hash = hex_of(&SnapshotId::of(name.as_bytes()));
    format!(".{}{STAGING}", &hash[..32]).into()
}

fn hex_of(id: &SnapshotId) -> String {
    let text = id.to_string();
    text[SnapshotId::PREFIX.len() + 1..].to_owned()
}
