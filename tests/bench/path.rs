//! One line with delay, loss and reordering between two hosts (an internet of the lab): what
//! TCP gets there, what a datagram does, and what `shoal get` takes.
//!
//! `--delay` is what a packet and its answer take together; `--loss` and `--reordered` are of
//! the packets of each direction.

use std::fmt;
use std::io;
use std::time::Duration;

use clap::Args;
use shoal_tests::data;
use shoal_tests::internet::{Internet, Line, Running};
use shoal_tests::lab::{Host, Lab};

use crate::contender::iperf3;
use crate::getter::{Getter, assert_same};
use crate::sets::Sets;
use crate::transfer::{share_command, ticket_of};

/// The same packets are lost every time that they come in the same order.
const SEED: u64 = 1;

/// What the line is like.
#[derive(Debug, Clone, Args)]
pub struct Shape {
    /// Path, links, nats: rate in Mbit/s, each way.
    #[arg(long, default_value_t = 200)]
    pub mbit: u32,
    /// Path, nats: round trip in milliseconds.
    #[arg(long, default_value_t = 0.0)]
    delay: f64,
    /// Path, nats: lost packets in a hundred, each way.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Path, nats: packets in a hundred that others overtake, each way.
    #[arg(long, default_value_t = 0.0)]
    reordered: f64,
}

impl Shape {
    /// A line of this rate, with this round trip and loss.
    pub fn of(mbit: u32, delay: f64, loss: f64) -> Self {
        Self {
            mbit,
            delay,
            loss,
            reordered: 0.0,
        }
    }

    /// The line.
    pub fn line(&self) -> Line {
        Line {
            mbit: self.mbit,
            delay: Duration::from_secs_f64(self.delay / 2e3),
            loss: self.loss / 1e2,
            reordered: self.reordered / 1e2,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mbit,
            delay,
            loss,
            reordered,
        } = self;
        write!(
            f,
            "{mbit} Mbit/s, {delay} ms, {loss} % lost, {reordered} % overtaken"
        )
    }
}

/// Two hosts, the second at the end of the line.
pub struct Path {
    pub near: Host,
    pub far: Host,
    running: Running,
    _lab: Lab,
}

impl Path {
    /// The two, with packets flowing.
    pub fn new(line: Line) -> io::Result<Self> {
        let mut lab = Lab::new().ok_or_else(|| io::Error::other("no lab"))?;
        let mut internet = Internet::new(SEED);
        let mut host = |line| internet.host(&mut lab, line);
        let hosts = host(Line::default()).zip(host(line));
        let (near, far) = hosts.ok_or_else(|| io::Error::other("no internet"))?;
        Ok(Self {
            near,
            far,
            running: internet.start(),
            _lab: lab,
        })
    }
}

/// A number that iperf3 told.
fn told(end: &serde_json::Value, at: &str) -> io::Result<f64> {
    let number = end.pointer(at).and_then(serde_json::Value::as_f64);
    number.ok_or_else(|| io::Error::other(format!("iperf3 does not say {at}")))
}

/// Prints a table.
pub fn run(sets: &Sets, shape: &Shape) -> io::Result<()> {
    let file = sets.scratch.join("path.bin");
    std::fs::create_dir_all(&sets.scratch)?;
    std::fs::write(&file, data::bytes("path", sets.lab_bytes as usize))?;
    let path = Path::new(shape.line())?;
    println!("\n### A path of {shape} ({} MiB)\n", sets.lab_bytes >> 20);
    println!("| what | |");
    println!("|---|---|");
    let tcp = iperf3(&path.far, &path.near, &["-t", "10"])?;
    let round_trip = told(&tcp, "/streams/0/sender/min_rtt")? / 1e3;
    println!("| round trip of TCP, least | {round_trip:.1} ms |");
    let rate = told(&tcp, "/sum_received/bits_per_second")? / 1e6;
    println!("| TCP (iperf3) | {rate:.0} Mbit/s |");
    let rate = format!("{}M", shape.mbit);
    let datagrams = ["-t", "10", "-u", "-b", &rate, "-l", "1400"];
    let datagrams = iperf3(&path.far, &path.near, &datagrams)?;
    let rate = told(&datagrams, "/sum_received/bits_per_second")? / 1e6;
    let lost = told(&datagrams, "/sum/lost_percent")?;
    println!("| UDP sent at that rate (iperf3) | {rate:.0} Mbit/s, {lost:.2} % lost |");
    let dir = sets.fresh("path")?;
    let share = share_command(&dir.join("source"), &file);
    let (ticket, _sharer) = ticket_of(path.near.take_in(&share))?;
    let copy = dir.join("copy");
    let get = Getter::start(&path.far, &dir.join("home"), &ticket, &copy)?;
    let wall = get.finish()?.as_secs_f64();
    assert_same(&file, &copy)?;
    let mbit = sets.lab_bytes as f64 * 8e-6 / wall;
    println!("| shoal get | {wall:.1} s, {mbit:.0} Mbit/s |");
    println!("\nPackets in all: {:?}.", path.running.counts());
    Ok(())
}
