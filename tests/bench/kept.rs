//! A node that keeps every version that it shares.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use shoal_tests::shoal::binary;

/// A running node; it ends when this is dropped.
pub struct Keeper {
    home: PathBuf,
}

impl Keeper {
    /// Starts one on loopback.
    pub fn start(home: &Path) -> io::Result<Self> {
        let keeper = Self {
            home: home.to_owned(),
        };
        keeper.run(&["-c", "listen=127.0.0.1:0", "up", "--detach"])?;
        Ok(keeper)
    }

    /// Keeps what stands at `path` now, and has the node serve it; gives the ticket.
    pub fn keep_and_share(&self, path: &Path) -> io::Result<String> {
        let path = path.to_string_lossy();
        self.run(&["add", &path])?;
        self.run(&["share", &path])
    }

    /// Runs a command to its end; gives what it printed.
    fn run(&self, args: &[&str]) -> io::Result<String> {
        let output = Command::new(binary())
            .env("SHOAL_HOME", &self.home)
            .env("SHOAL_PROGRESS", "none")
            .args(args)
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // One that did not start has nothing to end.
        let _ = self.run(&["down"]);
    }
}
