//! An edit such as training or relabelling makes, and the proof that two folders are equal.
//!
//! Owns: what is changed in the demo's own copy. Refuses: to be told a path outside it; the
//! story only ever names its stage.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::demo::data::Noise;
use crate::ui::format;

/// One in this many bytes of the largest file is rewritten.
const REWRITTEN: u64 = 20;
/// What is inserted in its middle.
const INSERTED_BYTES: usize = 1000;

/// Rewrites a part of the largest file, inserts some bytes in its middle, renames the second
/// largest. Says what it did.
pub fn make(path: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    regular_files(path, &mut files)?;
    files.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut done = Vec::new();
    if let Some((bytes, largest)) = files.first() {
        let rewritten = (*bytes / REWRITTEN) as usize;
        rewrite(largest, *bytes, rewritten)?;
        done.push(format!(
            "{} of {} rewritten, {} inserted in its middle",
            format::bytes(rewritten as u64),
            name(largest),
            format::bytes(INSERTED_BYTES as u64)
        ));
    }
    if let Some((_, second)) = files.get(1) {
        let mut renamed = second.clone().into_os_string();
        renamed.push(".renamed");
        fs::rename(second, &renamed)?;
        done.push(format!("{} renamed", name(second)));
    }
    Ok(done.join("; "))
}

fn name(path: &Path) -> String {
    format::name(&path.file_name().unwrap_or_default().to_string_lossy())
}

fn regular_files(path: &Path, found: &mut Vec<(u64, PathBuf)>) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    if meta.is_file() {
        found.push((meta.len(), path.to_owned()));
    } else if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            regular_files(&entry?.path(), found)?;
        }
    }
    Ok(())
}

/// A quarter into the file `rewritten` bytes become others; half into it some come in. The
/// new file takes the old one's place as editors do it.
fn rewrite(path: &Path, bytes: u64, rewritten: usize) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut old = File::open(path)?;
    let mut new = File::create(&draft)?;
    let mut noise = Noise(0x5eed);
    let mut fresh = vec![0; rewritten.max(INSERTED_BYTES)];
    let (quarter, half) = (bytes / 4, bytes / 2);
    io::copy(&mut (&mut old).take(quarter), &mut new)?;
    noise.fill(&mut fresh);
    new.write_all(&fresh[..rewritten])?;
    old.seek(SeekFrom::Current(rewritten as i64))?;
    let to_half = half.saturating_sub(quarter + rewritten as u64);
    io::copy(&mut (&mut old).take(to_half), &mut new)?;
    noise.fill(&mut fresh);
    new.write_all(&fresh[..INSERTED_BYTES])?;
    io::copy(&mut old, &mut new)?;
    new.set_permissions(old.metadata()?.permissions())?;
    fs::rename(&draft, path)
}

/// The first path at which two files or folders differ, if they do.
pub fn difference(a: &Path, b: &Path) -> io::Result<Option<PathBuf>> {
    let (meta_a, meta_b) = (a.symlink_metadata()?, b.symlink_metadata());
    let Ok(meta_b) = meta_b else {
        return Ok(Some(a.to_owned()));
    };
    if meta_a.file_type() != meta_b.file_type() {
        return Ok(Some(a.to_owned()));
    }
    if meta_a.is_symlink() {
        return Ok((fs::read_link(a)? != fs::read_link(b)?).then(|| a.to_owned()));
    }
    if meta_a.is_file() {
        return Ok((!same_bytes(a, b)?).then(|| a.to_owned()));
    }
    let names = |dir: &Path| -> io::Result<Vec<_>> {
        let mut names = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    };
    let (names_a, names_b) = (names(a)?, names(b)?);
    if let Some(extra) = names_b.iter().find(|name| !names_a.contains(name)) {
        return Ok(Some(b.join(extra)));
    }
    for name in names_a {
        if let Some(path) = difference(&a.join(&name), &b.join(&name))? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut bytes_a, mut bytes_b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = a.read(&mut bytes_a)?;
        if count == 0 {
            return Ok(true);
        }
        b.read_exact(&mut bytes_b[..count])?;
        if bytes_a[..count] != bytes_b[..count] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_inserts_and_renames_and_a_difference_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&a).unwrap();
        fs::write(a.join("big"), vec![7; 100_000]).unwrap();
        fs::write(a.join("small"), b"small").unwrap();
        crate::demo::data::copy(&a, &b).unwrap();
        assert_eq!(difference(&a, &b).unwrap(), None);
        let said = make(&a).unwrap();
        assert_eq!(
            said,
            "5 kB of big rewritten, 1 kB inserted in its middle; small renamed"
        );
        assert_eq!(a.join("big").metadata().unwrap().len(), 101_000);
        assert_eq!(fs::read(a.join("small.renamed")).unwrap(), b"small");
        assert!(difference(&a, &b).unwrap().is_some());
    }

    #[test]
    fn a_tiny_or_empty_file_can_be_edited() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0usize, 1, 3, 19, 21] {
            let path = dir.path().join(length.to_string());
            fs::write(&path, vec![1; length]).unwrap();
            make(&path).unwrap();
            assert_eq!(
                path.metadata().unwrap().len(),
                (length + INSERTED_BYTES) as u64
            );
        }
    }

    #[test]
    fn something_extra_on_either_side_is_a_difference() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&a).unwrap();
        fs::create_dir(&b).unwrap();
        fs::write(b.join("extra"), b"").unwrap();
        assert_eq!(difference(&a, &b).unwrap(), Some(b.join("extra")));
        assert_eq!(difference(&b, &a).unwrap(), Some(b.join("extra")));
    }
}
