//! One machine of a demo: a home, a folder, and the `shoal` commands that are run there.
//!
//! Owns: the environment that such a process sees, which is nothing of the user's own store.
//! Refuses: to decide what is run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde::de::DeserializeOwned;
use shoal_node::api::{Event, Never, Progress};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::demo::stage::Stage;
use crate::error::{Code, Failure};

/// One of the machines.
#[derive(Debug)]
pub struct Node {
    name: &'static str,
    dir: PathBuf,
}

impl Node {
    /// The machine `name` on this stage.
    pub fn new(stage: &Stage, name: &'static str) -> Result<Self, Failure> {
        let dir = stage.dir().join(name);
        std::fs::create_dir_all(dir.join("run"))
            .map_err(|error| Failure::io(format_args!("cannot make {}", dir.display()), &error))?;
        Ok(Self { name, dir })
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The folder in which its commands are run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its store.
    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// Runs a command to its end; gives its answer, read from JSON.
    pub async fn ask<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T, Failure> {
        let mut command = self.command(args)?;
        command
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| self.cannot_start(&error))?;
        let output = child
            .wait_with_output()
            .await
            .map_err(|error| self.cannot_start(&error))?;
        if !output.status.success() {
            return Err(self.failed(args, &output));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| {
            Failure::error(format!("{}: an answer is not JSON: {error}", self.name))
        })
    }

    /// Starts a command that goes on running, and reads the first line of its answer.
    pub async fn start<T: DeserializeOwned>(
        &self,
        stage: &mut Stage,
        args: &[&str],
    ) -> Result<(T, Option<u32>), Failure> {
        let log = self.dir.join(format!("{}.log", args[0]));
        let stderr = File::create(&log)
            .map_err(|error| Failure::io(format_args!("cannot make {}", log.display()), &error))?;
        let mut command = self.command(args)?;
        command.arg("--json").stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(|error| self.cannot_start(&error))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let id = stage.adopt(child);
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line).await;
        read.map_err(|error| self.cannot_start(&error))?;
        let answer = serde_json::from_str(&line).map_err(|_| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            Failure::error(format!(
                "{}: `shoal {}` failed: {}",
                self.name,
                args[0],
                last_error(&said)
            ))
        })?;
        Ok((answer, id))
    }

    /// Starts a `get` and kills it, without a warning, once a third is there. Gives how much
    /// was there; nothing where it was faster.
    pub async fn kill_midway(&self, args: &[&str]) -> Result<Option<Progress>, Failure> {
        let mut command = self.command(args)?;
        command
            .args(["--progress", "json"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.cannot_start(&error))?;
        let reached = a_third(&mut child).await;
        // It may have ended by itself.
        let _ = child.start_kill();
        let status = child
            .wait()
            .await
            .map_err(|error| self.cannot_start(&error))?;
        Ok(reached.filter(|_| !status.success()))
    }

    fn command(&self, args: &[&str]) -> Result<Command, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::io("cannot find this program", &error))?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SHOAL_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(&self.dir)
            .env("SHOAL_HOME", self.home())
            .env("XDG_RUNTIME_DIR", self.dir.join("run"))
            .env("SHOAL_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            // A Ctrl-C at the terminal is for the demo, which then ends these in order.
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }

    fn cannot_start(&self, error: &std::io::Error) -> Failure {
        Failure::io(
            format_args!("cannot run a command for {}", self.name),
            error,
        )
    }

    fn failed(&self, args: &[&str], output: &Output) -> Failure {
        let said = String::from_utf8_lossy(&output.stderr);
        let code = Code::from_number(output.status.code()).unwrap_or(Code::Error);
        Failure::new(
            code,
            format!(
                "{}: `shoal {}` failed: {}",
                self.name,
                args[0],
                last_error(&said)
            ),
        )
    }
}

/// Reads progress until a third is there.
async fn a_third(child: &mut Child) -> Option<Progress> {
    let mut lines = BufReader::new(child.stderr.take()?).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(Event::<Never>::Progress(progress)) = serde_json::from_str(&line)
            && let Some(total) = progress.bytes_total
            && progress.bytes_done >= total / 3
            && progress.bytes_done > 0
        {
            return Some(progress);
        }
    }
    None
}

/// The sentence after the last `error:`.
fn last_error(said: &str) -> String {
    let line = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error:"));
    line.or(said.lines().last())
        .unwrap_or("it said nothing")
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_what_counts() {
        assert_eq!(
            last_error("getting x\nerror: it broke\nhint: mend it\n"),
            "it broke"
        );
        assert_eq!(last_error("panicked\n"), "panicked");
        assert_eq!(last_error(""), "it said nothing");
    }
}
