//! A get, while others do harm to the node that serves it (a lab of network namespaces).
//!
//! Owns: the scene, and the table of what each attack did to the rate of an honest get, and to
//! the memory and the processors of the node. Refuses: doing the harm, which is
//! [`attack`](crate::attack)'s.
//!
//! A get without an attack stands before and behind each, and rates are compared with the mean
//! of the two. All share the processors of one machine, attackers too: the honest link is so
//! slow that it leaves most of them free, and what the attacked node itself takes is told.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use clap::ValueEnum;
use shoal_tests::data;
use shoal_tests::lab::{Host, Lab};
use shoal_tests::shoal::binary;

use crate::attack::Attack;
use crate::contender::Server;
use crate::getter::{assert_same, get_command};
use crate::transfer::ticket_of;
use crate::usage::Usage;

/// The links of who serves and of who gets, in Mbit/s.
const HONEST_MBIT: u32 = 200;
/// The link of who does harm.
const ATTACK_MBIT: u32 = 1000;
/// An honest get has at least this part of its rate.
const RATE_MIN: f64 = 0.85;
/// The most memory that the attacked node may have had.
const MEMORY_MAX: u64 = 200 << 20;
/// The most processors that it may have taken in the mean.
const PROCESSORS_MAX: f64 = 1.0;
/// Where `up` listens.
const DATA_PORT: u16 = 4747;
/// Where its control plane does.
const CONTROL_PORT: u16 = 4748;

/// What is measured.
const ATTACKS: [(&str, Attack, u16); 9] = [
    (
        "1,000 silent connections to the data plane",
        Attack::Crowd,
        DATA_PORT,
    ),
    (
        "1,000 silent connections to the control plane",
        Attack::Crowd,
        CONTROL_PORT,
    ),
    (
        "1,000 connections that prove a key, and have no right",
        Attack::Keys,
        DATA_PORT,
    ),
    (
        "1,000 connections with a right that ask for all and take nothing",
        Attack::Takers,
        DATA_PORT,
    ),
    (
        "provider records without end from a member",
        Attack::Records,
        CONTROL_PORT,
    ),
    (
        "questions who has what, without end, from a member",
        Attack::Finds,
        CONTROL_PORT,
    ),
    (
        "questions where chunks stand, without end, from a member",
        Attack::Locates,
        CONTROL_PORT,
    ),
    (
        "a source, named first, that says that it has all and sends nothing",
        Attack::Silence,
        0,
    ),
    (
        "a source, named first, that tells without end of ever more scattered positions",
        Attack::Telling,
        0,
    ),
];

/// Who is there.
struct Scene {
    served: Host,
    getter: Host,
    attacker: Host,
    dir: PathBuf,
    file: PathBuf,
    ticket: String,
    invitation: String,
    /// The attacked node's process.
    node: Server,
    gets: usize,
    _lab: Lab,
}

/// What a get was, and what it cost the node that served it.
struct Outcome {
    bytes_per_s: f64,
    peak_bytes: u64,
    processors: f64,
}

/// Prints the table, of `only` these attacks if there are any; fails if a bound is broken.
pub fn run(dir: &Path, bytes: u64, only: &[Attack]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut scene = Scene::set(&dir.canonicalize()?.join("abuse"), bytes)?;
    println!(
        "\n### A get of {} MiB at {HONEST_MBIT} Mbit/s while others do harm to the node that serves it\n",
        bytes >> 20
    );
    println!(
        "| attack | rate, Mbit/s | of the rate without | memory of the node, peak | processors that it took |"
    );
    println!("|---|---|---|---|---|");
    let mut before = scene.get()?;
    print("none", &before, None);
    let mut broken = Vec::new();
    let all = only.is_empty();
    for (what, attack, port) in ATTACKS {
        if !all && !only.contains(&attack) {
            continue;
        }
        let under = scene.get_under(attack, port)?;
        let after = scene.get()?;
        let part = 2.0 * under.bytes_per_s / (before.bytes_per_s + after.bytes_per_s);
        print(what, &under, Some(part));
        if part < RATE_MIN || under.peak_bytes > MEMORY_MAX || under.processors > PROCESSORS_MAX {
            broken.push(what);
        }
        before = after;
    }
    print("none, at the end", &before, None);
    match broken.is_empty() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "bounds are broken: {}",
            broken.join("; ")
        ))),
    }
}

