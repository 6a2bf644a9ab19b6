//! Receivers in several sites, joined by slow lines; the source stands in a site of its own.

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
    /// How many sites receivers stand in; a row for each number.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    sites: Vec<usize>,
    /// What a line between sites carries of payload, in Mbit/s.
    #[arg(long, default_value_t = 95.7)]
    line: f64,
    /// How long a packet takes over such a line, in microseconds.
    #[arg(long, default_value_t = 100)]
    delay: u64,
}

/// Prints a row for each number of sites and of receivers a site.
pub fn run(options: &Options) -> Result<(), Failure> {
    let counts = match options.common.nodes.is_empty() {
        true => vec![8],
        false => options.common.nodes.clone(),
    };
    let (bytes, rate) = (options.swarm.mib * MIB, mbit(options.swarm.mbit));
    let mut table = Table::new(&[
        "sites",
        "receivers each",
        "seed",
        "p50 ×",
        "last ×",
        "most crossed into a site ×",
        "most on a line ×",
        "source sent ×",
        "repeated %",
        "took s",
    ]);
    let mut plot = Plot::new(
        "Sites with slow lines between",
        "sites",
        "times the size, or the bound",
    );
    for sites in &options.sites {
        for receivers in &counts {
            for seed in options.common.seed..options.common.seed + options.common.seeds {
                let mut setup = Setup::room(seed, bytes, sites * receivers, rate);
                setup.linger = Some(Duration::from_secs(options.swarm.linger));
                setup.line.rate = mbit(options.line);
                setup.line.delay = Duration::from_micros(options.delay);
                for (number, node) in setup.nodes.iter_mut().enumerate().skip(1) {
                    node.site = 1 + (number - 1) % sites;
                }
                let uplink = rate.min(*sites as f64 * setup.line.rate);
                let bound = bytes as f64 / setup.line.rate.min(uplink);
                let began = Instant::now();
                let outcome = World::new(setup).run(Duration::from_secs_f64(PATIENCE * bound))?;
                let times = |time: Duration| time.as_secs_f64() / bound;
                let crossed =
                    outcome.crossed.iter().max().copied().unwrap_or(0) as f64 / bytes as f64;
                let on_a_line = outcome.most_on_a_line as f64 / bytes as f64;
                let repeated =
                    100.0 * outcome.repeated as f64 / (bytes as f64 * (sites * receivers) as f64);
                let last = times(outcome.quantile(1.0));
                table.row(&[
                    sites.to_string(),
                    receivers.to_string(),
                    seed.to_string(),
                    format!("{:.3}", times(outcome.quantile(0.5))),
                    format!("{last:.3}"),
                    format!("{crossed:.3}"),
                    format!("{on_a_line:.3}"),
                    format!("{:.3}", outcome.sources_sent as f64 / bytes as f64),
                    format!("{repeated:.1}"),
                    format!("{:.1}", began.elapsed().as_secs_f64()),
                ]);
                plot.point("last fetch, times the bound", *sites as f64, last);
                for (what, times) in [
                    ("crossed into a site, times the size", crossed),
                    ("crossed a line, times the size, at most", on_a_line),
                ] {
                    plot.point(what, *sites as f64, times);
                }
            }
        }
    }
    table.finish(options.common.csv.as_deref())?;
    plot.finish(options.common.plot.as_deref())
}
