//! The store's own directory.
//!
//! Owns: what stands in it, that it is a place for a store and ours alone, and who has it. Refuses: to
//! look into what is there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Disk, DiskLock, FileKind, Root};
use crate::error::{OpenError, StoreError};
use crate::store::StoreOptions;

const LOCK: &str = "lock";
/// A store that others look at is tried so often,
const LOOKS_MAX: u32 = 20;
/// after so long each time: longer than a look takes.
const LOOK: Duration = Duration::from_millis(10);
const DIRECTORIES: [&str; 3] = ["packs", "files", "tmp"];

/// A store's directory that no other process has open.
pub(crate) struct Home {
    pub(crate) root: Arc<dyn Root>,
    pub(crate) lock: Box<dyn DiskLock>,
}

/// Opens and locks the directory at `home`, made if it is not there.
pub(crate) fn claim(
    disk: &dyn Disk,
    home: &Path,
    options: &StoreOptions,
) -> Result<Home, OpenError> {
    let io = || StoreError::io(home);
    let root = disk.root(home, true).map_err(io())?;
    if let Some(kind) = root.file_system().map_err(io())?.network {
        return Err(OpenError::NetworkFileSystem {
            home: home.to_owned(),
            kind,
        });
    }
    let lock = take(|| root.lock(Path::new(LOCK), &options.holder))
        .map_err(io())?
        .map_err(|holder| OpenError::Busy {
            home: home.to_owned(),
            holder,
        })?;
    furnish(&*root).map_err(io())?;
    Ok(Home { root, lock })
}

/// Takes a lock by `attempt`, or says who has it. Whoever only [looks](holder) has it for a
/// moment too, and is waited for.
fn take<L>(
    mut attempt: impl FnMut() -> io::Result<Result<L, String>>,
) -> io::Result<Result<L, String>> {
    for _ in 0..LOOKS_MAX {
        if let Ok(lock) = attempt()? {
            return Ok(Ok(lock));
        }
        std::thread::sleep(LOOK);
    }
    attempt()
}

/// Who has the store in the directory `home` open, if anybody has.
pub fn holder(disk: &dyn Disk, home: &Path) -> Result<Option<String>, StoreError> {
    let io = || StoreError::io(home);
    let root = match disk.root(home, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        root => root.map_err(io())?,
    };
    if root.stat(Path::new(LOCK)).map_err(io())?.is_none() {
        return Ok(None);
    }
    let looks = format!(
        "a command that looks at it (process {})",
        std::process::id()
    );
    Ok(root.lock(Path::new(LOCK), &looks).map_err(io())?.err())
}

/// Makes the directories in it. A power cut may have come between making and syncing them,
/// so those that are missing from a store that is not new are made again.
fn furnish(root: &dyn Root) -> io::Result<()> {
    let mut missing = Vec::new();
    for directory in DIRECTORIES.map(Path::new) {
        if root.stat(directory)?.is_none() {
            missing.push(directory);
        }
    }
    if missing.len() == DIRECTORIES.len() {
        root.make_private()?;
    }
    for directory in &missing {
        root.create_dir(directory)?;
    }
    if !missing.is_empty() {
        root.sync_dir(Path::new(""))?;
    }
    empty(root, Path::new("tmp"))
}

/// Removes everything in a directory.
fn empty(root: &dyn Root, directory: &Path) -> io::Result<()> {
    for name in root.list(directory)? {
        let name = directory.join(name);
        match root.stat(&name)?.map(|found| found.kind) {
            Some(FileKind::Directory) => {
                empty(root, &name)?;
                root.remove_dir(&name)?;
            }
            Some(_) => root.remove_file(&name)?,
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn who_only_looks_at_a_store_keeps_nobody_from_opening_it() {
        let after = |refused: u32| {
            let mut attempts = 0;
            let attempt = || {
                attempts += 1;
                let is_free = attempts > refused;
                Ok(is_free.then_some(()).ok_or_else(|| "somebody".to_owned()))
            };
            take(attempt).unwrap()
        };
        assert_eq!(after(1), Ok(()));
        assert_eq!(after(LOOKS_MAX), Ok(()));
        assert_eq!(after(u32::MAX), Err("somebody".to_owned()));
    }
}
