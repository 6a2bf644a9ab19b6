//! The temporary folder and the processes of a demo.
//!
//! Owns: everything that a demo makes, so that it can be taken away again, whatever happens:
//! at the end, on Ctrl-C, on a failure, on a panic. Refuses: to touch a process that it did
//! not start, or a file outside its folder.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::error::Failure;

/// How long a process may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How often the folder is tried to be removed while a killed process is still ending.
const TRIES: u32 = 20;

/// A folder and processes that live no longer than this.
#[derive(Debug)]
pub struct Stage {
    dir: PathBuf,
    keep: bool,
    running: Vec<Child>,
}

impl Stage {
    /// Makes a folder of its own beneath that for temporary files, for this user's eyes only.
    pub fn new(keep: bool) -> Result<Self, Failure> {
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let unique = format!(
            "shoal-demo-{}-{:x}",
            std::process::id(),
            nanos.subsec_nanos()
        );
        let dir = std::env::temp_dir().join(unique);
        DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(|error| Failure::io(format_args!("cannot make {}", dir.display()), &error))?;
        Ok(Self {
            dir,
            keep,
            running: Vec::new(),
        })
    }

    /// Where everything happens.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes a process into its care; gives its number for [`Stage::stop`].
    pub fn adopt(&mut self, child: Child) -> Option<u32> {
        let id = child.id();
        self.running.push(child);
        id
    }

    /// Ends a process as Ctrl-C would, and waits until it is gone.
    pub async fn stop(&mut self, id: Option<u32>) {
        if let Some(at) = self.running.iter().position(|child| child.id() == id) {
            end(self.running.swap_remove(at)).await;
        }
    }

    /// Ends what still runs, and takes the folder away unless it is to be kept.
    pub async fn clear(mut self) -> Result<(), Failure> {
        for child in std::mem::take(&mut self.running) {
            end(child).await;
        }
        if self.keep {
            return Ok(());
        }
        for _ in 0..TRIES {
            if std::fs::remove_dir_all(&self.dir).is_ok() {
                break;
            }
            tokio::time::sleep(GRACE / TRIES).await;
        }
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io(
                format_args!("cannot remove {}", self.dir.display()),
                &error,
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for Stage {
    /// The way out that is left when `clear` was not come to.
    fn drop(&mut self) {
        for child in &mut self.running {
            // It may have ended by itself.
            let _ = child.start_kill();
        }
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

async fn end(mut child: Child) {
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::INT);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind_also_when_nobody_clears() {
        let stage = Stage::new(false).unwrap();
        let dir = stage.dir().to_owned();
        std::fs::write(dir.join("x"), b"x").unwrap();
        drop(stage);
        assert!(!dir.exists());
    }

    #[tokio::test]
    async fn clearing_ends_its_processes() {
        let mut stage = Stage::new(false).unwrap();
        let dir = stage.dir().to_owned();
        let child = tokio::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let id = stage
            .adopt(child)
            .and_then(|id| Pid::from_raw(id as i32))
            .unwrap();
        stage.clear().await.unwrap();
        assert!(!dir.exists());
        assert_eq!(
            rustix::process::test_kill_process(id),
            Err(rustix::io::Errno::SRCH)
        );
    }
}
