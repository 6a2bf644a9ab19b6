//! Runs a simulation and tells how it went.
//!
//! Owns: the command line. Every command prints a table, and writes the same as CSV and a plot
//! if asked to.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use shoal_simulations::swarm::Scenario;

/// The product's own decision machines in modelled worlds.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What most commands can be told.
#[derive(Debug, Clone, Args)]
struct Common {
    /// How many nodes take part; a row for each number.
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<usize>,
    /// What chance follows from: the first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Writes the rows to a file.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Draws them into a file.
    #[arg(long)]
    plot: Option<PathBuf>,
}

/// What a swarm fetches, and over what links.
#[derive(Debug, Clone, Args)]
struct Swarm {
    /// MiB that are fetched.
    #[arg(long, default_value_t = 512)]
    mib: u64,
    /// What a node's link carries of payload in each direction, in Mbit/s.
    #[arg(long, default_value_t = 191.4)]
    mbit: f64,
    /// Seconds for which a node goes on serving when it has everything.
    #[arg(long, default_value_t = 0)]
    linger: u64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One source, many receivers, all at once, each behind a link of its own.
    Fanout(commands::fanout::Options),
    /// Receivers in several sites with slow lines between; the source stands in a further one.
    Sites(commands::sites::Options),
    /// What advertising costs a node: by sweeps, and with a lookup for each key.
    Sweep(commands::sweep::Options),
    /// What finding takes and when it fails: hops, churn, Sybils.
    Lookup(commands::lookup::Options),
    /// Nodes die and come back, three in ten a minute.
    Churn(commands::faults::Options),
    /// Some lie, some fall silent, some have no right, many have a wrong clock.
    Liars(commands::faults::Options),
    /// Two sites are cut off from each other.
    Partition(commands::faults::Options),
    /// Three in four stand behind NATs, and the relay dies.
    Nats(commands::faults::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Fanout(options) => commands::fanout::run(&options),
        Command::Sites(options) => commands::sites::run(&options),
        Command::Sweep(options) => commands::sweep::run(&options),
        Command::Lookup(options) => commands::lookup::run(&options),
        Command::Churn(options) => commands::faults::run(Scenario::Churn, &options),
        Command::Liars(options) => commands::faults::run(Scenario::Liars, &options),
        Command::Partition(options) => commands::faults::run(Scenario::Partition, &options),
        Command::Nats(options) => commands::faults::run(Scenario::Nats, &options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
