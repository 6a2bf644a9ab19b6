//! What it costs to advertise everything that a node has: a full sweep of one of thirty nodes,
//! each a process on a host of its own (a lab of network namespaces). Beside it what one
//! `start_providing` for each key costs with libp2p's Kademlia: thirty plain nodes on the same
//! hosts, extrapolated from a thousand keys.
//!
//! The artifact is as many small files, each one chunk: what is advertised is keys of 16 bytes,
//! whatever lies behind them.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use shoal_protocol::id::ChunkId;
use shoal_tests::lab::{Host, Lab};
use shoal_tests::shoal::{Finished, Home, Running};

use crate::usage::Usage;

/// The rate of every link, in Mbit/s.
const MBIT: u32 = 1000;
/// Files in one folder.
const FOLDER: u64 = 1000;
/// Keys that are provided one by one.
const PROVIDED: u64 = 1000;
/// Chunks that another node is asked for in the end.
const SOUGHT: u64 = 50;
/// Where plain nodes listen.
const PORT: u16 = 4001;
/// How often it is looked whether the sweep is through.
const LOOK: Duration = Duration::from_millis(200);
/// Which node advertises, and which seeks.
const ADVERTISER: usize = 1;
const SEEKER: usize = 7;

/// How much is advertised, and how fast.
#[derive(Debug, Clone, Args)]
pub struct Scale {
    /// Advertise: how many chunks.
    #[arg(long, default_value_t = 1_000_000)]
    chunks: u64,
    /// Advertise: how many nodes.
    #[arg(long, default_value_t = 30)]
    nodes: usize,
    /// Advertise: `advert_rate` of the nodes, such as `1 MiB`.
    #[arg(long, default_value = "256 KiB")]
    advert_rate: String,
}

/// What one contender cost.
struct Cost {
    /// Requests that the advertiser sent, in words.
    requests: String,
    /// Their number.
    requests_count: f64,
    /// Wire bytes of the advertiser, headers included.
    sent: f64,
    received: f64,
    advertiser: Usage,
    /// Processor time of all others together.
    others_cpu_s: f64,
    /// The largest of the others.
    others_peak: u64,
    wall: Duration,
}

/// Prints the table.
pub fn run(dir: &Path, scale: &Scale) -> io::Result<()> {
    let mut lab = Lab::new().ok_or_else(|| io::Error::other("no lab"))?;
    let mut site = lab.site();
    let hosts: Vec<_> = (0..scale.nodes.max(SEEKER + 1))
        .map(|_| lab.host(&mut site, MBIT))
        .collect();
    let kademlia = provide(&hosts)?;
    let folder = files(dir, scale.chunks)?;
    let (shoal, notes) = sweep(&hosts, &folder, scale)?;
    print(&shoal, &kademlia, scale);
    println!("\n{notes}");
    Ok(())
}

/// As many small files, made once.
fn files(dir: &Path, chunks: u64) -> io::Result<PathBuf> {
    let folder = dir.join(format!("chunks-{chunks}"));
    let done = dir.join(format!("chunks-{chunks}-complete"));
    if !done.exists() {
        eprintln!("making {chunks} files …");
        for number in 0..chunks {
            let within = folder.join((number / FOLDER).to_string());
            if number % FOLDER == 0 {
                fs::create_dir_all(&within)?;
            }
            fs::write(within.join(number.to_string()), content(number))?;
        }
        fs::write(done, b"")?;
    }
    Ok(folder)
}

fn content(number: u64) -> String {
    format!("what stands in file {number}, and in no other")
}

/// A member of the team.
struct Node<'a> {
    host: &'a Host,
    home: Home,
    advert_rate: String,
    running: Option<Running>,
}

impl Node<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command
            .env("SHOAL_MDNS", "false")
            .env("SHOAL_ADVERT_RATE", &self.advert_rate);
        self.host.take_in(&command)
    }

    fn run(&self, args: &[&str]) -> io::Result<String> {
        let finished = Finished::of(self.command(args).stdin(Stdio::null()));
        match finished.status.success() {
            true => Ok(finished.stdout.trim().to_owned()),
            false => Err(io::Error::other(format!("{args:?}: {}", finished.stderr))),
        }
    }

    fn up(&mut self) -> io::Result<()> {
        let mut running = Running::of(self.command(&["up"]));
        let listens = running.stderr_line(|line| line.contains("listens on"));
        self.running = Some(running);
        listens.map_or(Err(io::Error::other("a node did not start")), |_| Ok(()))
    }

    fn down(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal_and_wait();
        }
    }

    fn usage(&self) -> io::Result<Usage> {
        let running = self.running.as_ref();
        Usage::of(running.map_or(0, Running::id))
    }

    fn knows(&self) -> io::Result<usize> {
        let members = self.run(&["--json", "team", "members"])?;
        let said: Value = serde_json::from_str(&members)?;
        Ok(said["members"].as_array().map_or(0, Vec::len))
    }
}

