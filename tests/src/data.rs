//! Data sets that follow from a seed, and the edits that people make to them.
//!
//! Three kinds stand for what the program is used with: a model file (one big file of
//! incompressible tensors behind a JSON header, like safetensors), a folder of many small
//! files, and a CSV. Each has an edit whose really new bytes are known, so that what moves
//! can be judged against what had to.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// An endless stream of incompressible bytes that follows from `label`.
pub fn stream(label: &str) -> blake3::OutputReader {
    blake3::Hasher::new_derive_key("shoal test data")
        .update(label.as_bytes())
        .finalize_xof()
}

/// A number that follows from `label`.
pub fn number(label: &str) -> u64 {
    let mut bytes = [0; 8];
    stream(label).fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// `length` incompressible bytes that follow from `label`.
pub fn bytes(label: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream(label).fill(&mut bytes);
    bytes
}

fn write_stream(out: &mut impl Write, label: &str, mut length: u64) -> io::Result<()> {
    let mut source = stream(label);
    let mut block = vec![0; 1 << 20];
    while length > 0 {
        let step = length.min(block.len() as u64) as usize;
        source.fill(&mut block[..step]);
        out.write_all(&block[..step])?;
        length -= step as u64;
    }
    Ok(())
}

/// A file of tensors.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// What everything follows from.
    pub seed: u64,
    /// Length of the whole file before any edit, in bytes.
    pub bytes: u64,
    /// Number of tensors.
    pub tensors: u64,
}

impl Model {
    fn tensor_bytes(&self, index: u64) -> u64 {
        let even = self.bytes / self.tensors;
        // Sizes differ by up to a quarter, pairwise evened out so that the sum stays.
        let swing = number(&format!("{}:swing:{}", self.seed, index / 2)) % (even / 4).max(1);
        match (index % 2, index + 1 == self.tensors) {
            (0, true) => even,
            (0, false) => even + swing,
            _ => even - swing,
        }
    }

    /// Writes the model as it was first published.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        self.write_generation(path, |_| 0, None).map(drop)
    }

    /// Writes the next version: every tenth tensor rewritten, one inserted in the middle.
    /// Gives the bytes that are really new.
    pub fn write_edited(&self, path: &Path) -> io::Result<u64> {
        let inserted = self.bytes / self.tensors;
        self.write_generation(path, |index| u64::from(index % 10 == 3), Some(inserted))
    }

    fn write_generation(
        &self,
        path: &Path,
        generation: impl Fn(u64) -> u64,
        inserted: Option<u64>,
    ) -> io::Result<u64> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let header = format!("{{\"__metadata__\":{{\"seed\":\"{}\"}}}}", self.seed);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        let mut fresh = 0;
        for index in 0..self.tensors {
            if let (Some(length), true) = (inserted, index == self.tensors / 2) {
                write_stream(&mut out, &format!("{}:inserted", self.seed), length)?;
                fresh += length;
            }
            let length = self.tensor_bytes(index);
            let age = generation(index);
            if age > 0 {
                fresh += length;
            }
            write_stream(
                &mut out,
                &format!("{}:tensor:{index}:{age}", self.seed),
                length,
            )?;
        }
        out.flush()?;
        Ok(fresh)
    }
}

/// A folder of many files.
#[derive(Debug, Clone, Copy)]
pub struct Folder {
    /// What everything follows from.
    pub seed: u64,
    /// Number of files.
    pub files: u64,
    /// About how many bytes they have together.
    pub bytes: u64,
}

impl Folder {
    fn path(&self, root: &Path, index: u64) -> PathBuf {
        root.join(format!("class{:03}", index % 100))
            .join(format!("sample-{index:06}.bin"))
    }

    /// Sizes are spread over 1/8 to 15/8 of the mean.
    fn file_bytes(&self, label: &str) -> u64 {
        let mean = (self.bytes / self.files).max(8);
        mean / 8 + number(&format!("{}:size:{label}", self.seed)) % (mean * 7 / 4).max(1)
    }

    fn write_file(&self, path: &Path, label: &str) -> io::Result<u64> {
        let length = self.file_bytes(label);
        let content = bytes(&format!("{}:file:{label}", self.seed), length as usize);
        fs::write(path, content)?;
        Ok(length)
    }

    /// Writes the folder as it was first published.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        for class in 0..100.min(self.files) {
            fs::create_dir_all(root.join(format!("class{class:03}")))?;
        }
        for index in 0..self.files {
            self.write_file(&self.path(root, index), &index.to_string())?;
        }
        Ok(())
    }

    /// Makes the folder at `root` its next version: 2 % of the files changed, 1 % added,
    /// 1 % removed, 1 % renamed. Gives the bytes that are really new.
    pub fn edit(&self, root: &Path) -> io::Result<u64> {
        let mut fresh = 0;
        for index in 0..self.files {
            let path = self.path(root, index);
            match index % 100 {
                7 | 57 => fresh += self.write_file(&path, &format!("{index}:changed"))?,
                21 => fs::remove_file(&path)?,
                42 => fs::rename(&path, path.with_extension("renamed"))?,
                84 => {
                    let added = path.with_extension("added");
                    fresh += self.write_file(&added, &format!("{index}:added"))?;
                }
                _ => {}
            }
        }
        Ok(fresh)
    }
}

/// A table as text.
#[derive(Debug, Clone, Copy)]
pub struct Csv {
    /// What everything follows from.
    pub seed: u64,
    /// About how many bytes the file has.
    pub bytes: u64,
}

