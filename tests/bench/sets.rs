//! The data sets on disk, made once per folder and scale.

use std::io;
use std::path::{Path, PathBuf};

use shoal_tests::data::{Csv, Folder, Model};

/// Where the data sets and the scratch space are.
pub struct Sets {
    /// Scratch: everything beneath may be removed.
    pub scratch: PathBuf,
    /// The 2 GiB file of tensors.
    pub model: PathBuf,
    /// 20,000 files with 1 GiB together.
    pub folder: PathBuf,
    /// A 512 MiB table.
    pub csv: PathBuf,
    /// Length of the files that go over the links of a lab, which are made when needed.
    pub lab_bytes: u64,
    /// How the model was made.
    pub model_spec: Model,
    /// How the folder was made.
    pub folder_spec: Folder,
    /// How the table was made.
    pub csv_spec: Csv,
}

impl Sets {
    /// Makes what is not there yet beneath `dir`; sizes are divided by `shrink`.
    pub fn make(dir: &Path, shrink: u64) -> io::Result<Self> {
        let base = dir.join(format!("sets-{shrink}"));
        std::fs::create_dir_all(&base)?;
        let sets = Self {
            scratch: dir.join("scratch"),
            model: base.join("model.safetensors"),
            folder: base.join("folder"),
            csv: base.join("table.csv"),
            lab_bytes: (512 << 20) / shrink,
            model_spec: Model {
                seed: 1,
                bytes: (2 << 30) / shrink,
                tensors: 256,
            },
            folder_spec: Folder {
                seed: 2,
                files: 20_000 / shrink,
                bytes: (1 << 30) / shrink,
            },
            csv_spec: Csv {
                seed: 3,
                bytes: (512 << 20) / shrink,
            },
        };
        let done = base.join("complete");
        if !done.exists() {
            eprintln!("making data sets in {} …", base.display());
            sets.model_spec.write(&sets.model)?;
            sets.folder_spec.write(&sets.folder)?;
            sets.csv_spec.write(&sets.csv)?;
            std::fs::write(done, b"")?;
        }
        Ok(sets)
    }

    /// An empty scratch directory with this name.
    pub fn fresh(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.scratch.join(name);
        remove(&dir)?;
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// An empty scratch directory where none with this name was yet. What earlier ones hold
    /// stays on the disk, but not in the page cache.
    ///
    /// For copies with many files: ext4 passes over inodes that were freed within the last
    /// minutes one by one, so whoever makes 20,000 files behind somebody who removed as many
    /// pays for that.
    pub fn unused(&self, name: &str) -> io::Result<PathBuf> {
        let dir = |number: usize| self.scratch.join(format!("{name}-{number}"));
        let number = (0..)
            .find(|number| !dir(*number).exists())
            .expect("an unused number");
        if let Some(before) = number.checked_sub(1) {
            evict(&dir(before))?;
        }
        std::fs::create_dir_all(dir(number))?;
        Ok(dir(number))
    }
}

/// Writes out what lies beneath a folder and drops it from the page cache.
fn evict(path: &Path) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    if meta.is_dir() {
        for entry in std::fs::read_dir(path)? {
            evict(&entry?.path())?;
        }
    } else if meta.is_file() {
        let file = std::fs::File::open(path)?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Writes out everything that is dirty, so that no contender is slowed by what the one before
/// it left behind.
pub fn settle(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(dir)?)?)
}

/// Has the machine hand over `share` of its free memory. A virtual machine gets its memory
/// page by page when it first touches it, which would be counted against whoever comes first.
pub fn touch_memory(share: f64) -> io::Result<()> {
    let info = std::fs::read_to_string("/proc/meminfo")?;
    let free = info.lines().find(|line| line.starts_with("MemAvailable:"));
    let kib = free.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    let bytes = (kib.unwrap_or(0.0) * 1024.0 * share) as usize;
    std::hint::black_box(vec![1_u8; bytes]);
    Ok(())
}

/// Removes a file or folder that may not be there.
pub fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
    }
}

/// Reads every file once so that each contender finds it in the page cache.
pub fn warm(path: &Path) -> io::Result<u64> {
    let meta = path.metadata()?;
    if meta.is_file() {
        return io::copy(&mut std::fs::File::open(path)?, &mut io::sink());
    }
    let mut total = 0;
    for entry in std::fs::read_dir(path)? {
        total += warm(&entry?.path())?;
    }
    Ok(total)
}
