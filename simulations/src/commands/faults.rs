//! Swarms in which much goes wrong: churn, liars, partitions, NATs.

use std::time::{Duration, Instant};

use clap::Args;
use shoal_simulations::report::{Plot, Table};
use shoal_simulations::swarm::{BYTES, Scenario, World, mbit};

use super::Failure;

/// What these commands can be told.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: crate::Common,
}

/// Goes through a scenario with all seeds; a row for each number of receivers. Ends at the first
/// seed with which a promise is broken, and tells what happened last.
pub fn run(scenario: Scenario, options: &Options) -> Result<(), Failure> {
    let counts = match options.common.nodes.is_empty() {
        true => vec![8, 64],
        false => options.common.nodes.clone(),
    };
    let mut table = Table::new(&[
        "receivers",
        "seeds",
        "without a violation",
        "median fetch s",
        "p99 s",
        "longest s",
        "faults last s at most",
        "relayed %",
        "events",
        "took s",
    ]);
    let mut plot = Plot::new(
        &format!("{scenario:?}"),
        "receivers",
        "seconds from a node's start",
    );
    for receivers in counts {
        let began = Instant::now();
        let (mut fetches, mut events, mut faults_last) = (Vec::new(), 0, Duration::ZERO);
        let mut relayed = 0;
        for seed in options.common.seed..options.common.seed + options.common.seeds {
            let setup = scenario.setup(seed, receivers);
            faults_last = faults_last.max(scenario.faults_last(&setup));
            let deadline = scenario.deadline(&setup);
            let outcome = World::new(setup).run(deadline)?;
            fetches.extend(outcome.fetches);
            events += outcome.events;
            relayed += outcome.relayed;
        }
        fetches.sort_unstable();
        let fetched = BYTES * fetches.len().max(1) as u64;
        let last = fetches.len().saturating_sub(1);
        let at = |share: f64| {
            fetches
                .get((share * last as f64) as usize)
                .map_or(0.0, Duration::as_secs_f64)
        };
        table.row(&[
            receivers.to_string(),
            options.common.seeds.to_string(),
            "all".to_owned(),
            format!("{:.1}", at(0.5)),
            format!("{:.1}", at(0.99)),
            format!("{:.1}", at(1.0)),
            format!("{:.0}", faults_last.as_secs_f64()),
            format!("{:.0}", 100.0 * relayed as f64 / fetched as f64),
            events.to_string(),
            format!("{:.1}", began.elapsed().as_secs_f64()),
        ]);
        for (name, share) in [("median", 0.5), ("99th percentile", 0.99), ("longest", 1.0)] {
            plot.point(name, receivers as f64, at(share));
        }
    }
    println!(
        "\none copy over the fastest link takes {:.1} s",
        BYTES as f64 / mbit(250.0)
    );
    table.finish(options.common.csv.as_deref())?;
    plot.finish(options.common.plot.as_deref())
}
