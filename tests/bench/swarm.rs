//! Swarms of other shapes than one room: several sources of different rates, and two sites
//! with a slow link between them (a lab of network namespaces).
//!
//! What crossed the link between the sites is counted at its interface, twice: as it is, and
//! without headers, which are 66 bytes (Ethernet, IPv4, TCP with time stamps) for each packet
//! that the interface counted.

use std::io;
use std::path::Path;
use std::time::Instant;

use shoal_tests::data;
use shoal_tests::lab::Lab;

use crate::fanout::goodput;
use crate::getter::{Getter, assert_same};
use crate::sets::Sets;
use crate::sources::{FAST, Sources, UPLINKS, goodputs};
use crate::transfer::{share_command, ticket_of};

/// The link between the sites.
const BETWEEN: u32 = 100;

/// Prints both.
pub fn run(sets: &Sets) -> io::Result<()> {
    let source = sets.scratch.join("swarm.bin");
    std::fs::create_dir_all(&sets.scratch)?;
    std::fs::write(&source, data::bytes("swarm", sets.lab_bytes as usize))?;
    println!(
        "\n### Several sources, and two sites ({} MiB)\n",
        sets.lab_bytes >> 20
    );
    println!(
        "| what | bound | wall | × bound | of the summed goodput | crossed the slow link | payload of that |"
    );
    println!("|---|---|---|---|---|---|---|");
    several_sources(sets, &source)?;
    two_sites(sets, &source, 8)
}

fn several_sources(sets: &Sets, source: &Path) -> io::Result<()> {
    let sum: f64 = goodputs()?.iter().sum();
    let sources = Sources::new(sets, source)?;
    let wall = sources.finish(sources.start_get()?)?.as_secs_f64();
    let bound = sets.lab_bytes as f64 / sum;
    println!(
        "| sources of {UPLINKS:?} Mbit/s | {bound:.1} s | {wall:.1} s | {:.2} | {:.0} % | | |",
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
    let share = share_command(&dir.join("home"), source);
    let (ticket, _sharer) = ticket_of(host.take_in(&share))?;
    let hosts: Vec<_> = (0..receivers).map(|_| lab.host(&mut there, FAST)).collect();
    let count = || (lab.crossed(&between).0, lab.crossed_payload(&between).0);
    let before = count();
    let start = Instant::now();
    let mut running = Vec::new();
    for (number, host) in hosts.iter().enumerate() {
        let home = dir.join(format!("home{number}"));
        let copy = dir.join(format!("copy{number}"));
        running.push((Getter::start(host, &home, &ticket, &copy)?, copy));
    }
    let mut copies = Vec::new();
    for (get, copy) in running {
        get.finish()?;
        copies.push(copy);
    }
    let wall = start.elapsed().as_secs_f64();
    let after = count();
    for copy in copies {
        assert_same(source, &copy)?;
    }
    let bytes = sets.lab_bytes as f64;
    let bound = bytes / goodput(BETWEEN)?;
    println!(
        "| {receivers} receivers behind a link of {BETWEEN} Mbit/s | {bound:.1} s | {wall:.1} s | {:.2} | | {:.2} × | {:.2} × |",
        wall / bound,
        (after.0 - before.0) as f64 / bytes,
        (after.1 - before.1) as f64 / bytes
    );
    Ok(())
}
