//! Whether a home is a copy of another.
//!
//! Owns: the note of the directory that a home was last used in. Two nodes with one key are
//! taken for one by everybody else, so whoever copies a home, or a machine with one in it, is
//! told once. Refuses: to decide which of the two is the real one.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Holds `device:inode` of the home that it was written in.
const PLACE_FILE: &str = "place";

/// What the user of a home is told that was another's.
const COPIED: &str = "this home was copied or restored from another place, with the key in it: if \
                      the other is still in use, remove `identity` from one of the two, which \
                      makes that a new node";

/// What there is to say if the home was used in another directory before, and notes this one.
pub(crate) fn notice(home: &Path) -> io::Result<Option<String>> {
    let directory = std::fs::metadata(home)?;
    let here = format!("{}:{}", directory.dev(), directory.ino());
    let place = home.join(PLACE_FILE);
    let before = match std::fs::read_to_string(&place) {
        Ok(before) if before == here => return Ok(None),
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // A note that was cut off by a power cut says that it was another's, once.
    std::fs::write(&place, &here)?;
    Ok(before.map(|_| COPIED.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_noticed_once_and_a_renamed_home_never() {
        let dir = tempfile::tempdir().expect("a directory");
        let (home, copy) = (dir.path().join("home"), dir.path().join("copy"));
        let is_told = |home: &Path| notice(home).expect("the home is there").is_some();
        std::fs::create_dir(&home).expect("made");
        assert!(!is_told(&home), "it is new");
        std::fs::create_dir(&copy).expect("made");
        std::fs::copy(home.join(PLACE_FILE), copy.join(PLACE_FILE)).expect("copied");
        assert!(is_told(&copy));
        assert!(!is_told(&copy), "once is enough");
        let renamed = dir.path().join("renamed");
        std::fs::rename(&home, &renamed).expect("renamed");
        assert!(!is_told(&renamed));
    }
}
