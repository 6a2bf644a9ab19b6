//! Which entries a folder has.
//!
//! Owns: the walk on all cores, what is left out and why, which names cannot be in a manifest,
//! and manifest order. Refuses: to open anything but folders and ignore files.
//!
//! Each folder is one job: it is listed, its names are sorted, and its own folders become jobs.
//! Read depth first, folders in which names are sorted bytewise give manifest order, so no list
//! of all paths is ever sorted.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use shoal_protocol::manifest::SymlinkTarget;
use shoal_protocol::path::ManifestPath;

use super::names::{Clutter, Collisions};
use super::report::{AddError, AddWarning, LeftOut, LeftOutReason, PathList, Unusable};
use super::rules::{IGNORE_FILES, Rules};
use super::workers;
use crate::disk::{FileIdentity, FileKind, Root};
use crate::progress::Progress;
use crate::side_area::SIDE_AREA;

/// How many left-out paths are named; the rest are counted.
const LEFT_OUT_NAMED_MAX: usize = 1000;
/// The suffix of shoal's own working files and folders in a destination.
const PARTIAL_SUFFIX: &str = ".shoal-partial";

/// One entry of a folder, before it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walked {
    /// Where it stands.
    pub path: ManifestPath,
    /// What it is.
    pub kind: WalkedKind,
}

impl Walked {
    /// How many bytes it will take in the space of positions, if it does not change.
    pub(super) fn size(&self) -> u64 {
        match &self.kind {
            WalkedKind::File(identity) => identity.size,
            WalkedKind::Symlink(_) | WalkedKind::EmptyDirectory => 0,
        }
    }
}

/// What a walked name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WalkedKind {
    /// A regular file in this state.
    File(FileIdentity),
    /// A symlink with this target.
    Symlink(SymlinkTarget),
    /// A folder of which nothing is added.
    EmptyDirectory,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The entries in manifest order.
    pub entries: Vec<Walked>,
    /// The first paths that were left out.
    pub left_out: Vec<LeftOut>,
    /// How many were.
    pub left_out_total: u64,
    /// What the user should hear.
    pub warnings: Vec<AddWarning>,
}

/// What a walk leaves out.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalkRules {
    /// Take `.git` and what ignore files name.
    pub all: bool,
    /// The store's own directory, by device and inode.
    pub home: Option<(u64, u64)>,
}

/// Walks everything beneath `root`.
pub(super) fn walk(
    root: &dyn Root,
    rules: WalkRules,
    progress: &dyn Progress,
) -> Result<Walk, AddError> {
    let walker = Walker {
        root,
        rules,
        progress,
        state: Mutex::new(State {
            folders: vec![Folder::default()],
            waiting: vec![Job {
                folder: 0,
                path: PathBuf::new(),
                depth: 0,
                rules: None,
            }],
            ..State::default()
        }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 1..workers() {
            scope.spawn(|| walker.work());
        }
        walker.work();
    });
    let state = walker
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if progress.cancelled() {
        return Err(AddError::Cancelled);
    }
    if !state.unusable.is_empty() {
        return Err(AddError::Unusable(state.unusable));
    }
    Ok(state.flatten())
}

struct Walker<'a> {
    root: &'a dyn Root,
    rules: WalkRules,
    progress: &'a dyn Progress,
    state: Mutex<State>,
    changed: Condvar,
}

/// A folder that is to be listed.
struct Job {
    folder: usize,
    path: PathBuf,
    depth: usize,
    rules: Option<Arc<Rules>>,
}

#[derive(Default)]
struct State {
    /// Folders by number; filled as they are listed.
    folders: Vec<Folder>,
    waiting: Vec<Job>,
    busy: usize,
    entries: u64,
    left_out: Vec<LeftOut>,
    left_out_total: u64,
    special: Option<(PathBuf, u64)>,
    collisions: Collisions,
    unusable: PathList<Unusable>,
}

/// What a folder holds, sorted by name.
#[derive(Default)]
struct Folder {
    children: Vec<Child>,
}

