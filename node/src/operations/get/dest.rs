//! Where a get goes.
//!
//! Owns: the rules of DESIGN §10: a folder's contents become DEST's; a file becomes DEST, or
//! lands in it where DEST is a folder; without DEST it is `./<name>`. A name that somebody
//! else chose becomes one harmless component.

use std::path::{Path, PathBuf};

use shoal_protocol::id::SnapshotId;
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::Shape;

use crate::resolve::absolute;

/// What was asked for, before it is known whether it is a file or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    /// Absolute.
    path: PathBuf,
    /// Whether `path` is where a lone file lands in if it is (or was written as) a folder;
    /// not so for a name that we chose.
    given: bool,
    /// Whether it was written with a slash at its end.
    slash: bool,
    /// What a file is called that lands in a folder.
    name: String,
}

/// Where the name of a thing may come from, best first.
pub(super) struct Names<'a> {
    pub(super) inside: Option<&'a ManifestPath>,
    pub(super) name: Option<&'a str>,
    pub(super) snapshot: &'a SnapshotId,
}

impl Wish {
    pub(super) fn new(cwd: &Path, dest: Option<&Path>, names: Names<'_>) -> Self {
        let inside = names.inside.map(ManifestPath::file_name);
        let name = inside
            .or(names.name.and_then(|name| name.rsplit('/').next()))
            .filter(|name| is_harmless(name))
            .map_or_else(|| names.snapshot.short(), str::to_owned);
        match dest {
            Some(dest) => Self {
                path: absolute(cwd, dest),
                given: true,
                slash: dest.as_os_str().as_encoded_bytes().ends_with(b"/"),
                name,
            },
            None => Self {
                path: absolute(cwd, Path::new(&name)),
                given: false,
                slash: false,
                name,
            },
        }
    }

    /// The place, now that it is known what is to stand there. Looks whether a given DEST is
    /// a folder. An artifact that is one file knows best what that one is called: `lone`.
    pub(super) fn resolve(&self, shape: Shape, lone: Option<&str>) -> PathBuf {
        let name = lone.filter(|name| is_harmless(name)).unwrap_or(&self.name);
        match shape {
            Shape::Folder => self.path.clone(),
            Shape::File if self.slash || self.given && self.path.is_dir() => self.path.join(name),
            Shape::File if self.given => self.path.clone(),
            Shape::File => self.path.with_file_name(name),
        }
    }
}

/// Whether a name that comes with a ticket may become one here: one component, and not
/// hidden, so that nobody finds a `.bashrc` that he did not ask for.
fn is_harmless(name: &str) -> bool {
    !name.starts_with('.')
        && ManifestPath::new(name).is_ok_and(|path| path.components().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(dest: Option<&str>, name: Option<&str>, inside: Option<&str>) -> Wish {
        let inside = inside.map(|inside| ManifestPath::new(inside).expect("a path"));
        let names = Names {
            inside: inside.as_ref(),
            name,
            snapshot: &SnapshotId::of(b"x"),
        };
        Wish::new(Path::new("/work"), dest.map(Path::new), names)
    }

    #[test]
    fn without_dest_it_is_the_name_here() {
        let check = |name, inside, expect: &str| {
            let place = wish(None, name, inside).resolve(Shape::Folder, None);
            assert_eq!(place, Path::new(expect));
        };
        check(Some("data"), None, "/work/data");
        check(Some("lab/data"), None, "/work/data");
        check(Some("data"), Some("a/b.txt"), "/work/b.txt");
        let id = SnapshotId::of(b"x").short();
        for bad in ["..", ".bashrc", "", "a\0b"] {
            check(Some(bad), None, &format!("/work/{id}"));
        }
        check(None, None, &format!("/work/{id}"));
        let named = wish(None, Some("lab/set"), None);
        let place = named.resolve(Shape::File, Some("data.csv"));
        assert_eq!(place, Path::new("/work/data.csv"));
    }

    #[test]
    fn a_file_lands_in_a_folder_and_a_folder_becomes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let dest = folder.path().to_str().expect("text");
        let wish_it = wish(Some(dest), Some("f"), None);
        assert_eq!(wish_it.resolve(Shape::File, None), folder.path().join("f"));
        let lone = wish_it.resolve(Shape::File, Some("data.csv"));
        assert_eq!(lone, folder.path().join("data.csv"));
        let hidden = wish_it.resolve(Shape::File, Some(".bashrc"));
        assert_eq!(hidden, folder.path().join("f"));
        assert_eq!(wish_it.resolve(Shape::Folder, None), folder.path());
        let new = wish(Some("new"), Some("f"), None);
        assert_eq!(
            new.resolve(Shape::File, Some("data.csv")),
            Path::new("/work/new")
        );
        let slash = wish(Some("new/"), Some("f"), None);
        assert_eq!(slash.resolve(Shape::File, None), Path::new("/work/new/f"));
    }
}
