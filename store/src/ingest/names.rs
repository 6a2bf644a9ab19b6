//! Names that will trouble someone: those that collide elsewhere, and those of clutter.
//!
//! Owns: which names some file systems take for one, and which folders are usually not data.
//! Refuses: to leave anything out; it only warns.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use icu_normalizer::DecomposingNormalizerBorrowed;
use shoal_protocol::path::ManifestPath;

use super::report::AddWarning;
use super::walk::{Walked, WalkedKind};

/// How many colliding pairs are named.
const COLLISIONS_NAMED_MAX: usize = 20;

/// Folders that tools make and that nobody means to version.
const CLUTTER: [&str; 8] = [
    ".venv",
    "venv",
    "__pycache__",
    "node_modules",
    "wandb",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".pytest_cache",
];

/// Pairs of names in one folder that differ only in case or in Unicode form.
#[derive(Debug, Default)]
pub(super) struct Collisions {
    pairs: Vec<(PathBuf, PathBuf)>,
    total: u64,
}

impl Collisions {
    /// Finds those among the `names` of one folder.
    pub(super) fn among(&mut self, folder: &Path, names: &[&str]) {
        let mut seen: HashMap<String, &str> = HashMap::with_capacity(names.len());
        for name in names {
            if let Some(first) = seen.insert(folded(name), name) {
                self.total += 1;
                if self.pairs.len() < COLLISIONS_NAMED_MAX {
                    self.pairs.push((folder.join(first), folder.join(name)));
                }
            }
        }
    }

    /// Takes in those of another folder.
    pub(super) fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.pairs.extend(other.pairs);
        self.pairs.truncate(COLLISIONS_NAMED_MAX);
    }

    /// As warnings.
    pub(super) fn into_warnings(mut self) -> Vec<AddWarning> {
        self.pairs.sort();
        let more = self.total - self.pairs.len() as u64;
        let mut warnings: Vec<_> = self
            .pairs
            .into_iter()
            .map(|(first, second)| AddWarning::Collision { first, second })
            .collect();
        if more > 0 {
            warnings.push(AddWarning::MoreCollisions { count: more });
        }
        warnings
    }
}

/// The name as file systems see it that ignore case and Unicode form.
fn folded(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(name);
    let lower = decomposed.to_lowercase();
    DecomposingNormalizerBorrowed::new_nfd()
        .normalize(&lower)
        .into_owned()
}

/// Folders of one well-known name.
#[derive(Debug)]
pub(super) struct Clutter {
    name: &'static str,
    example: ManifestPath,
    folders: u64,
    entries: u64,
    bytes: u64,
}

impl Clutter {
    /// A warning for each name of [`CLUTTER`] that folders in `entries` have. Of nested ones
    /// the outermost counts.
    pub(super) fn among(entries: &[Walked]) -> Vec<AddWarning> {
        let mut found: Vec<Clutter> = Vec::new();
        let mut current: Option<(String, usize)> = None;
        for entry in entries {
            let path = entry.path.as_str();
            let inside = current
                .as_ref()
                .is_some_and(|(dir, _)| path.starts_with(dir));
            if !inside {
                current = Self::open(&mut found, path);
            }
            if let Some((_, index)) = current {
                found[index].entries += 1;
                if let WalkedKind::File(identity) = &entry.kind {
                    found[index].bytes += identity.size;
                }
            }
        }
        found.into_iter().map(AddWarning::from).collect()
    }

    /// The clutter that `path` lies in: its folder with a slash, and its index in `found`.
    fn open(found: &mut Vec<Clutter>, path: &str) -> Option<(String, usize)> {
        let (dirs, _) = path.rsplit_once('/')?;
        let mut end = 0;
        for component in dirs.split('/') {
            end += component.len();
            if let Some(name) = CLUTTER.into_iter().find(|name| *name == component) {
                let index = found.iter().position(|clutter| clutter.name == name);
                let index = index.unwrap_or_else(|| {
                    found.push(Clutter {
                        name,
                        example: ManifestPath::new(&path[..end]).expect("a parent of a path"),
                        folders: 0,
                        entries: 0,
                        bytes: 0,
                    });
                    found.len() - 1
                });
                found[index].folders += 1;
                return Some((path[..=end].to_owned(), index));
            }
            end += 1;
        }
        None
    }
}

impl From<Clutter> for AddWarning {
    fn from(clutter: Clutter) -> Self {
        let Clutter {
            name,
            example,
            folders,
            entries,
            bytes,
        } = clutter;
        Self::Clutter {
            name,
            example,
            folders,
            entries,
            bytes,
        }
    }
}
