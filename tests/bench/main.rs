//! Times the whole program beside the tools that people use today.
//!
//! `cargo run --release -p shoal-tests --bin bench -- all` makes the data sets (once),
//! runs every contender in turn, round by round, and prints a table of medians and ratios.
//! A tool that is not installed is named as missing. Everything runs on loopback.

mod abuse;
mod advertise;
mod attack;
mod calibrate;
mod contender;
mod edits;
mod fanout;
mod faults;
mod getter;
mod ingest;
mod kademlia;
mod kept;
mod latency;
mod links;
mod nats;
mod path;
mod report;
mod sets;
mod sources;
mod swarm;
mod text;
mod transfer;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// `add` beside `cp`, `dd` and the versioning tools.
    Ingest,
    /// `get` beside rsync, curl and sendme, with peak memory of both sides.
    Transfer,
    /// Bytes on the wire after an edit.
    Edits,
    /// `cat` of a remote file at random offsets.
    Latency,
    /// One source and many receivers on shaped links; needs root.
    Fanout,
    /// A fan-out in the lab beside the same one simulated; needs root.
    Calibrate,
    /// Several sources, and two sites with a slow link between them; needs root.
    Swarm,
    /// Sources that lost a part, lie or freeze, and receivers that come late or are killed;
    /// needs root.
    Faults,
    /// A get while others do harm to who serves it: crowds, floods, silence; needs root.
    Abuse,
    /// A first fetch of text over a slow link, beside incompressible bytes; needs root.
    Text,
    /// A line with delay and loss: TCP, datagrams, and a get; needs root.
    Path,
    /// Two members behind NATs and a seed: which way a transfer takes; needs root.
    Nats,
    /// Links alone, by each way, over lines with delay and loss; needs root.
    Links,
    /// Who does harm in `abuse`, on a host of its own.
    #[value(hide = true)]
    Attack,
    /// A full sweep of one of thirty nodes, beside a provider record for each key; needs root.
    Advertise,
    /// The source that lies in `faults`: it runs on a host of its own.
    #[value(hide = true)]
    Liar,
    /// The ends of a link in `links`, on hosts of their own.
    #[value(hide = true)]
    LinkSource,
    #[value(hide = true)]
    LinkSink,
    /// A node in `advertise`.
    #[value(hide = true)]
    PlainNode,
    /// Everything that needs no root.
    All,
}

/// Times shoal beside other tools; medians of interleaved rounds.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Where data sets and copies go; at least 20 GB free, on a local disk.
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
    /// Rounds to take the median of.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Divides the size of every data set, for a quick look.
    #[arg(long, default_value_t = 1)]
    shrink: u64,
    /// Leave out the slow versioning tools; in the fan-out, all other tools.
    #[arg(long)]
    quick: bool,
    /// Fan-out: only rooms with so many receivers.
    #[arg(long)]
    receivers: Option<usize>,
    #[command(flatten)]
    shape: path::Shape,
    #[command(flatten)]
    ends: links::Ends,
    #[command(flatten)]
    orders: attack::Orders,
    /// Abuse: only these attacks.
    #[arg(long, value_delimiter = ',')]
    attacks: Vec<attack::Attack>,
    #[command(flatten)]
    scale: advertise::Scale,
    #[command(flatten)]
    plain: kademlia::Plain,
    /// Liar: what it serves.
    #[arg(long, hide = true, required_if_eq("what", "liar"))]
    ticket: Option<String>,
    /// Liar, attacks: from which home.
    #[arg(long, hide = true, required_if_eq("what", "liar"))]
    home: Option<PathBuf>,
    /// Liar, ends of links, plain nodes: at which address; attacks: at whose.
    #[arg(long, hide = true, required_if_eq_any([
        ("what", "liar"), ("what", "link-source"), ("what", "link-sink"), ("what", "plain-node"),
        ("what", "attack"),
    ]))]
    listen: Option<SocketAddr>,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    if let (What::Liar, Some(ticket), Some(home), Some(listen)) =
        (args.what, &args.ticket, &args.home, args.listen)
    {
        return faults::lie(home, ticket, listen);
    }
    match (args.what, args.listen) {
        (What::LinkSource, Some(at)) => return links::source(at, &args.ends),
        (What::LinkSink, Some(from)) => return links::sink(from, &args.ends),
        (What::PlainNode, Some(at)) => return kademlia::run(at, &args.plain),
        (What::Links, _) => return links::run(&args.shape, &args.ends),
        (What::Attack, Some(at)) => return attack::run(at, &args.orders),
        (What::Abuse, _) => return abuse::run(&args.dir, (256 << 20) / args.shrink, &args.attacks),
        _ => {}
    }
    std::fs::create_dir_all(&args.dir)?;
    if args.what == What::Advertise {
        return advertise::run(&args.dir.canonicalize()?, &args.scale);
    }
    let sets = sets::Sets::make(&args.dir.canonicalize()?, args.shrink)?;
    match args.what {
        What::Fanout => return fanout::run(&sets, args.receivers, args.quick),
        What::Calibrate => return calibrate::run(&sets),
        What::Swarm => return swarm::run(&sets),
        What::Faults => return faults::run(&sets),
        What::Text => return text::run(&sets),
        What::Path => return path::run(&sets, &args.shape),
        What::Nats => return nats::run(&sets, &args.shape),
        _ => {}
    }
    sets::touch_memory(0.7)?;
    let wants = |what| args.what == what || args.what == What::All;
    if wants(What::Ingest) {
        ingest::run(&sets, args.rounds, args.quick)?;
    }
    if wants(What::Transfer) {
        transfer::run(&sets, args.rounds)?;
    }
    if wants(What::Edits) {
        edits::run(&sets)?;
    }
    if wants(What::Latency) {
        latency::run(&sets)?;
    }
    Ok(())
}