/// A team on these hosts, in which all know all.
fn team<'a>(hosts: &'a [Host], scale: &Scale) -> io::Result<Vec<Node<'a>>> {
    let node = |host| Node {
        host,
        home: Home::new(),
        advert_rate: scale.advert_rate.clone(),
        running: None,
    };
    let mut nodes: Vec<_> = hosts.iter().map(node).collect();
    nodes.iter_mut().try_for_each(Node::up)?;
    nodes[0].run(&["team", "create", "lab", "--my-name", "n0"])?;
    let uses = nodes.len().to_string();
    let invitation = nodes[0].run(&["team", "invite", "--uses", &uses])?;
    for (number, node) in nodes.iter().enumerate().skip(1) {
        node.run(&[
            "team",
            "join",
            &invitation,
            "--my-name",
            &format!("n{number}"),
        ])?;
    }
    for node in &nodes {
        while node.knows()? < nodes.len() {
            std::thread::sleep(LOOK);
        }
    }
    Ok(nodes)
}

/// Has one of a team sweep.
fn sweep(hosts: &[Host], folder: &Path, scale: &Scale) -> io::Result<(Cost, String)> {
    let mut nodes = team(hosts, scale)?;
    let advertiser = &mut nodes[ADVERTISER];
    advertiser.down();
    let began = Instant::now();
    advertiser.run(&["add", &folder.to_string_lossy()])?;
    eprintln!("  added in {:.0} s", began.elapsed().as_secs_f64());
    // The node has none of what it knew of its last sweep, as if the next were due.
    let progress = advertiser.home.path().join("run/sweep.json");
    if progress.exists() {
        fs::remove_file(&progress)?;
    }
    let before = others(&nodes)?;
    let moved = hosts[ADVERTISER].moved();
    nodes[ADVERTISER].up()?;
    while !is_through(&progress) {
        std::thread::sleep(LOOK);
    }
    let after = others(&nodes)?;
    let advertiser = &nodes[ADVERTISER];
    let usage = advertiser.usage()?;
    let (sent, received) = hosts[ADVERTISER].moved();
    let said: Value = serde_json::from_str(&advertiser.run(&["--json", "status"])?)?;
    let (at, control) = (&said["advertising"], &said["control"]);
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let (requests, questions) = (
        number(&control["requests_out"]),
        number(&control["dht_requests_out"]),
    );
    let found = seek(&nodes[SEEKER], scale.chunks)?;
    let notes = format!(
        "Of {} keys {} were listed in the end, {} were sent (each counts once a copy), {} refused, \
         {} given up; {} batches, {} lookups. In streams {} bytes out, {} in. At the others' \
         before: at most {} MiB. Of {SOUGHT} chunks {found} were found by another node.",
        at["keys"],
        at["keys_listed"],
        at["keys_sent"],
        at["keys_refused"],
        at["keys_given_up"],
        at["batches"],
        at["lookups"],
        control["bytes_out"],
        control["bytes_in"],
        peak(&before) >> 20,
    );
    let cost = Cost {
        requests: format!("{requests} + {questions} in the DHT"),
        requests_count: (requests + questions) as f64,
        sent: (sent - moved.0) as f64,
        received: (received - moved.1) as f64,
        advertiser: usage,
        others_cpu_s: cpu(&after) - cpu(&before),
        others_peak: peak(&after),
        wall: Duration::from_millis(number(&at["took_ms"])),
    };
    nodes.iter_mut().for_each(Node::down);
    Ok((cost, notes))
}

/// Whether the sweep that is written down here has come to its end.
fn is_through(progress: &Path) -> bool {
    let text = fs::read_to_string(progress).unwrap_or_default();
    let said: Value = serde_json::from_str(&text).unwrap_or_default();
    said.is_object() && said["next"].is_null()
}

