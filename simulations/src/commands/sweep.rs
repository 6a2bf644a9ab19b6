//! What advertising costs a node.

use std::time::Instant;

use clap::Args;
use shoal_simulations::dht::{Kademlia, sweep};
use shoal_simulations::random::Random;
use shoal_simulations::report::{Plot, Table};

use super::Failure;

/// Sweeps a day, with the interval that holds until churn is known.
const SWEEPS_A_DAY: f64 = 2.0;
/// One in a hundred of the bytes that a link of 1 Gbit/s carries in a day.
const BUDGET_BYTES: f64 = 1e9 / 8.0 / 100.0 * 86_400.0;

/// What the command can be told.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: crate::Common,
    /// Keys that each node advertises; a row for each number.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    keys: Vec<u32>,
}

/// Prints a row for each number of nodes and of keys.
pub fn run(options: &Options) -> Result<(), Failure> {
    let counts = match options.common.nodes.is_empty() {
        true => vec![100, 1000, 10_000],
        false => options.common.nodes.clone(),
    };
    let mut table = Table::new(&[
        "nodes",
        "keys",
        "lookups a sweep",
        "requests a day",
        "records a day",
        "MB a day",
        "a sweep takes min",
        "keys in memory",
        "a lookup a key: requests a day",
        "and MB a day",
        "keys at 1 % of 1 Gbit/s",
        "took s",
    ]);
    let mut plot = Plot::new("Advertising, a node and day", "keys", "MB a day").logarithmic();
    for nodes in counts {
        let mut random = Random::new(options.common.seed);
        let network = Kademlia::new(&mut random, nodes, 0.05, &[]);
        for keys in &options.keys {
            let began = Instant::now();
            let swept = sweep(&network, options.common.seed, *keys);
            let day = |amount: u64| amount as f64 * SWEEPS_A_DAY;
            let (bytes, naive) = (day(swept.bytes), day(swept.naive_bytes));
            let budget = f64::from(*keys) * BUDGET_BYTES / bytes;
            table.row(&[
                nodes.to_string(),
                keys.to_string(),
                swept.lookups.to_string(),
                format!("{:.0}", day(swept.requests)),
                format!("{:.0}", day(swept.records)),
                format!("{:.1}", bytes / 1e6),
                format!("{:.1}", swept.took.as_secs_f64() / 60.0),
                swept.keys_in_memory.to_string(),
                format!("{:.0}", day(swept.naive_requests)),
                format!("{:.0}", naive / 1e6),
                format!("{:.0} million", budget / 1e6),
                format!("{:.1}", began.elapsed().as_secs_f64()),
            ]);
            plot.point(
                &format!("sweep, {nodes} nodes"),
                f64::from(*keys),
                bytes / 1e6,
            );
            plot.point(
                &format!("a lookup a key, {nodes} nodes"),
                f64::from(*keys),
                naive / 1e6,
            );
        }
    }
    table.finish(options.common.csv.as_deref())?;
    plot.finish(options.common.plot.as_deref())
}
