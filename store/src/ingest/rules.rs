//! What ignore files leave out.
//!
//! Owns: `.shoalignore` and `.dvcignore` (gitignore syntax), and which of them has the last
//! word: the innermost, and in one folder shoal's own. Refuses: Git's ignore files; data is
//! often exactly what they name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::disk::{OpenMode, Root};

/// The names of ignore files; the first has the last word.
pub(super) const IGNORE_FILES: [&str; 2] = [".shoalignore", ".dvcignore"];
/// More bytes than any list of rules has.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// The rules of a folder and of those it lies in.
pub(super) struct Rules {
    files: Vec<(PathBuf, Gitignore)>,
    outer: Option<Arc<Rules>>,
}

impl Rules {
    /// The rules in the folder `dir` of `root`, inside `outer`; `present` are the ignore files
    /// that the folder has. Gives the file and what is wrong with it if it has no rules.
    pub(super) fn read(
        root: &dyn Root,
        dir: &Path,
        present: &[&'static str],
        outer: Option<Arc<Rules>>,
    ) -> Result<Option<Arc<Rules>>, (PathBuf, String)> {
        let mut files = Vec::new();
        for name in IGNORE_FILES.iter().filter(|name| present.contains(name)) {
            let path = dir.join(name);
            match parse(root, dir, &path) {
                Ok(rules) => files.push((path, rules)),
                Err(why) => return Err((path, why)),
            }
        }
        if files.is_empty() {
            return Ok(outer);
        }
        Ok(Some(Arc::new(Rules { files, outer })))
    }

    /// The ignore file that leaves `path` out, if one does.
    pub(super) fn leaves_out(&self, path: &Path, is_dir: bool) -> Option<&Path> {
        let mut rules = Some(self);
        while let Some(Rules { files, outer }) = rules {
            for (file, matcher) in files {
                match matcher.matched(path, is_dir) {
                    ignore::Match::Ignore(_) => return Some(file),
                    ignore::Match::Whitelist(_) => return None,
                    ignore::Match::None => {}
                }
            }
            rules = outer.as_deref();
        }
        None
    }
}

fn parse(root: &dyn Root, dir: &Path, path: &Path) -> Result<Gitignore, String> {
    let file = root.open(path, OpenMode::Read).map_err(|e| e.to_string())?;
    let size = file.identity().map_err(|e| e.to_string())?.size;
    if size > RULES_BYTES_MAX {
        return Err(format!("{size} bytes are too many for a list of rules"));
    }
    let mut bytes = vec![0; size as usize];
    let read = file.read_at(0, &mut bytes).map_err(|e| e.to_string())?;
    bytes.truncate(read);
    let text = String::from_utf8(bytes).map_err(|_| "the rules are not UTF-8".to_owned())?;
    let mut builder = GitignoreBuilder::new(dir);
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        builder
            .add_line(None, line)
            .map_err(|e| format!("line {}: {e}", i + 1))?;
    }
    builder.build().map_err(|e| e.to_string())
}
