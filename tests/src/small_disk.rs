//! A file system that is soon full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, in memory; gone when dropped.
pub struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// One with room for about so many MiB. Nothing, and a word why, where this user may not
    /// mount one.
    pub fn new(mib: u64) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { dir }),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("SKIPPED: a full disk needs a mount: {}", why.trim());
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: a full disk needs `mount`: {error}");
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes how much room there is in all.
    pub fn resize(&self, mib: u64) {
        let resized = Command::new("mount")
            .args(["-o", &format!("remount,size={mib}m")])
            .arg(self.path())
            .status()
            .expect("mount runs");
        assert!(resized.success(), "the disk was not resized");
    }

    /// Takes all the room that is left; gives the file that does.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).expect("there is room for a name");
        let block = vec![1; 1 << 20];
        while file.write(&block).is_ok_and(|written| written > 0) {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that a failed test left behind may still be there.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
