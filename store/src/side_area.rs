//! Keeps the last bytes of a kept version when the file that holds them must go.
//!
//! Owns: the decision whether a file that shoal is about to replace or remove is the only
//! place of bytes that a kept version may need, and the moving of it to where nobody edits
//! it. Refuses: to copy; a move within a file system costs nothing. Where the store is on
//! another file system than the file, the side area is beside the destination, or, where
//! that is another one again, in it.
//!
//! When in doubt the file is kept: collection takes what no version needs.

use std::io;
use std::path::Path;
use std::sync::Arc;

use shoal_protocol::id::ChunkId;
use shoal_protocol::manifest::Content;
use shoal_protocol::paged_list::{ChunkRef, Cursor, ReadError};
use shoal_protocol::path::ManifestPath;

use crate::Store;
use crate::disk::Root;
use crate::error::StoreError;
use crate::index::{AbsolutePath, Extent, FileClass, FileId, FileRow, Origin, RootId};
use crate::receive::ReceiveError;

/// The folder for owned files where they cannot be in the store.
pub(crate) const SIDE_AREA: &str = ".shoal-kept";

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
    let name = format!("kept-{:x}", row.id.0);
    let failed = |e| ReceiveError::disk(&root.path().join(&from), e);
    let (side, side_root, path) = move_aside(store, root, &from, &name).map_err(failed)?;
    let identity = (side.stat(Path::new(path.as_str())).map_err(failed)?)
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let batch = store.begin();
    let root = match side_root {
        None => RootId::HOME,
        Some(path) => batch.root(&path),
    };
    batch.put_file(FileRow {
        root,
        path,
        identity,
        class: FileClass::Owned,
        ..row
    });
    // Before anything else happens to the name: a power cut must find the moved file.
    batch.commit(true)?;
    Ok(true)
}

/// Moves a file to the first side area on its file system. Gives the root that it is beneath
/// (nothing for the store's own) and its path there.
#[allow(clippy::type_complexity)]
fn move_aside(
    store: &Store,
    root: &Arc<dyn Root>,
    from: &Path,
    name: &str,
) -> io::Result<(Arc<dyn Root>, Option<AbsolutePath>, ManifestPath)> {
    let path = |text: String| ManifestPath::new(text).expect("a plain name");
    let home = store.home();
    let in_store = format!("files/{name}");
    home.create_dir(Path::new("files"))?;
    match root.rename_into(from, &**home, Path::new(&in_store)) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {}
        done => return done.map(|()| (home.clone(), None, path(in_store))),
    }
    let beside = format!("{SIDE_AREA}/{name}");
    if let Some(parent) = root.path().parent()
        && let Ok(parent) = store.disk().root(parent, false)
        && parent.create_dir(Path::new(SIDE_AREA)).is_ok()
    {
        if (root.rename_into(from, &*parent, Path::new(&beside))).is_ok() {
            let at = AbsolutePath::new(parent.path());
            return Ok((parent, at, path(beside)));
        }
        let _ = parent.remove_dir(Path::new(SIDE_AREA));
    }
    root.create_dir(Path::new(SIDE_AREA))?;
    root.rename(from, Path::new(&beside))?;
    Ok((root.clone(), AbsolutePath::new(root.path()), path(beside)))
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
