//! Keeps the last bytes of a kept version when the file that holds them must go.
//!
//! Owns: the decision whether a file that shoal is about to replace or remove is the only
//! place of bytes that a kept version may need, and the moving of it to where nobody edits
//! it. Refuses: to copy; a move within a file system costs nothing. Where the store is on
//! another file system than the file, the side area is beside the destination, or, where
//! that is another one again, in it.
//!
//! When in doubt the file is kept: collection takes what no version needs.

mod adopt;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use shoal_protocol::id::ChunkId;
use shoal_protocol::manifest::Content;
use shoal_protocol::paged_list::{ChunkRef, Cursor, ReadError};
use shoal_protocol::path::ManifestPath;

use crate::Store;
use crate::disk::{FileIdentity, Root};
use crate::error::StoreError;
use crate::index::{AbsolutePath, Extent, FileClass, FileId, FileRow, FileState, Origin, RootId};
use crate::receive::ReceiveError;

pub(crate) use self::adopt::adopt;

/// The folder for owned files where they cannot be in the store.
pub(crate) const SIDE_AREA: &str = ".shoal-kept";
/// The folder for owned files in the store.
const STORE_AREA: &str = "files";

/// Whether a version is kept whose bytes may be files beneath `dest`: one that was added in
/// place there, or received there.
pub(crate) fn keeps_files_at(store: &Store, dest: &Path) -> Result<bool, StoreError> {
    let related = |path: &Path| path.starts_with(dest) || dest.starts_with(path);
    Ok(store.view().snapshots()?.iter().any(|row| {
        row.kept
            && match &row.origin {
                Origin::Added { path, in_place } => *in_place && related(path.as_path()),
                Origin::Received { dest } => related(dest.as_path()),
            }
    }))
}

/// A file in a side area.
pub(crate) struct Aside {
    root: Arc<dyn Root>,
    /// The path of `root`, unless that is the store itself.
    at: Option<AbsolutePath>,
    path: ManifestPath,
}

/// Moves the file that `row` speaks of, beneath `root`, to the side area, if it has the last
/// place of any of its chunks: one that the index knows no other place for, and that is not
/// found `elsewhere` either. Says whether it was moved.
pub(crate) fn rescue(
    store: &Store,
    root: &Arc<dyn Root>,
    row: FileRow,
    elsewhere: &dyn Fn(&ChunkId) -> bool,
) -> Result<bool, ReceiveError> {
    if !has_last_place(store, &row, elsewhere)? {
        return Ok(false);
    }
    let from = Path::new(row.path.as_str()).to_owned();
    let failed = |e| ReceiveError::disk(&root.path().join(&from), e);
    let aside = move_aside(store, root, &from, row.id).map_err(failed)?;
    // The index says so before anything else happens to the name, and not before a power cut
    // would find the file there. What is cut off in between is made up for by `adopt`.
    let recorded = aside.record(store, row);
    if recorded.is_err() {
        // Where it stood, the index finds it.
        let _ = (aside.root).rename_into(aside.name(), &**root, &from);
    }
    recorded?;
    Ok(true)
}

impl Aside {
    fn name(&self) -> &Path {
        Path::new(self.path.as_str())
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> StoreError {
        StoreError::io(self.root.path().join(self.name()))
    }

    /// Makes the index know that the file that `row` speaks of is here, for good.
    fn record(&self, store: &Store, row: FileRow) -> Result<(), StoreError> {
        let directory = self.name().parent().unwrap_or(Path::new(""));
        for directory in [directory, Path::new("")] {
            self.root.sync_dir(directory).map_err(self.failed())?;
        }
        let found = self.root.stat(self.name()).map_err(self.failed())?;
        let identity = found.ok_or_else(|| self.failed()(io::ErrorKind::NotFound.into()))?;
        let moved = |one: &FileIdentity| (one.device, one.inode, one.size, one.modified_ns);
        let batch = store.begin();
        let root = match &self.at {
            None => RootId::HOME,
            Some(path) => batch.root(path),
        };
        batch.put_file(FileRow {
            root,
            path: self.path.clone(),
            identity,
            class: FileClass::Owned,
            state: if moved(&row.identity) == moved(&identity) {
                row.state
            } else {
                FileState::Suspect
            },
            ..row
        });
        batch.commit(true)
    }
}

/// Moves a file to the first side area on its file system.
fn move_aside(store: &Store, root: &Arc<dyn Root>, from: &Path, id: FileId) -> io::Result<Aside> {
    let name = kept_name(id);
    let aside = |root: &Arc<dyn Root>, at, area: &str| Aside {
        root: root.clone(),
        at,
        path: ManifestPath::new(format!("{area}/{name}")).expect("a plain name"),
    };
    let home = store.home();
    home.create_dir(Path::new(STORE_AREA))?;
    let in_store = aside(home, None, STORE_AREA);
    match root.rename_into(from, &**home, in_store.name()) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {}
        done => return done.map(|()| in_store),
    }
    if let Some(parent) = root.path().parent()
        && let Ok(parent) = store.disk().root(parent, false)
        && parent.create_dir(Path::new(SIDE_AREA)).is_ok()
    {
        let beside = aside(&parent, AbsolutePath::new(parent.path()), SIDE_AREA);
        if (root.rename_into(from, &*parent, beside.name())).is_ok() {
            return Ok(beside);
        }
        let _ = parent.remove_dir(Path::new(SIDE_AREA));
    }
    root.create_dir(Path::new(SIDE_AREA))?;
    let inside = aside(root, AbsolutePath::new(root.path()), SIDE_AREA);
    root.rename(from, inside.name())?;
    Ok(inside)
}

/// What the file with this short name is called in a side area.
fn kept_name(id: FileId) -> String {
    format!("kept-{:x}", id.0)
}

/// The short name of a file that is called so in a side area.
pub(crate) fn kept_id(name: &OsStr) -> Option<FileId> {
    let id = name.to_str()?.strip_prefix("kept-")?;
    u64::from_str_radix(id, 16).ok().map(FileId)
}

fn has_last_place(
    store: &Store,
    row: &FileRow,
    elsewhere: &dyn Fn(&ChunkId) -> bool,
) -> Result<bool, ReceiveError> {
    let only_here = |id: &ChunkId| -> Result<bool, StoreError> {
        Ok(!elsewhere(id)
            && (store.chunk(id)?).is_some_and(|chunk| is_only_in(&chunk.extents, row.id)))
    };
    match row.content {
        Content::Empty => Ok(false),
        Content::Chunk(id) => Ok(only_here(&id)?),
        Content::List(list) => {
            let mut cursor = Cursor::<ChunkRef>::new(Some(list));
            loop {
                match cursor.next(store) {
                    Ok(Some(chunk)) if only_here(&chunk.item.id)? => return Ok(true),
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(false),
                    // What the file holds is no longer known: nothing needs it by chunk.
                    Err(ReadError::Missing(_)) => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

fn is_only_in(extents: &[Extent], file: FileId) -> bool {
    !extents.is_empty()
        && (extents.iter())
            .all(|extent| matches!(extent, Extent::File { file: id, .. } if *id == file))
}
