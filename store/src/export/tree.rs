//! The directories of a destination.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::disk::{FileKind, Root};

/// Directories that are remembered as standing; beyond it the memory is cleared, and they
/// are looked at again.
const REMEMBERED_MAX: usize = 16_384;

/// Makes directories beneath a root, each once.
pub(crate) struct Tree {
    root: Arc<dyn Root>,
    made: RwLock<HashSet<PathBuf>>,
}

impl Tree {
    /// Beneath `root`.
    pub(crate) fn new(root: Arc<dyn Root>) -> Self {
        Self {
            root,
            made: RwLock::default(),
        }
    }

    /// Sees to it that the directory which `name` stands in exists.
    pub(crate) fn ensure_parent(&self, name: &Path) -> io::Result<()> {
        match name.parent() {
            Some(dir) if dir != Path::new("") => self.ensure(dir),
            _ => Ok(()),
        }
    }

    /// Sees to it that the directory `dir` exists, and is a real one.
    pub(crate) fn ensure(&self, dir: &Path) -> io::Result<()> {
        let known = self.made.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(dir) {
            return Ok(());
        }
        drop(known);
        self.root.create_dir(dir)?;
        let mut known = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(dir.to_owned());
        Ok(())
    }

    /// Removes `dir` and the directories above it as long as they are empty. Others, and
    /// the root, stay.
    pub(crate) fn remove_empty(&self, dir: &Path) {
        let mut known = self.made.write().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        for dir in dir.ancestors().take_while(|dir| *dir != Path::new("")) {
            if self.root.remove_dir(dir).is_err() {
                return;
            }
        }
    }

    /// The first directory on the way to `name` that is something else; nothing if the way
    /// is free, or not there yet.
    pub(crate) fn obstacle(&self, name: &Path) -> io::Result<Option<PathBuf>> {
        let mut above: Vec<_> = name.ancestors().skip(1).collect();
        above.pop();
        for dir in above.into_iter().rev() {
            match self.root.stat(dir)? {
                None => return Ok(None),
                Some(found) if found.kind == FileKind::Directory => {}
                Some(_) => return Ok(Some(dir.to_owned())),
            }
        }
        Ok(None)
    }
}
