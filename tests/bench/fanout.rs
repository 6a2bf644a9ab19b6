//! One source and many receivers, each on a link of its own (a lab of network namespaces).
//!
//! What it took from the start of all to the end of the last, against the time of one copy at
//! the goodput of a link, and how often the source sent the whole. Beside it rsync from a
//! daemon and libtorrent (`pip install libtorrent`).

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shoal_tests::data;
use shoal_tests::lab::{Host, Lab};

use crate::contender::{Server, installed, iperf3, peak_bytes, wait_for_success, watch_peak};
use crate::getter::{assert_same, get_command};
use crate::sets::Sets;
use crate::transfer::share_command;

/// Receivers and the rate of every link, in Mbit/s. More than eight only if they are asked for.
const ROOMS: [(usize, u32); 6] = [(1, 200), (2, 200), (4, 200), (8, 200), (4, 1000), (16, 200)];
/// Where servers listen.
const PORT: u16 = 7070;

/// How it went.
pub struct Outcome {
    /// From the start of all to the end of the last.
    pub wall: Duration,
    /// What left the source, headers included, in bytes.
    pub sent: u64,
    /// The most memory that one of the receivers had, in bytes.
    receiver_peak: u64,
    /// The same of the source, where that is known.
    source_peak: Option<u64>,
}

impl Outcome {
    /// The peaks, in words.
    fn memory(&self) -> String {
        let receivers = format!("receivers {} MiB", self.receiver_peak >> 20);
        match self.source_peak {
            Some(source) => format!("source {}, {receivers}", source >> 20),
            None => receivers,
        }
    }
}

/// Prints a table with a line for each room and contender.
pub fn run(sets: &Sets, only: Option<usize>, alone: bool) -> io::Result<()> {
    let source = sets.scratch.join("fanout.bin");
    std::fs::create_dir_all(&sets.scratch)?;
    std::fs::write(&source, data::bytes("fanout", sets.lab_bytes as usize))?;
    println!("\n### Fan-out of {} MiB\n", sets.lab_bytes >> 20);
    println!("| receivers | link | bound | contender | wall | × bound | source sent | peak |");
    println!("|---|---|---|---|---|---|---|---|");
    for (receivers, mbit) in ROOMS {
        if only.map_or(receivers > 8, |only| only != receivers) {
            continue;
        }
        let goodput = goodput(mbit)?;
        let bound = sets.lab_bytes as f64 / goodput;
        let line = |name: &str, outcome: Outcome| {
            let wall = outcome.wall.as_secs_f64();
            println!(
                "| {receivers} | {mbit} Mbit/s | {bound:.1} s | {name} | {wall:.1} s | {:.2} | {:.2} × | {} |",
                wall / bound,
                outcome.sent as f64 / sets.lab_bytes as f64,
                outcome.memory()
            );
        };
        line("shoal", shoal(sets, &source, receivers, mbit)?);
        if alone {
            continue;
        }
        if installed("rsync") {
            line("rsync daemon", rsync(sets, &source, receivers, mbit)?);
        }
        if has_libtorrent() {
            line("libtorrent", torrent(sets, &source, receivers, mbit)?);
        }
    }
    Ok(())
}

/// A source and its receivers.
pub struct Room {
    _lab: Lab,
    /// Who has it.
    pub source: Host,
    /// Who wants it.
    pub receivers: Vec<Host>,
}

impl Room {
    /// So many receivers, every link of the same rate.
    pub fn new(receivers: usize, mbit: u32) -> io::Result<Self> {
        let mut lab = Lab::new().ok_or_else(|| io::Error::other("no lab"))?;
        let mut site = lab.site();
        let source = lab.host(&mut site, mbit);
        let receivers = (0..receivers).map(|_| lab.host(&mut site, mbit)).collect();
        Ok(Self {
            _lab: lab,
            source,
            receivers,
        })
    }