fn others(nodes: &[Node<'_>]) -> io::Result<Vec<Usage>> {
    let others = nodes.iter().enumerate();
    let others = others.filter(|(number, _)| *number != ADVERTISER);
    others.map(|(_, node)| node.usage()).collect()
}

fn cpu(usages: &[Usage]) -> f64 {
    usages.iter().map(|usage| usage.cpu_s).sum()
}

fn peak(usages: &[Usage]) -> u64 {
    usages
        .iter()
        .map(|usage| usage.peak_bytes)
        .max()
        .unwrap_or(0)
}

/// How many of some chunks another node finds.
fn seek(node: &Node<'_>, chunks: u64) -> io::Result<u64> {
    let mut found = 0;
    for number in (0..SOUGHT).map(|number| number * chunks / SOUGHT) {
        let id = ChunkId::of(content(number).as_bytes()).to_string();
        let finished = Finished::of(node.command(&["whereis", &id]).stdin(Stdio::null()));
        match finished.status.code() {
            Some(0) => found += 1,
            Some(4) => {}
            _ => return Err(io::Error::other(finished.stderr)),
        }
    }
    Ok(found)
}

/// A plain node of Kademlia's, at the other end of its standard input and output.
struct Plain {
    child: Child,
    said: BufReader<ChildStdout>,
    order: ChildStdin,
}

impl Plain {
    fn start(hosts: &[Host], number: usize) -> io::Result<Self> {
        let at = |number: usize| SocketAddr::new(hosts[number].ip.into(), PORT).to_string();
        let mut command = hosts[number].command(std::env::current_exe()?);
        command
            .args(["plain-node", "--number", &number.to_string()])
            .args(["--listen", &at(number)]);
        if number > 0 {
            command.args(["--first", &at(0)]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (said, order) = (child.stdout.take(), child.stdin.take());
        let no_pipe = || io::Error::other("no pipe");
        let mut plain = Self {
            child,
            said: BufReader::new(said.ok_or_else(no_pipe)?),
            order: order.ok_or_else(no_pipe)?,
        };
        match plain.line()?.as_str() {
            "ready" => Ok(plain),
            other => Err(io::Error::other(format!("a plain node said {other:?}"))),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has one of thirty plain nodes provide keys.
fn provide(hosts: &[Host]) -> io::Result<Cost> {
    let nodes = (0..hosts.len()).map(|number| Plain::start(hosts, number));
    let mut nodes: Vec<_> = nodes.collect::<io::Result<_>>()?;
    let usage = |nodes: &[Plain]| -> io::Result<Vec<Usage>> {
        nodes
            .iter()
            .map(|node| Usage::of(node.child.id()))
            .collect()
    };
    let (before, moved) = (usage(&nodes)?, hosts[ADVERTISER].moved());
    writeln!(nodes[ADVERTISER].order, "{PROVIDED}")?;
    let line = nodes[ADVERTISER].line()?;
    let (after, (sent, received)) = (usage(&nodes)?, hosts[ADVERTISER].moved());
    let mut words = line.split(' ').filter_map(|word| word.parse::<f64>().ok());
    let (Some(requests), Some(seconds)) = (words.next(), words.next()) else {
        return Err(io::Error::other(format!("a plain node said {line:?}")));
    };
    let took = |number: usize| after[number].cpu_s - before[number].cpu_s;
    let others = (0..nodes.len()).filter(|number| *number != ADVERTISER);
    Ok(Cost {
        requests: requests.to_string(),
        requests_count: requests,
        sent: (sent - moved.0) as f64,
        received: (received - moved.1) as f64,
        advertiser: Usage {
            cpu_s: took(ADVERTISER),
            ..after[ADVERTISER]
        },
        others_cpu_s: others.map(took).sum(),
        others_peak: peak(&after),
        wall: Duration::from_secs_f64(seconds),
    })
}

fn print(shoal: &Cost, kademlia: &Cost, scale: &Scale) {
    let times = scale.chunks as f64 / PROVIDED as f64;
    println!(
        "\n### Advertising {} chunks among {} nodes, at most {} a second\n",
        scale.chunks, scale.nodes, scale.advert_rate
    );
    println!(
        "| | one sweep | `start_providing` of {PROVIDED} keys | the same × {times} | sweep, of that |"
    );
    println!("|---|---|---|---|---|");
    let ratio = |what: &str, unit: &str, of: &dyn Fn(&Cost) -> f64| {
        let (ours, theirs) = (of(shoal), of(kademlia));
        println!(
            "| {what} | {ours:.1} {unit} | {theirs:.1} {unit} | {:.0} {unit} | 1/{:.0} |",
            theirs * times,
            theirs * times / ours
        );
    };
    ratio("requests sent", "", &|cost| cost.requests_count);
    ratio("sent, headers included", "MB", &|cost| cost.sent / 1e6);
    ratio("received", "MB", &|cost| cost.received / 1e6);
    ratio("processor, advertiser", "s", &|cost| cost.advertiser.cpu_s);
    ratio("processor, all others", "s", &|cost| cost.others_cpu_s);
    ratio("time", "s", &|cost| cost.wall.as_secs_f64());
    for (what, of) in [
        (
            "peak memory, advertiser",
            (|cost| cost.advertiser.peak_bytes) as fn(&Cost) -> u64,
        ),
        ("peak memory, largest other", |cost| cost.others_peak),
    ] {
        println!(
            "| {what} | {} MiB | {} MiB | | |",
            of(shoal) >> 20,
            of(kademlia) >> 20
        );
    }
    println!("\nRequests of the sweep: {}.", shoal.requests);
}
