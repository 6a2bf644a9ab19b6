//! A get on a host of a lab that tells how far it is.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use shoal_tests::lab::Host;
use shoal_tests::shoal::binary;

/// A `shoal get` that runs; killed when dropped.
pub struct Getter {
    child: Child,
    began: Instant,
    bytes_done: Receiver<u64>,
    /// Reads all that it says, since a pipe that is full would stop it; gives its last line.
    reader: Option<JoinHandle<String>>,
}

/// The command that gets what `ticket` names to `to`, on `host` and from a home of its own.
pub fn get_command(host: &Host, home: &Path, ticket: &str, to: &Path) -> Command {
    let mut get = host.command(binary());
    get.env("SHOAL_HOME", home)
        .env("XDG_RUNTIME_DIR", "")
        .env("SHOAL_PROGRESS", "none")
        .args(["get", ticket])
        .arg(to)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    get
}

impl Getter {
    /// Starts it.
    pub fn start(host: &Host, home: &Path, ticket: &str, to: &Path) -> io::Result<Self> {
        let began = Instant::now();
        let mut child = get_command(host, home, ticket, to)
            .env("SHOAL_PROGRESS", "json")
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take();
        let stderr = stderr.ok_or_else(|| io::Error::other("no stderr"))?;
        let (done, bytes_done) = channel();
        Ok(Self {
            child,
            began,
            bytes_done,
            reader: Some(thread::spawn(move || read(stderr, &done))),
        })
    }

    /// Waits until `bytes` are here; gives how many really are, and since when it runs.
    pub fn wait_for(&self, bytes: u64) -> io::Result<(u64, Duration)> {
        let done = self.bytes_done.iter().find(|done| *done >= bytes);
        let done = done.ok_or_else(|| io::Error::other("a get ended before it was so far"))?;
        Ok((done, self.began.elapsed()))
    }

    /// Waits until it is through; gives how long it took.
    pub fn finish(mut self) -> io::Result<Duration> {
        let status = self.child.wait()?;
        let wall = self.began.elapsed();
        let reader = self.reader.take().expect("it is finished once");
        let told = reader.join().expect("it reads to the end");
        match status.success() {
            true => Ok(wall),
            false => Err(io::Error::other(format!("a get failed: {status}: {told}"))),
        }
    }

    /// Kills it at once.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

fn read(stderr: ChildStderr, done: &Sender<u64>) -> String {
    let mut last = String::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(bytes) = event["progress"]["bytes_done"].as_u64() {
            // Nobody may want to know.
            let _ = done.send(bytes);
        }
        last = line;
    }
    last
}

impl Drop for Getter {
    fn drop(&mut self) {
        // It has ended, unless the benchmark fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks that a copy is the same as its source, byte for byte, and removes it.
pub fn assert_same(source: &Path, copy: &Path) -> io::Result<()> {
    let same = Command::new("cmp").arg(source).arg(copy).status()?;
    if !same.success() {
        return Err(io::Error::other(format!("{} differs", copy.display())));
    }
    std::fs::remove_file(copy)
}
