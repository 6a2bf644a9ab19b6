//! Time to the first byte of `cat` from a remote file, the node running.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::time::Instant;

use shoal_tests::{data, shoal::binary};

use crate::contender::Server;
use crate::sets::{self, Sets};
use crate::transfer::share;

/// Prints median and worst of twenty random offsets.
pub fn run(sets: &Sets) -> io::Result<()> {
    let dir = sets.fresh("latency")?;
    let (ticket, _sharer) = share(&dir.join("home"), &sets.model)?;
    let home = dir.join("reader");
    let shoal = |args: &[&str]| {
        let mut command = Command::new(binary());
        command
            .env("SHOAL_HOME", &home)
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let mut node = shoal(&["up"]).stdout(Stdio::null()).spawn().map(Server)?;
    while !shoal(&["status"]).stdout(Stdio::null()).status()?.success() {
        if node.0.try_wait()?.is_some() {
            return Err(io::Error::other("`shoal up` ended"));
        }
    }
    let length = sets.model.metadata()?.len();
    let mut times = Vec::new();
    for round in 0..20 {
        let offset = (data::number(&format!("offset {round}")) % length).to_string();
        let start = Instant::now();
        let mut child = shoal(&["cat", &ticket, "--offset", &offset, "--length", "1000000"])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut first = [0];
        let mut stdout = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no stdout"))?;
        stdout.read_exact(&mut first)?;
        times.push(start.elapsed());
        io::copy(&mut stdout, &mut io::sink())?;
        child.wait()?;
    }
    times.sort();
    println!(
        "\n### First byte of `cat` at a random offset of the remote 2 GiB file\n\n\
         median {:.0} ms, worst {:.0} ms of {} (process start included)",
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() - 1].as_secs_f64() * 1e3,
        times.len()
    );
    sets::remove(&sets.scratch)
}
