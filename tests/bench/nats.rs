//! Two members behind NATs, with a seed as all that they have in common: which way a transfer
//! takes, how fast it is, and what cutting the seed's line does to it.
//!
//! `--mbit`, `--delay` and `--loss` are of each of the three lines.

use std::io;
use std::time::Instant;

use shoal_tests::data;
use shoal_tests::internet::NatKind;
use shoal_tests::nats::{Plan, Team};

use crate::getter::assert_same;
use crate::path::Shape;
use crate::sets::Sets;

/// What part of the files that go over other links of the lab moves here.
const PART: u64 = 4;
/// What the seed relays on one circuit: less than moves.
const CIRCUIT_MIB: u64 = 32;

/// When the seed's line is cut.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Never,
    HalfWay,
}

/// Prints a table.
pub fn run(sets: &Sets, shape: &Shape) -> io::Result<()> {
    let bytes = sets.lab_bytes / PART;
    println!(
        "\n### A seed and two members behind NATs ({} MiB, {shape}, circuits of {CIRCUIT_MIB} MiB)\n",
        bytes >> 20
    );
    println!("| NATs | the seed's line | | | links, in this order |");
    println!("|---|---|---|---|---|");
    let (home, symmetric) = (NatKind::HOME, NatKind::SYMMETRIC);
    for (name, nats, cut) in [
        ("home, home", [home, home], Cut::Never),
        ("home, home", [home, home], Cut::HalfWay),
        ("home, symmetric", [home, symmetric], Cut::Never),
        ("symmetric, symmetric", [symmetric, symmetric], Cut::Never),
    ] {
        let (seconds, ways) = transfer(sets, shape, bytes, nats, cut)?;
        let mbit = bytes as f64 * 8e-6 / seconds;
        let line = match cut {
            Cut::Never => "stays",
            Cut::HalfWay => "cut half-way",
        };
        println!("| {name} | {line} | {seconds:.1} s | {mbit:.0} Mbit/s | {ways} |");
    }
    Ok(())
}

/// Moves `bytes` from one to the other; gives how long that took and by what.
fn transfer(
    sets: &Sets,
    shape: &Shape,
    bytes: u64,
    nats: [NatKind; 2],
    cut: Cut,
) -> io::Result<(f64, String)> {
    let plan = Plan {
        line: shape.line(),
        seed_line: shape.line(),
        seed_settings: vec![format!("relay_circuit_max={CIRCUIT_MIB}MiB")],
        logs: Some(sets.fresh("nats")?),
        ..Plan::of(nats)
    };
    let team = Team::new(&plan).ok_or_else(|| io::Error::other("no internet"))?;
    let file = team.alice.home.outside().join("file");
    std::fs::write(&file, data::bytes("nats", bytes as usize))?;
    let snapshot = team.alice.ok(&["add", &file.to_string_lossy()]);
    let began = Instant::now();
    let args = ["--timeout", "60s", "--progress", "json"];
    let (mut get, copy) = team.bob.get(snapshot.trim(), &args);
    if cut == Cut::HalfWay {
        let is_half = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let done = event["progress"]["bytes_done"].as_u64();
            done.is_some_and(|done| done >= bytes / 2)
        };
        let half = get.stderr_line(is_half);
        half.ok_or_else(|| io::Error::other("a get ended before it was half-way"))?;
        team.seed.host.set_link(false);
    }
    get.wait().ok();
    let seconds = began.elapsed().as_secs_f64();
    assert_same(&file, &copy)?;
    Ok((seconds, counted(&team.bob.ways())))
}

/// `relayed × 4, stream`.
fn counted(ways: &[String]) -> String {
    let runs = ways.chunk_by(|a, b| a == b);
    let texts = runs.map(|run| match run.len() {
        1 => run[0].clone(),
        count => format!("{} × {count}", run[0]),
    });
    texts.collect::<Vec<_>>().join(", ")
}
