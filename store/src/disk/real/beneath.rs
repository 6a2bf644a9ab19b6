//! Names that resolve beneath an open directory and nowhere else.
//!
//! Owns: the resolution, by `openat2` (Linux 5.6) or else component by component, and the
//! directories that are kept open so that many files in few directories cost one system
//! call each. Refuses: `..`, absolute names, and symlinks anywhere in a name.
//!
//! A directory that is kept open stays the same one when somebody else moves it away and
//! puts another in its place. Whoever must see such changes opens a fresh
//! [`Root`](crate::disk::Root).

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Directories kept open below one root. More are opened and closed again.
const OPEN_DIRECTORIES_MAX: usize = 64;

pub(super) struct Beneath {
    root: Arc<OwnedFd>,
    open: Mutex<HashMap<PathBuf, Arc<OwnedFd>>>,
}

impl Beneath {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root: Arc::new(root),
            open: Mutex::default(),
        }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Opens what stands at `name`.
    pub(super) fn open(&self, name: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        // Creating is left to plain openat in the parent, which the cache makes one call too.
        let (dir, last) = super::split(name)?;
        self.within(dir, |dir| {
            rustix::fs::openat(dir, last, flags | OFlags::NOFOLLOW, mode)
        })
    }

    /// Opens a directory; an empty name is the root.
    pub(super) fn directory(&self, name: &Path) -> io::Result<Arc<OwnedFd>> {
        if name.as_os_str().is_empty() {
            return Ok(self.root.clone());
        }
        if let Some(fd) = self.kept().get(name) {
            return Ok(fd.clone());
        }
        let fd = Arc::new(resolve(&self.root, name)?);
        let mut kept = self.kept();
        if kept.len() >= OPEN_DIRECTORIES_MAX {
            kept.clear();
        }
        kept.insert(name.to_owned(), fd.clone());
        Ok(fd)
    }

    /// Does `operation` in a directory; once more with the directory opened afresh if the
    /// one that was kept open has been removed meanwhile.
    pub(super) fn within<T>(
        &self,
        name: &Path,
        operation: impl Fn(&OwnedFd) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let fd = self.directory(name)?;
        match operation(&fd) {
            Err(Errno::NOENT) if removed(&fd) && !name.as_os_str().is_empty() => {
                self.forget();
                Ok(operation(&*self.directory(name)?)?)
            }
            other => Ok(other?),
        }
    }

    /// Keeps no directory open any more.
    pub(super) fn forget(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Arc<OwnedFd>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn removed(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_nlink == 0)
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

#[cfg(target_os = "linux")]
fn resolve(root: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let contained = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, name, DIRECTORY, Mode::empty(), contained) {
        // An old kernel, or a container whose seccomp filter does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => walk(root, name),
        other => Ok(other?),
    }
}

#[cfg(not(target_os = "linux"))]
fn resolve(root: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    walk(root, name)
}

/// Opens a directory component by component, none of which may be a symlink.
fn walk(root: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    let mut at: Option<OwnedFd> = None;
    for component in name.components() {
        match component {
            Component::Normal(part) => {
                let dir = at.as_ref().unwrap_or(root);
                at = Some(rustix::fs::openat(dir, part, DIRECTORY, Mode::empty())?);
            }
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Errno::XDEV.into());
            }
        }
    }
    at.ok_or_else(|| Errno::INVAL.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn walking_refuses_what_openat2_refuses() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        let root = rustix::fs::open(dir.path(), DIRECTORY, Mode::empty()).unwrap();
        for (name, open) in [
            ("a/b", true),
            ("./a", true),
            ("link", false),
            ("link/b", false),
            ("../", false),
            ("a/../..", false),
            ("/tmp", false),
            ("none", false),
        ] {
            assert_eq!(walk(&root, Path::new(name)).is_ok(), open, "walk {name}");
            assert_eq!(resolve(&root, Path::new(name)).is_ok(), open, "{name}");
        }
    }
}
