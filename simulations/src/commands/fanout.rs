//! One source and many receivers in one room.

use std::time::{Duration, Instant};

use clap::Args;
use shoal_simulations::report::{Plot, Table};
use shoal_simulations::swarm::{MIB, Setup, World, mbit};

use super::{Failure, PATIENCE};

/// What the command can be told.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: crate::Common,
    #[command(flatten)]
    swarm: crate::Swarm,
    /// The most connections that a node lets in.
    #[arg(long, default_value_t = 256)]
    visitors: usize,
}

/// Prints a row for each number of receivers and each seed.
pub fn run(options: &Options) -> Result<(), Failure> {
    let counts = match options.common.nodes.is_empty() {
        true => vec![10, 100, 1000],
        false => options.common.nodes.clone(),
    };
    let (bytes, rate) = (options.swarm.mib * MIB, mbit(options.swarm.mbit));
    let bound = bytes as f64 / rate;
    let mut table = Table::new(&[
        "receivers",
        "seed",
        "p50 ×",
        "p99 ×",
        "last ×",
        "source sent ×",
        "repeated %",
        "events",
        "took s",
    ]);
    let mut plot = Plot::new("Fan-out", "receivers", "times the bound");
    for receivers in counts {
        for seed in options.common.seed..options.common.seed + options.common.seeds {
            let mut setup = Setup::room(seed, bytes, receivers, rate);
            setup.linger = Some(Duration::from_secs(options.swarm.linger));
            setup.visitors_max = options.visitors;
            let began = Instant::now();
            let outcome = World::new(setup).run(Duration::from_secs_f64(PATIENCE * bound))?;
            let times = |time: Duration| time.as_secs_f64() / bound;
            let [p50, p99, last] = [0.5, 0.99, 1.0].map(|share| times(outcome.quantile(share)));
            let sent = outcome.sources_sent as f64 / bytes as f64;
            let repeated = 100.0 * outcome.repeated as f64 / (bytes as f64 * receivers as f64);
            table.row(&[
                receivers.to_string(),
                seed.to_string(),
                format!("{p50:.2}"),
                format!("{p99:.2}"),
                format!("{last:.2}"),
                format!("{sent:.2}"),
                format!("{repeated:.1}"),
                outcome.events.to_string(),
                format!("{:.1}", began.elapsed().as_secs_f64()),
            ]);
            for (name, value) in [
                ("median", p50),
                ("99th percentile", p99),
                ("source sent", sent),
            ] {
                plot.point(name, receivers as f64, value);
            }
        }
    }
    table.finish(options.common.csv.as_deref())?;
    plot.finish(options.common.plot.as_deref())
}