enum Child {
    Entry(Walked),
    /// A folder: its number, and its path in case it turns out to be empty.
    Folder(usize, ManifestPath),
}

/// What listing one folder gave, before it is put into the state.
#[derive(Default)]
struct Listing {
    children: Vec<Listed>,
    left_out: Vec<LeftOut>,
    special: Vec<PathBuf>,
    collisions: Collisions,
    unusable: Vec<Unusable>,
    rules: Option<Arc<Rules>>,
}

enum Listed {
    Entry(Walked),
    Folder(ManifestPath),
}

impl Walker<'_> {
    fn work(&self) {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = lock();
        loop {
            if let Some(job) = state.waiting.pop() {
                state.busy += 1;
                drop(state);
                let listing = if self.progress.cancelled() {
                    Listing::default()
                } else {
                    self.list(&job)
                };
                state = lock();
                state.busy -= 1;
                state.take(job, listing);
                self.progress.files(state.entries, None);
                self.changed.notify_all();
            } else if state.busy == 0 {
                return;
            } else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn list(&self, job: &Job) -> Listing {
        let mut listing = Listing::default();
        let mut names = match self.names(&job.path) {
            Ok(names) => names,
            Err(error) => {
                listing.unusable.push(Unusable {
                    path: job.path.clone(),
                    why: error.to_string(),
                });
                return listing;
            }
        };
        names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        listing.rules = self.rules_of(job, &names, &mut listing.unusable);
        let mut used: Vec<&str> = Vec::with_capacity(names.len());
        for (name, identity) in &names {
            let path = job.path.join(name);
            if let Some(why) = self.left_out(&path, name, identity, listing.rules.as_deref()) {
                if why == LeftOutReason::Special {
                    listing.special.push(path.clone());
                }
                listing.left_out.push(LeftOut { path, why });
                continue;
            }
            match self.listed(path, identity) {
                Ok(listed) => {
                    used.extend(name.to_str());
                    listing.children.push(listed);
                }
                Err(unusable) => listing.unusable.push(unusable),
            }
        }
        listing.collisions.among(&job.path, &used);
        listing
    }

    /// What a folder holds; names that vanish meanwhile are left out.
    fn names(&self, folder: &Path) -> io::Result<Vec<(OsString, FileIdentity)>> {
        let names = self.root.list(folder)?;
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            if let Some(identity) = self.root.stat(&folder.join(&name))? {
                found.push((name, identity));
            }
        }
        Ok(found)
    }

    fn rules_of(
        &self,
        job: &Job,
        names: &[(OsString, FileIdentity)],
        unusable: &mut Vec<Unusable>,
    ) -> Option<Arc<Rules>> {
        if self.rules.all {
            return None;
        }
        let present: Vec<&str> = IGNORE_FILES
            .into_iter()
            .filter(|file| {
                names
                    .binary_search_by(|(name, _)| name.as_os_str().cmp(file.as_ref()))
                    .is_ok()
            })
            .collect();
        Rules::read(self.root, &job.path, &present, job.rules.clone()).unwrap_or_else(
            |(path, why)| {
                unusable.push(Unusable { path, why });
                None
            },
        )
    }

    fn left_out(
        &self,
        path: &Path,
        name: &OsString,
        identity: &FileIdentity,
        rules: Option<&Rules>,
    ) -> Option<LeftOutReason> {
        let is_dir = identity.kind == FileKind::Directory;
        let is_home = self.rules.home == Some((identity.device, identity.inode));
        if is_dir && (is_home || is_store(self.root, path)) {
            return Some(LeftOutReason::Shoal);
        }
        let text = name.to_string_lossy();
        if text.ends_with(PARTIAL_SUFFIX) || text == SIDE_AREA {
            return Some(LeftOutReason::Shoal);
        }
        if name == ".git" && !self.rules.all {
            return Some(LeftOutReason::Git);
        }
        if let Some(file) = rules.and_then(|rules| rules.leaves_out(path, is_dir)) {
            return Some(LeftOutReason::Rule(file.to_owned()));
        }
        (identity.kind == FileKind::Special).then_some(LeftOutReason::Special)
    }

    fn listed(&self, path: PathBuf, identity: &FileIdentity) -> Result<Listed, Unusable> {
        let manifest_path = match path.to_str().map(ManifestPath::new) {
            Some(Ok(path)) => path,
            Some(Err(error)) => {
                return Err(Unusable {
                    path,
                    why: error.to_string(),
                });
            }
            None => {
                return Err(Unusable {
                    path,
                    why: "the name is not UTF-8".to_owned(),
                });
            }
        };
        let kind = match identity.kind {
            FileKind::Directory => return Ok(Listed::Folder(manifest_path)),
            FileKind::Symlink => match self.symlink(&path) {
                Ok(target) => WalkedKind::Symlink(target),
                Err(why) => return Err(Unusable { path, why }),
            },
            FileKind::Regular | FileKind::Special => WalkedKind::File(*identity),
        };
        Ok(Listed::Entry(Walked {
            path: manifest_path,
            kind,
        }))
    }

    fn symlink(&self, path: &Path) -> Result<SymlinkTarget, String> {
        let target = self.root.read_link(path).map_err(|e| e.to_string())?;
        let text = target.into_string();
        let text = text.map_err(|_| "the symlink's target is not UTF-8".to_owned())?;
        SymlinkTarget::new(text).map_err(|e| e.to_string())
    }
}

