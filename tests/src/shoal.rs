//! Real `shoal` processes, each with a home of its own.
//!
//! Owns: where the built binary is, the environment a process sees, and ending what it
//! started. Refuses: sleeping. A test waits for a line of output or for a process to end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::SystemTime;

/// The `shoal` that was built beside the running test or benchmark.
///
/// # Panics
/// If it is not there, or older than the sources it should have been built from.
pub fn binary() -> PathBuf {
    let me = std::env::current_exe().expect("a running program has a path");
    let dir = me.parent().expect("a program lies in a directory");
    let dir = if dir.ends_with("deps") {
        dir.parent().expect("deps lies in the profile's directory")
    } else {
        dir
    };
    let binary = dir.join("shoal");
    let built = modified(&binary).unwrap_or_else(|| {
        panic!(
            "{} is missing: run `cargo build --workspace` with the same profile first",
            binary.display()
        )
    });
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lies in the workspace");
    for crate_name in ["protocol", "store", "control", "node", "cli"] {
        let sources = workspace.join(crate_name).join("src");
        if let Some(newer) = newer_than(&sources, built) {
            panic!(
                "{} is older than {}: build the workspace first",
                binary.display(),
                newer.display()
            );
        }
    }
    binary
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

fn newer_than(dir: &Path, built: SystemTime) -> Option<PathBuf> {
    for entry in std::fs::read_dir(dir).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() {
            if let Some(found) = newer_than(&path, built) {
                return Some(found);
            }
        } else if path.extension() == Some(OsStr::new("rs")) && modified(&path)? > built {
            return Some(path);
        }
    }
    None
}

/// A fresh `SHOAL_HOME`, with sockets of its own; gone when dropped.
pub struct Home {
    dir: tempfile::TempDir,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// How a command ends.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("it starts");
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The exit code.
    ///
    /// # Panics
    /// If a signal ended the process.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// Itself, having ended with code 0.
    ///
    /// # Panics
    /// If it did not; the message holds what it printed.
    pub fn ok(self) -> Self {
        assert!(
            self.status.success(),
            "failed: {:?}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// A home in a new temporary directory.
    pub fn new() -> Self {
        Self {
            dir: tempfile::Builder::new()
                .prefix("shoal-home-")
                .tempdir()
                .expect("a temporary directory"),
        }
    }

    /// Where the store lies.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The bytes that the store takes on disk.
    pub fn disk_bytes(&self) -> u64 {
        disk_bytes(&self.path())
    }

    /// A command that acts on this home and nothing else of the user's.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args);
        self.confine(&mut command);
        command
    }

    /// Lets a command see this home and nothing else of the user's.
    pub fn confine(&self, command: &mut Command) {
        let run = self.dir.path().join("run");
        std::fs::create_dir_all(&run).expect("a directory for sockets");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", run)
            .env("SHOAL_HOME", self.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    /// A directory beside the store, which goes with it.
    pub fn outside(&self) -> &Path {
        self.dir.path()
    }

    /// A copy of the program where users can run it who may not look where it was built.
    pub fn program(&self) -> PathBuf {
        let copy = self.dir.path().join("shoal");
        if !copy.exists() {
            std::fs::copy(binary(), &copy).expect("the program can be copied");
        }
        copy
    }

    /// Gives everything in [`outside`](Self::outside) to the user nobody, if this user may.
    pub fn give_to_nobody(&self) {
        self.program();
        let run = self.dir.path().join("run");
        std::fs::create_dir_all(run).expect("a directory for sockets");
        // Only root may; whoever is not root can act without.
        let _ = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(self.dir.path())
            .output();
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Finished {
        Finished::of(&mut self.command(args))
    }

    /// Starts a command that goes on running.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::of(self.command(args))
    }

    /// Runs a daemon that answers by the time this returns.
    pub fn up(&self) -> Running {
        let mut running = self.start(&["up"]);
        if running
            .stderr_line(|line| line.contains("listens on"))
            .is_none()
        {
            let finished = running.wait();
            panic!("the daemon did not start: {finished:?}");
        }
        running
    }

    /// Shares `what` and gives the ticket and the process that serves it.
    pub fn share(&self, what: &Path) -> (String, Running) {
        let mut running = self.start(&["share", &what.to_string_lossy()]);
        let ticket = running.line();
        if ticket.is_empty() {
            let finished = running.wait();
            panic!("share gave no ticket: {finished:?}");
        }
        (ticket, running)
    }
}

/// The bytes that the files beneath `path` take on disk.
pub fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = path.symlink_metadata() else {
        return 0;
    };
    let mut total = meta.blocks() * 512;
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            total += disk_bytes(&entry.path());
        }
    }
    total
}

/// A `shoal` that runs; killed when dropped.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Running {
    /// Starts a command.
    pub fn of(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        Running {
            child,
            stdout,
            stderr: Some(stderr),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output, without its end; empty at the end of the output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .expect("the pipe can be read");
        line.trim_end().to_owned()
    }

    /// Reads standard error up to a line that `wanted` accepts; gives that line, or nothing
    /// at the end of the output.
    pub fn stderr_line(&mut self, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        let stderr = self.stderr.as_mut()?;
        loop {
            let mut line = String::new();
            if stderr.read_line(&mut line).expect("the pipe can be read") == 0 {
                return None;
            }
            if wanted(line.trim_end()) {
                return Some(line.trim_end().to_owned());
            }
        }
    }

    /// Has what it says on standard error from now on written to a file: a pipe that nobody
    /// reads would stop it.
    pub fn write_stderr_to(&mut self, file: &Path) {
        let Some(mut stderr) = self.stderr.take() else {
            return;
        };
        let mut file = File::create(file).expect("a file for what it says");
        std::thread::spawn(move || {
            // It ends with the process, or with the disk.
            let _ = std::io::copy(&mut stderr, &mut file);
        });
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        let ended = self.child.try_wait();
        ended.expect("our own child can be asked").is_none()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("our own child can be signalled");
    }

    /// Kills it at once, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Sends what Ctrl-C sends and waits for its end.
    pub fn signal_and_wait(self) -> Finished {
        self.signal(rustix::process::Signal::INT);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Finished {
        let mut stderr = self.stderr.take();
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(stderr) = &mut stderr {
                stderr.read_to_end(&mut text).expect("the pipe can be read");
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut stdout = Vec::new();
        self.stdout
            .read_to_end(&mut stdout)
            .expect("the pipe can be read");
        let status = self.child.wait().expect("our own child can be waited for");
        Finished {
            status,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: reader.join().expect("the reader ends"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
