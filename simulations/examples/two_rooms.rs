//! How a scenario is written: two rooms, and the only source dies half-way.
//!
//! `cargo run --release -p shoal-simulations --example two_rooms -- SEED`

use std::time::Duration;

use shoal_simulations::swarm::{Conduct, Fault, MIB, Setup, World, mbit};

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(1);

    // A source and ten receivers, each on a link of 200 Mbit/s, who all begin at once.
    let mut setup = Setup::room(seed, 256 * MIB, 10, mbit(200.0));

    // Nodes 6 to 10 stand in another room: 50 Mbit/s and 10 ms lie between.
    setup.line.rate = mbit(50.0);
    setup.line.delay = Duration::from_millis(10);
    for node in &mut setup.nodes[6..] {
        node.site = 1;
    }

    // One of them changes a tenth of the chunks that it sends on; one starts late.
    setup.nodes[7].conduct = Conduct::Liar(0.1);
    setup.nodes[9].starts = Duration::from_secs(20);

    // The source loses power when all of it has gone out about once, and is back a minute later.
    let dies = Duration::from_secs(12);
    let back = Some(Duration::from_secs(60));
    setup.faults.push((dies, Fault::PowerCut(0, back)));

    // Whoever is through goes on serving for a minute.
    setup.linger = Some(Duration::from_secs(60));

    // Every step is checked: nothing wrong is written, nothing is sent that is not held, nothing
    // is asked for that is not offered. By the deadline all have everything, or the seed and the
    // last events are told.
    match World::new(setup).run(Duration::from_secs(600)) {
        Ok(outcome) => {
            println!("median {:?}", outcome.quantile(0.5));
            println!("last   {:?}", outcome.quantile(1.0));
            println!(
                "crossed into the other room: {} MiB",
                outcome.crossed[1] / MIB
            );
        }
        Err(violation) => {
            eprintln!("{violation}");
            std::process::exit(1);
        }
    }
}