    /// Starts `get` for every receiver, waits for all, and looks that each has the file.
    fn all_get(
        &self,
        source: &Path,
        get: impl Fn(usize, &Host) -> io::Result<(Command, PathBuf)>,
    ) -> io::Result<Outcome> {
        let mut running: Vec<(Child, PathBuf)> = Vec::new();
        let mut peaks = Vec::new();
        let (before, _) = self.source.moved();
        let start = Instant::now();
        for (number, host) in self.receivers.iter().enumerate() {
            let (mut command, copy) = get(number, host)?;
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.spawn()?;
            peaks.push(watch_peak(&child));
            running.push((child, copy));
        }
        for (child, _) in &mut running {
            let status = child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("a receiver failed: {status}")));
            }
        }
        let wall = start.elapsed();
        let sent = self.source.moved().0 - before;
        for (_, copy) in running {
            assert_same(source, &copy)?;
        }
        let peaks = peaks.into_iter().map(|peak| peak.join().unwrap_or(0));
        Ok(Outcome {
            wall,
            sent,
            receiver_peak: peaks.max().unwrap_or(0),
            source_peak: None,
        })
    }
}

/// Has so many receivers get a file from one source, at once.
pub fn shoal(sets: &Sets, source: &Path, receivers: usize, mbit: u32) -> io::Result<Outcome> {
    let room = Room::new(receivers, mbit)?;
    let homes = sets.fresh("fanout-homes")?;
    let command = room
        .source
        .take_in(&share_command(&homes.join("source"), source));
    let (ticket, sharer) = crate::transfer::ticket_of(command)?;
    let outcome = room.all_get(source, |number, host| {
        let copy = homes.join(format!("copy{number}"));
        let home = homes.join(format!("home{number}"));
        Ok((get_command(host, &home, &ticket, &copy), copy))
    })?;
    Ok(Outcome {
        source_peak: peak_bytes(sharer.0.id()),
        ..outcome
    })
}

fn rsync(sets: &Sets, source: &Path, receivers: usize, mbit: u32) -> io::Result<Outcome> {
    let room = Room::new(receivers, mbit)?;
    let dir = sets.fresh("fanout-rsync")?;
    let config = dir.join("rsyncd.conf");
    let module = source.parent().unwrap_or(source).display();
    std::fs::write(
        &config,
        format!("use chroot = no\nport = {PORT}\n[data]\npath = {module}\nread only = yes\n"),
    )?;
    let daemon = room
        .source
        .command("rsync")
        .args(["--daemon", "--no-detach", "--config"])
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let _daemon = Server(daemon);
    wait_for_success(|| {
        let mut list = room.source.command("rsync");
        list.arg(format!("rsync://{}:{PORT}/", room.source.ip));
        list
    })?;
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let url = format!("rsync://{}:{PORT}/data/{name}", room.source.ip);
    room.all_get(source, |number, host| {
        let copy = dir.join(format!("copy{number}"));
        let mut get = host.command("rsync");
        get.args(["-W", &url]).arg(&copy);
        Ok((get, copy))
    })
}

fn has_libtorrent() -> bool {
    Command::new("python3")
        .args(["-c", "import libtorrent"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn torrent(sets: &Sets, source: &Path, receivers: usize, mbit: u32) -> io::Result<Outcome> {
    let room = Room::new(receivers, mbit)?;
    let dir = sets.fresh("fanout-torrent")?;
    let script = dir.join("torrent.py");
    std::fs::write(&script, include_str!("torrent.py"))?;
    let metainfo = dir.join("it.torrent");
    let mut seed = room.source.command("python3");
    seed.arg(&script)
        .args(["seed", &room.source.ip.to_string()])
        .arg(&metainfo)
        .arg(source)
        .stdout(Stdio::piped());
    // It says so once it listens.
    let (_ready, _seed) = crate::transfer::ticket_of(seed)?;
    room.all_get(source, |number, host| {
        let copies = dir.join(format!("copy{number}"));
        std::fs::create_dir(&copies)?;
        let mut get = host.command("python3");
        get.arg(&script)
            .args(["get", &host.ip.to_string()])
            .arg(&metainfo)
            .arg(&copies)
            .arg(room.source.ip.to_string());
        Ok((get, copies.join(source.file_name().unwrap_or_default())))
    })
}

/// Bytes a second that TCP gets over one such link, by iperf3.
pub fn goodput(mbit: u32) -> io::Result<f64> {
    let room = Room::new(1, mbit)?;
    let told = iperf3(&room.source, &room.receivers[0], &["-R", "-t", "4"])?;
    let bits = told["sum_received"]["bits_per_second"].as_f64();
    Ok(bits.ok_or_else(|| io::Error::other("iperf3 says no rate"))? / 8.0)
}