fn print(what: &str, outcome: &Outcome, part: Option<f64>) {
    let part = part.map_or_else(String::new, |part| format!("{:.0} %", 100.0 * part));
    println!(
        "| {what} | {:.1} | {part} | {} MiB | {:.2} |",
        outcome.bytes_per_s * 8e-6,
        outcome.peak_bytes >> 20,
        outcome.processors
    );
}

impl Scene {
    /// A node in a team of two, the other member being the attacker, that shares a file.
    fn set(dir: &Path, bytes: u64) -> io::Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        let mut lab = Lab::new().ok_or_else(|| io::Error::other("no lab"))?;
        let mut site = lab.site();
        let served = lab.host(&mut site, HONEST_MBIT);
        let getter = lab.host(&mut site, HONEST_MBIT);
        let attacker = lab.host(&mut site, ATTACK_MBIT);
        let file = dir.join("shared");
        fs::write(&file, data::bytes("abuse", bytes as usize))?;
        let (at, of) = (dir.join("node"), dir.join("member"));
        let node = up(&served, &at)?;
        said(shoal(&served, &at, &["team", "create", "lab"]).current_dir(dir))?;
        let invitation = said(&mut shoal(&served, &at, &["team", "invite"]))?;
        let ticket = said(shoal(&served, &at, &["share"]).arg(&file))?;
        let member = up(&attacker, &of)?;
        said(&mut shoal(&attacker, &of, &["team", "join", &invitation]))?;
        // Its home has everything, as if it were a source.
        said(shoal(&attacker, &of, &["get", &ticket]).arg(dir.join("member's")))?;
        drop(member);
        Ok(Self {
            served,
            getter,
            attacker,
            dir: dir.to_owned(),
            file,
            ticket,
            invitation,
            node,
            gets: 0,
            _lab: lab,
        })
    }

    /// An honest get while an attack goes on.
    fn get_under(&mut self, attack: Attack, port: u16) -> io::Result<Outcome> {
        let is_source = attack.of_a_source().is_some();
        let at = match is_source {
            true => format!("{}:0", self.attacker.ip),
            false => format!("{}:{port}", self.served.ip),
        };
        let name = attack.to_possible_value().expect("all have names");
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["attack", "--attack", name.get_name(), "--listen", &at])
            .args(["--invitation", &self.invitation, "--pretend", &self.ticket])
            .arg("--of")
            .arg(self.dir.join("member"));
        let (said, _attacking) = ticket_of(self.attacker.take_in(&command))?;
        let honest = self.ticket.clone();
        if is_source {
            self.ticket = said;
        }
        let outcome = self.get();
        self.ticket = honest;
        outcome
    }

    /// A get by a node that has nothing yet.
    fn get(&mut self) -> io::Result<Outcome> {
        self.gets += 1;
        let id = self.node.0.id();
        // The kernel begins to count the peak anew.
        fs::write(format!("/proc/{id}/clear_refs"), "5")?;
        let home = self.dir.join(format!("home{}", self.gets));
        let copy = self.dir.join("copy");
        let (began, before) = (Instant::now(), Usage::of(id)?);
        said(&mut get_command(&self.getter, &home, &self.ticket, &copy))?;
        let wall = began.elapsed().as_secs_f64();
        let after = Usage::of(id)?;
        let bytes = copy.metadata()?.len();
        assert_same(&self.file, &copy)?;
        fs::remove_dir_all(home)?;
        Ok(Outcome {
            bytes_per_s: bytes as f64 / wall,
            peak_bytes: after.peak_bytes,
            processors: (after.cpu_s - before.cpu_s) / wall,
        })
    }
}

/// A command of the node at `home`.
fn shoal(host: &Host, home: &Path, args: &[&str]) -> Command {
    let mut command = host.command(binary());
    command
        .env("SHOAL_HOME", home)
        .env("XDG_RUNTIME_DIR", "")
        .env("SHOAL_PROGRESS", "none")
        .args(args);
    command
}

/// Runs a command to its end; gives its first line.
fn said(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(format!("{command:?} failed: {told}")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Starts a node; it answers when this returns.
fn up(host: &Host, home: &Path) -> io::Result<Server> {
    let listen = format!("listen={}:{DATA_PORT}", host.ip);
    let mut child = shoal(host, home, &["up", "-c", &listen, "-c", "mdns=false"])
        .env_remove("SHOAL_PROGRESS")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take();
    let node = Server(child);
    let mut lines = BufReader::new(stderr.ok_or_else(|| io::Error::other("no stderr"))?).lines();
    let listens = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("listens on")));
    listens.ok_or_else(|| io::Error::other("a node did not start"))??;
    // All that it says is read, since a pipe that is full would stop it.
    thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(node)
}