impl Csv {
    /// Writes the table as it was first published.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        writeln!(out, "id,time,sensor,value,quality,note")?;
        let mut state = number(&format!("{}:csv", self.seed));
        let mut written = 0;
        let mut id = 0;
        while written < self.bytes {
            let row = row(id, &mut state);
            out.write_all(row.as_bytes())?;
            written += row.len() as u64;
            id += 1;
        }
        out.flush()
    }

    /// Writes to `target` the table at `source` with `rows` rows inserted all over. Gives the
    /// bytes inserted.
    pub fn write_with_rows(&self, source: &Path, target: &Path, rows: u64) -> io::Result<u64> {
        let lines = BufReader::new(File::open(source)?).lines().count() as u64;
        let every = (lines / rows.max(1)).max(1);
        let mut state = number(&format!("{}:rows", self.seed));
        let mut out = BufWriter::with_capacity(1 << 20, File::create(target)?);
        let mut fresh = 0;
        let mut inserted = 0;
        let mut source = BufReader::with_capacity(1 << 20, File::open(source)?);
        let mut line = Vec::new();
        let mut index: u64 = 0;
        while source.read_until(b'\n', &mut line)? > 0 {
            out.write_all(&line)?;
            line.clear();
            index += 1;
            let jitter = next(&mut state) % every;
            if inserted < rows && index % every == jitter % every.min(97) {
                let row = row(1_000_000_000 + inserted, &mut state);
                out.write_all(row.as_bytes())?;
                fresh += row.len() as u64;
                inserted += 1;
            }
        }
        while inserted < rows {
            let row = row(1_000_000_000 + inserted, &mut state);
            out.write_all(row.as_bytes())?;
            fresh += row.len() as u64;
            inserted += 1;
        }
        out.flush()?;
        Ok(fresh)
    }
}

/// Steele and Vigna's SplitMix64: enough for rows, and quicker than a hash.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn row(id: u64, state: &mut u64) -> String {
    let (a, b) = (next(state), next(state));
    format!(
        "{id},2026-{:02}-{:02}T{:02}:{:02}:{:02}Z,sensor-{:04},{}.{:04},{},{:08x}\n",
        a % 12 + 1,
        (a >> 8) % 28 + 1,
        (a >> 16) % 24,
        (a >> 24) % 60,
        (a >> 32) % 60,
        (a >> 40) % 2000,
        b % 1000,
        (b >> 12) % 10_000,
        ["good", "fair", "poor", "unknown"][(b >> 30) as usize % 4],
        b >> 32
    )
}

/// A small folder with everything in it that has ever tripped a copying program: names,
/// modes, links, empty and sparse files.
pub fn write_oddities(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = root.join("deep/er/still");
    fs::create_dir_all(&dir)?;
    fs::create_dir_all(root.join("empty directory/inside"))?;
    fs::write(root.join("empty"), b"")?;
    fs::write(root.join("one byte"), b"x")?;
    fs::write(root.join("-leading-dash"), b"dash")?;
    fs::write(root.join("new\nline"), b"newline")?;
    fs::write(root.join("quote\"'$`back\\slash"), b"quotes")?;
    fs::write(root.join("Grüße-日本語-🐟"), b"unicode")?;
    fs::write(root.join(" spaces at both ends "), b"spaces")?;
    fs::write(root.join("a"), b"sorts before a-b")?;
    fs::write(root.join("a-b"), b"sorts behind a")?;
    fs::write(dir.join("x".repeat(255)), b"a name of the greatest length")?;
    let script = dir.join("run.sh");
    fs::write(&script, b"#!/bin/sh\necho hello\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    symlink("run.sh", dir.join("link to file"))?;
    symlink("../..", dir.join("link upwards"))?;
    symlink("does/not/exist", root.join("dangling"))?;
    fs::hard_link(root.join("one byte"), root.join("hard link"))?;
    fs::write(root.join("chunks"), bytes("oddities:chunks", 3_000_000))?;
    fs::write(root.join("again"), bytes("oddities:chunks", 3_000_000))?;
    let sparse = File::create(root.join("sparse"))?;
    sparse.set_len(64 << 20)?;
    use std::os::unix::fs::FileExt;
    sparse.write_all_at(b"in the middle", 40 << 20)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(bytes("a", 100), bytes("a", 100));
        assert_ne!(bytes("a", 100), bytes("b", 100));
    }

    #[test]
    fn an_edited_model_differs_by_what_it_says() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let model = Model {
            seed: 1,
            bytes: 1 << 20,
            tensors: 32,
        };
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        model.write(&old)?;
        let fresh = model.write_edited(&new)?;
        let (old, new) = (fs::metadata(old)?.len(), fs::metadata(new)?.len());
        assert_eq!(new - old, (1 << 20) / 32, "one tensor was inserted");
        assert!(fresh > (1 << 20) / 12 && fresh < (1 << 20) / 4, "{fresh}");
        Ok(())
    }

    #[test]
    fn inserted_rows_are_all_there() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let csv = Csv {
            seed: 1,
            bytes: 1 << 20,
        };
        csv.write(&old)?;
        let fresh = csv.write_with_rows(&old, &new, 30)?;
        let count = |path| -> io::Result<usize> { Ok(fs::read_to_string(path)?.lines().count()) };
        assert_eq!(count(&new)?, count(&old)? + 30);
        assert_eq!(fs::metadata(new)?.len(), fs::metadata(old)?.len() + fresh);
        Ok(())
    }
}
