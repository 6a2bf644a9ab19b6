//! What finding takes, and when it fails.

use clap::Args;
use shoal_simulations::dht::{Finding, Found};
use shoal_simulations::report::{Plot, Table};

use super::Failure;

/// What the command can be told.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: crate::Common,
    /// How long ago things were advertised, in half-lives of peers; a row for each.
    #[arg(long, value_delimiter = ',', default_value = "0.5,1,1.5,2,3,4")]
    half_lives: Vec<f64>,
    /// How many Sybils surround the first key; a row for each number.
    #[arg(long, value_delimiter = ',', default_value = "0,5,10,20,40")]
    sybils: Vec<usize>,
    /// How many of a file's chunks are looked for together, where Sybils hide the first.
    #[arg(long, default_value_t = 8)]
    keys: usize,
}

/// Prints rows for churn, then rows for Sybils.
pub fn run(options: &Options) -> Result<(), Failure> {
    let counts = match options.common.nodes.is_empty() {
        true => vec![100, 1000],
        false => options.common.nodes.clone(),
    };
    let mut table = Table::new(&[
        "nodes",
        "advertised ago, half-lives",
        "keys",
        "Sybils",
        "met",
        "searches",
        "found %",
        "hops p50",
        "hops p99",
        "requests a lookup",
        "asked",
        "unanswered %",
    ]);
    let mut plot = Plot::new(
        "Found, by how long ago it was advertised",
        "half-lives of peers",
        "% not found",
    );
    for nodes in counts {
        let plain = Finding {
            peers: nodes,
            half_lives: 1.0,
            stale: 0.1,
            keys: 1,
            sybils: 0,
            met: 0,
        };
        for half_lives in &options.half_lives {
            let missed = row(
                options,
                &mut table,
                Finding {
                    half_lives: *half_lives,
                    ..plain
                },
            );
            plot.point(&format!("{nodes} nodes"), *half_lives, missed);
        }
        for sybils in &options.sybils {
            let surrounded = Finding {
                half_lives: 0.5,
                sybils: *sybils,
                ..plain
            };
            row(options, &mut table, surrounded);
            row(
                options,
                &mut table,
                Finding {
                    met: 8,
                    ..surrounded
                },
            );
            row(
                options,
                &mut table,
                Finding {
                    keys: options.keys,
                    ..surrounded
                },
            );
        }
    }
    table.finish(options.common.csv.as_deref())?;
    plot.finish(options.common.plot.as_deref())
}

/// Searches with every seed; gives the percentage that found nothing.
fn row(options: &Options, table: &mut Table, finding: Finding) -> f64 {
    let seeds = options.common.seed..options.common.seed + options.common.seeds;
    let found: Vec<Found> = seeds.map(|seed| finding.run(seed)).collect();
    let count = found.len().max(1) as f64;
    let share = 100.0 * found.iter().filter(|found| found.is_found).count() as f64 / count;
    let lookups = || found.iter().flat_map(|found| &found.lookups);
    let mut hops: Vec<_> = lookups().map(|lookup| lookup.hops).collect();
    hops.sort_unstable();
    let hops_at = |share: f64| {
        let last = hops.len().saturating_sub(1);
        hops.get((share * last as f64).ceil() as usize)
            .copied()
            .unwrap_or(0)
    };
    let requests: usize = lookups().map(|lookup| lookup.requests).sum();
    let unanswered: usize = lookups().map(|lookup| lookup.unanswered).sum();
    let asked: usize = found.iter().map(|found| found.asked).sum();
    table.row(&[
        finding.peers.to_string(),
        finding.half_lives.to_string(),
        finding.keys.to_string(),
        finding.sybils.to_string(),
        finding.met.to_string(),
        found.len().to_string(),
        format!("{share:.2}"),
        hops_at(0.5).to_string(),
        hops_at(0.99).to_string(),
        format!("{:.1}", requests as f64 / hops.len().max(1) as f64),
        format!("{:.1}", asked as f64 / count),
        format!("{:.1}", 100.0 * unanswered as f64 / requests.max(1) as f64),
    ]);
    100.0 - share
}
