//! A fan-out in the lab beside the same one simulated: what a change to a machine promises in
//! simulation is what it has to bring.
//!
//! The lab's nodes share this machine's processors, so that it has to have nothing else to do.
//! Fails where the two differ by more than is allowed.

use std::io;
use std::time::Duration;

use shoal_simulations::swarm::{Setup, World};
use shoal_tests::data;

use crate::fanout::{goodput, shoal};
use crate::sets::Sets;

/// Rooms that are compared: so many receivers.
const ROOMS: [usize; 2] = [4, 8];
/// The rate of every link, in Mbit/s.
const MBIT: u32 = 200;
/// Rounds in the lab, of which the median counts,
const ROUNDS: usize = 3;
/// and seeds in the simulation, of which the mean does.
const SEEDS: u64 = 6;
/// The share by which they may differ.
const TOLERANCE: f64 = 0.15;
/// A simulated room takes no longer than so many times the bound.
const PATIENCE: f64 = 20.0;

/// The end of the last fetch by the bound, and what the source sent by the size.
#[derive(Debug, Clone, Copy)]
struct Effect {
    last: f64,
    sent: f64,
}

/// Prints a row for each room.
pub fn run(sets: &Sets) -> io::Result<()> {
    let source = sets.scratch.join("fanout.bin");
    std::fs::create_dir_all(&sets.scratch)?;
    std::fs::write(&source, data::bytes("fanout", sets.lab_bytes as usize))?;
    let rate = goodput(MBIT)?;
    let bound = sets.lab_bytes as f64 / rate;
    println!(
        "\n### A fan-out of {} MiB in the lab and simulated\n",
        sets.lab_bytes >> 20
    );
    println!(
        "| receivers | lab × bound | simulated × | lab / simulated | source sent, lab × | simulated × |"
    );
    println!("|---|---|---|---|---|---|");
    let mut worst: f64 = 0.0;
    for receivers in ROOMS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let outcome = shoal(sets, &source, receivers, MBIT)?;
            rounds.push(Effect {
                last: outcome.wall.as_secs_f64() / bound,
                sent: outcome.sent as f64 / sets.lab_bytes as f64,
            });
        }
        rounds.sort_by(|a, b| a.last.total_cmp(&b.last));
        let (lab, model) = (
            rounds[ROUNDS / 2],
            simulated(sets.lab_bytes, receivers, rate)?,
        );
        let ratio = lab.last / model.last;
        worst = worst.max((ratio - 1.0).abs());
        println!(
            "| {receivers} | {:.2} | {:.2} | {ratio:.2} | {:.2} | {:.2} |",
            lab.last, model.last, lab.sent, model.sent
        );
    }
    match worst <= TOLERANCE {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "the lab and the simulation differ by {:.0} %",
            100.0 * worst
        ))),
    }
}

fn simulated(bytes: u64, receivers: usize, rate: f64) -> io::Result<Effect> {
    let mut sum = Effect {
        last: 0.0,
        sent: 0.0,
    };
    let bound = bytes as f64 / rate;
    for seed in 1..=SEEDS {
        let setup = Setup::room(seed, bytes, receivers, rate);
        let outcome = World::new(setup).run(Duration::from_secs_f64(PATIENCE * bound));
        let outcome = outcome.map_err(|violation| io::Error::other(violation.to_string()))?;
        sum.last += outcome.quantile(1.0).as_secs_f64() / bound;
        sum.sent += outcome.sources_sent as f64 / bytes as f64;
    }
    Ok(Effect {
        last: sum.last / SEEDS as f64,
        sent: sum.sent / SEEDS as f64,
    })
}
