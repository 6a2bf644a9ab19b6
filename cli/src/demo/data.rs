//! Made-up data for a demo: a model and a folder of samples, the same on every machine.
//!
//! Owns: what is made and how it is copied. Refuses: realism beyond what deduplication and
//! transfer can tell apart.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const MODEL_BYTES: u64 = 256 << 20;
const TENSORS: u64 = 32;
const SAMPLES: u64 = 1_000;
const SAMPLE_BYTES: u64 = 64 << 10;
const ROWS: u64 = 50_000;

/// Makes about 320 MB beneath `dir`, which must not exist.
pub fn make(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir.join("train"))?;
    model(&dir.join("model.safetensors"))?;
    for sample in 0..SAMPLES {
        let path = dir.join(format!("train/sample-{sample:04}.bin"));
        // Sizes from half to one and a half, so that no two files look alike.
        let size = SAMPLE_BYTES / 2 + Noise(sample).next() % SAMPLE_BYTES;
        fill(&mut File::create(path)?, size, &mut Noise(sample + 1_000))?;
    }
    labels(&dir.join("labels.csv"))
}

/// A file in the layout of safetensors: the header's length, a JSON header, tensors.
fn model(path: &Path) -> io::Result<()> {
    let each = MODEL_BYTES / TENSORS;
    let tensors: serde_json::Map<_, _> = (0..TENSORS)
        .map(|index| {
            let tensor = serde_json::json!({
                "dtype": "F16",
                "shape": [each / 2 / 1024, 1024],
                "data_offsets": [index * each, (index + 1) * each],
            });
            (format!("layers.{index:02}.weight"), tensor)
        })
        .collect();
    let header = serde_json::Value::Object(tensors).to_string();
    let mut file = File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    fill(&mut file, MODEL_BYTES, &mut Noise(7))
}

fn labels(path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "sample,label,score")?;
    let mut noise = Noise(42);
    for row in 0..ROWS {
        let score = noise.next() % 1_000_000;
        writeln!(
            file,
            "sample-{row:06},class-{:02},0.{score:06}",
            noise.next() % 20
        )?;
    }
    file.into_inner()?.sync_data()
}

fn fill(file: &mut File, bytes: u64, noise: &mut Noise) -> io::Result<()> {
    let mut buffer = vec![0u8; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(buffer.len() as u64) as usize;
        noise.fill(&mut buffer[..now]);
        file.write_all(&buffer[..now])?;
        left -= now as u64;
    }
    Ok(())
}

/// Bytes that do not compress or repeat: splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug)]
pub struct Noise(pub u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Overwrites `buffer`.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for word in buffer.chunks_mut(8) {
            let noise = self.next().to_le_bytes();
            word.copy_from_slice(&noise[..word.len()]);
        }
    }
}

/// Copies a file or folder; symlinks stay symlinks, and what is neither is left out.
pub fn copy(source: &Path, target: &Path) -> io::Result<()> {
    let kind = source.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(std::fs::read_link(source)?, target);
    }
    if kind.is_file() {
        return std::fs::copy(source, target).map(|_| ());
    }
    if kind.is_dir() {
        std::fs::create_dir(target)?;
        for entry in std::fs::read_dir(source)? {
            let entry = entry?;
            copy(&entry.path(), &target.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The bytes of all regular files in a file or folder, and their number.
pub fn size(path: &Path) -> io::Result<(u64, u64)> {
    let meta = path.symlink_metadata()?;
    if !meta.is_dir() {
        return Ok(if meta.is_file() {
            (meta.len(), 1)
        } else {
            (0, 0)
        });
    }
    let mut total = (0, 0);
    for entry in std::fs::read_dir(path)? {
        let (bytes, files) = size(&entry?.path())?;
        total = (total.0 + bytes, total.1 + files);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_everywhere() {
        let mut bytes = [0; 10];
        Noise(0).fill(&mut bytes);
        // The first output of the reference implementation for seed 0 is 0xe220a8397b1dcdaf.
        assert_eq!(bytes[..8], 0xe220_a839_7b1d_cdafu64.to_le_bytes());
    }

    #[test]
    fn a_copy_keeps_links_and_counts_files_once() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("a");
        std::fs::create_dir_all(source.join("sub")).unwrap();
        std::fs::write(source.join("sub/f"), b"12345").unwrap();
        std::os::unix::fs::symlink("sub/f", source.join("link")).unwrap();
        let target = dir.path().join("b");
        copy(&source, &target).unwrap();
        assert_eq!(
            std::fs::read_link(target.join("link")).unwrap(),
            Path::new("sub/f")
        );
        assert_eq!(size(&target).unwrap(), (5, 1));
    }
}
