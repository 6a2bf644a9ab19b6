//! Swarms of other shapes than one room: several sources of different rates, and two sites
//! with a slow link between them (a lab of network namespaces).

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use shoal_tests::data;
use shoal_tests::lab::{Host, Lab};
use shoal_tests::shoal::binary;

use crate::contender::Server;
use crate::fanout::goodput;
use crate::sets::Sets;
use crate::transfer::{share_command, ticket_of};

/// What is sent.
const BYTES: u64 = 512 << 20;
/// Uplinks of the sources, in Mbit/s.
const UPLINKS: [u32; 3] = [50, 100, 200];
/// The link of the receiver, and of everybody at a site.
const FAST: u32 = 1000;
/// The link between the sites.
const BETWEEN: u32 = 100;

/// Prints both.
pub fn run(sets: &Sets) -> io::Result<()> {
    let source = sets.scratch.join("swarm.bin");
    std::fs::create_dir_all(&sets.scratch)?;
    std::fs::write(&source, data::bytes("swarm", BYTES as usize))?;
    println!("\n### Several sources, and two sites (512 MiB)\n");
    println!("| what | bound | wall | × bound | of the summed goodput | crossed the slow link |");
    println!("|---|---|---|---|---|---|");
    several_sources(sets, &source)?;
    two_sites(sets, &source, 8)
}

/// A node that got the file and shares it on; gives the ticket that names it as well.
fn share_on(host: &Host, home: &Path, what: &Path) -> io::Result<(String, Server)> {
    ticket_of(host.take_in(&share_command(home, what)))
}

fn get(host: &Host, home: &Path, ticket: &str, to: &Path) -> Command {
    let mut get = host.command(binary());
    get.env("SHOAL_HOME", home)
        .env("XDG_RUNTIME_DIR", "")
        .args(["--progress", "none", "get", ticket])
        .arg(to)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    get
}

fn several_sources(sets: &Sets, source: &Path) -> io::Result<()> {
    let mut lab = Lab::new().ok_or_else(|| io::Error::other("no lab"))?;
    let mut site = lab.site();
    let dir = sets.fresh("swarm")?;
    // Everybody gets it from the first at full speed, and is slowed down for the measurement.
    let hosts: Vec<_> = UPLINKS.iter().map(|_| lab.host(&mut site, FAST)).collect();
    let (mut ticket, first) = share_on(&hosts[0], &dir.join("home0"), source)?;
    let mut servers = vec![first];
    for (number, host) in hosts.iter().enumerate().skip(1) {
        let (home, copy) = (
            dir.join(format!("home{number}")),
            dir.join(format!("copy{number}")),
        );
        let got = (get(host, &home, &ticket, &copy).arg("--json"))
            .stdout(Stdio::piped())
            .output()?;
        let got: serde_json::Value = serde_json::from_slice(&got.stdout)?;
        // By its id: a path would be shared by a ticket of that node's own.
        let id = got["snapshot"].as_str().unwrap_or_default();
        let (with_it, server) = share_on(host, &home, Path::new(id))?;
        ticket = with_it;
        servers.push(server);
    }
    let mut sum = 0.0;
    for (host, mbit) in hosts.iter().zip(UPLINKS) {
        lab.reshape(host, mbit);
        sum += goodput(mbit)?;
    }
    let receiver = lab.host(&mut site, FAST);
    let copy = dir.join("got");
    let start = Instant::now();
    let status = get(&receiver, &dir.join("home"), &ticket, &copy).status()?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(io::Error::other("the receiver failed"));
    }
    let bound = BYTES as f64 / sum;
    println!(
        "| sources of 50, 100 and 200 Mbit/s | {bound:.1} s | {wall:.1} s | {:.2} | {:.0} % | |",
        wall / bound,
        100.0 * bound / wall
    );
    Ok(())
}

fn two_sites(sets: &Sets, source: &Path, receivers: usize) -> io::Result<()> {
    let mut lab = Lab::new().ok_or_else(|| io::Error::other("no lab"))?;
    let (mut here, mut there) = (lab.site(), lab.site());
    let between = lab.join(&here, &there, BETWEEN);
    let dir = sets.fresh("swarm")?;
    let host = lab.host(&mut here, FAST);
    let (ticket, _sharer) = share_on(&host, &dir.join("home"), source)?;
    let hosts: Vec<_> = (0..receivers).map(|_| lab.host(&mut there, FAST)).collect();
    let before = lab.crossed(&between);
    let start = Instant::now();
    let mut running = Vec::new();
    for (number, host) in hosts.iter().enumerate() {
        let (home, copy) = (
            dir.join(format!("home{number}")),
            dir.join(format!("copy{number}")),
        );
        running.push(get(host, &home, &ticket, &copy).spawn()?);
    }
    for mut get in running {
        if !get.wait()?.success() {
            return Err(io::Error::other("a receiver failed"));
        }
    }
    let wall = start.elapsed().as_secs_f64();
    let crossed = lab.crossed(&between).0 - before.0;
    let bound = BYTES as f64 / goodput(BETWEEN)?;
    println!(
        "| {receivers} receivers behind a link of {BETWEEN} Mbit/s | {bound:.1} s | {wall:.1} s | {:.2} | | {:.2} × |",
        wall / bound,
        crossed as f64 / BYTES as f64
    );
    Ok(())
}