/// Whether a directory is a node's home: it has a secret key in it, which is nobody else's.
fn is_store(root: &dyn Root, path: &Path) -> bool {
    let has = |name: &str| {
        root.stat(&path.join(name))
            .is_ok_and(|found| found.is_some())
    };
    has("index.redb") && has("identity")
}

impl State {
    fn take(&mut self, job: Job, listing: Listing) {
        let mut children = Vec::with_capacity(listing.children.len());
        for listed in listing.children {
            children.push(match listed {
                Listed::Entry(entry) => {
                    self.entries += 1;
                    Child::Entry(entry)
                }
                Listed::Folder(path) => {
                    let folder = self.folders.len();
                    self.folders.push(Folder::default());
                    self.waiting.push(Job {
                        folder,
                        path: path.as_str().into(),
                        depth: job.depth + 1,
                        rules: listing.rules.clone(),
                    });
                    Child::Folder(folder, path)
                }
            });
        }
        self.folders[job.folder].children = children;
        self.left_out_total += listing.left_out.len() as u64;
        let room = LEFT_OUT_NAMED_MAX.saturating_sub(self.left_out.len());
        self.left_out
            .extend(listing.left_out.into_iter().take(room));
        for path in listing.special {
            self.special.get_or_insert((path, 0)).1 += 1;
        }
        self.collisions.merge(listing.collisions);
        for unusable in listing.unusable {
            self.unusable.push(unusable);
        }
    }

    /// The entries depth first.
    fn flatten(self) -> Walk {
        let mut walk = Walk {
            entries: Vec::with_capacity(self.entries as usize),
            left_out: self.left_out,
            left_out_total: self.left_out_total,
            warnings: self.collisions.into_warnings(),
        };
        if let Some((example, count)) = self.special {
            walk.warnings.push(AddWarning::Special { example, count });
        }
        let mut folders = self.folders;
        let mut open = vec![std::mem::take(&mut folders[0]).children.into_iter()];
        while let Some(children) = open.last_mut() {
            match children.next() {
                None => {
                    open.pop();
                }
                Some(Child::Entry(entry)) => walk.entries.push(entry),
                Some(Child::Folder(folder, path)) => {
                    let children = std::mem::take(&mut folders[folder]).children;
                    if children.is_empty() {
                        let kind = WalkedKind::EmptyDirectory;
                        walk.entries.push(Walked { path, kind });
                    } else {
                        open.push(children.into_iter());
                    }
                }
            }
        }
        walk.warnings.extend(Clutter::among(&walk.entries));
        walk
    }
}
