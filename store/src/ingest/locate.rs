//! What the path that a user names leads to.
//!
//! Owns: following the path itself if it is a symlink, and telling folders from lone files.
//! Refuses: to follow anything beneath it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shoal_protocol::path::ManifestPath;

use super::report::{AddError, PathList, Unusable};
use crate::disk::{Disk, FileIdentity, FileKind, Root};
use crate::index::AbsolutePath;

/// As many as Linux follows (path_resolution(7)).
const SYMLINKS_MAX: usize = 40;

/// A folder or a file that is to be added.
pub(super) struct Located {
    /// The folder, or the one that the file is in.
    pub root: Arc<dyn Root>,
    /// The file, if it is a lone one.
    pub file: Option<(ManifestPath, FileIdentity)>,
    /// The path after symlinks at its end were followed.
    pub path: AbsolutePath,
    /// Whether there were any.
    pub followed: bool,
}

impl Located {
    /// What stands at `path`.
    pub(super) fn find(disk: &dyn Disk, path: &Path) -> Result<Self, AddError> {
        let mut at = AbsolutePath::new(path).ok_or_else(|| AddError::NotAbsolute(path.into()))?;
        for followed in 0..SYMLINKS_MAX {
            let followed = followed > 0;
            let (Some(parent), Some(name)) = (at.as_path().parent(), at.as_path().file_name())
            else {
                return Self::folder(disk, at, followed);
            };
            let root = disk
                .root(parent, false)
                .map_err(|e| not_found_or(e, path, parent))?;
            let name = Path::new(name);
            let identity = root
                .stat(name)
                .map_err(AddError::io(at.as_path()))?
                .ok_or_else(|| AddError::NotFound(path.into()))?;
            match identity.kind {
                FileKind::Directory => return Self::folder(disk, at, followed),
                FileKind::Special => return Err(AddError::NotAFileOrFolder(path.into())),
                FileKind::Regular => {
                    let name = manifest_name(name)?;
                    return Ok(Self {
                        root,
                        file: Some((name, identity)),
                        path: at,
                        followed,
                    });
                }
                FileKind::Symlink => {
                    let target = root.read_link(name).map_err(AddError::io(at.as_path()))?;
                    at = resolve(parent, Path::new(&target))
                        .ok_or_else(|| AddError::NotFound(path.into()))?;
                }
            }
        }
        Err(AddError::NotAFileOrFolder(path.into()))
    }

    fn folder(disk: &dyn Disk, path: AbsolutePath, followed: bool) -> Result<Self, AddError> {
        let root = disk
            .root(path.as_path(), false)
            .map_err(|e| not_found_or(e, path.as_path(), path.as_path()))?;
        Ok(Self {
            root,
            file: None,
            path,
            followed,
        })
    }
}

fn not_found_or(error: std::io::Error, named: &Path, opened: &Path) -> AddError {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory => AddError::NotFound(named.into()),
        _ => AddError::io(opened)(error),
    }
}

fn manifest_name(name: &Path) -> Result<ManifestPath, AddError> {
    let text = name
        .to_str()
        .ok_or_else(|| "the name is not UTF-8".to_owned());
    text.and_then(|text| ManifestPath::new(text).map_err(|e| e.to_string()))
        .map_err(|why| {
            let mut list = PathList::default();
            list.push(Unusable {
                path: name.into(),
                why,
            });
            AddError::Unusable(list)
        })
}

/// The target of a symlink in `parent`, with `..` taken out of the text: the part in front of
/// it is only wrong where it is a symlink itself, and then the path does not exist or the
/// user is told what was added.
fn resolve(parent: &Path, target: &Path) -> Option<AbsolutePath> {
    let mut path = PathBuf::new();
    for part in parent.join(target).components() {
        match part {
            std::path::Component::ParentDir => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    AbsolutePath::new(&path)
}
