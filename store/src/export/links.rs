//! Symlinks that would lead out of the artifact.
//!
//! Such a link is written as it is, because its target is only text, but the user is told:
//! what follows it reads something else on another machine.

use shoal_protocol::path::ManifestPath;

/// Whether a link at `path` with this target leads out of the folder that `path` starts from.
pub(crate) fn escapes(path: &ManifestPath, target: &str) -> bool {
    if target.starts_with('/') {
        return true;
    }
    let mut depth = path.components().count() - 1;
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_above_the_folder_escape() {
        for (path, target, expected) in [
            ("link", "file", false),
            ("link", "../file", true),
            ("a/link", "../file", false),
            ("a/link", "../../file", true),
            ("a/b/link", "../c/../../x", false),
            ("a/b/link", "../c/../../../x", true),
            ("link", "/etc/passwd", true),
            ("link", "./x//y", false),
        ] {
            let path = ManifestPath::new(path).expect("safe");
            assert_eq!(escapes(&path, target), expected, "{path} -> {target}");
        }
    }
}
