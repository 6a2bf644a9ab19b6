//! A first fetch of text over a slow link, beside bytes that do not compress (a lab of
//! network namespaces).

use std::io;
use std::path::Path;

use shoal_tests::data;

use crate::fanout::{goodput, shoal};
use crate::sets::Sets;

/// The rate of both links, in Mbit/s.
const MBIT: u32 = 200;

/// Prints a row for either.
pub fn run(sets: &Sets) -> io::Result<()> {
    let noise = sets.scratch.join("noise.bin");
    std::fs::create_dir_all(&sets.scratch)?;
    std::fs::write(&noise, data::bytes("noise", sets.lab_bytes as usize))?;
    let goodput = goodput(MBIT)?;
    println!("\n### First fetch over {MBIT} Mbit/s\n");
    println!("| what | MB | size / goodput | wall | × | sent, of the size |");
    println!("|---|---|---|---|---|---|");
    for (what, file) in [("CSV", &sets.csv), ("incompressible", &noise)] {
        row(sets, what, file, goodput)?;
    }
    Ok(())
}

fn row(sets: &Sets, what: &str, file: &Path, goodput: f64) -> io::Result<()> {
    let bytes = file.metadata()?.len() as f64;
    let outcome = shoal(sets, file, 1, MBIT)?;
    let (bound, wall) = (bytes / goodput, outcome.wall.as_secs_f64());
    println!(
        "| {what} | {:.0} | {bound:.1} s | {wall:.1} s | {:.2} | {:.2} |",
        bytes / 1e6,
        wall / bound,
        outcome.sent as f64 / bytes
    );
    Ok(())
}
