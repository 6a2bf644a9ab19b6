//! A team whose members sit behind NATs: a seed with a public address, and two members who
//! can reach it and nobody else, each behind a NAT of its own.
//!
//! Owns: the hosts and the nodes that run there, and how they became a team. Refuses: what
//! is moved between them. Needs what an [`Internet`] needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::internet::{self, Internet, Line, NatKind};
use crate::lab::{Host, Lab};
use crate::shoal::{Home, Running};

/// What is written of each node where logs are asked for.
const LOG: &str = "info,shoal_control=debug,shoal_node=debug,libp2p_dcutr=debug,\
                   libp2p_relay=debug,libp2p_autonat=debug,libp2p_identify=debug";

/// What the internet and the nodes on it are like.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Alice's and Bob's.
    pub nats: [NatKind; 2],
    /// Of both members.
    pub line: Line,
    /// Of the seed.
    pub seed_line: Line,
    /// `key=value` for the seed's configuration.
    pub seed_settings: Vec<String>,
    /// Where each node writes what it does, if it shall.
    pub logs: Option<PathBuf>,
}

impl Plan {
    /// Such NATs, lines of 100 Mbit/s, and 10 ms from everybody to the middle.
    pub fn of(nats: [NatKind; 2]) -> Self {
        let line = Line {
            mbit: 100,
            delay: Duration::from_millis(10),
            ..Line::default()
        };
        Self {
            nats,
            line,
            seed_line: line,
            seed_settings: Vec::new(),
            logs: std::env::var_os("SHOAL_TEST_LOGS").map(PathBuf::from),
        }
    }
}

/// The team, up and running. Everything ends when it is dropped.
pub struct Team {
    /// Reachable by everybody.
    pub seed: Member,
    /// Behind a NAT.
    pub alice: Member,
    /// Behind another.
    pub bob: Member,
    internet: internet::Running,
    _lab: Lab,
}

/// A node of the team.
pub struct Member {
    name: &'static str,
    /// Its store.
    pub home: Home,
    /// Where it runs.
    pub host: Host,
    log: Option<PathBuf>,
    _daemon: Running,
}

impl Team {
    /// Nothing, and a word why, where there can be no such internet.
    ///
    /// # Panics
    /// If a node does not start or does not get into the team.
    pub fn new(plan: &Plan) -> Option<Self> {
        let mut lab = Lab::new()?;
        let mut internet = Internet::new(1);
        let seed = internet.host(&mut lab, plan.seed_line)?;
        let host = |nat| internet.host_behind(&mut lab, plan.line, nat);
        let [alice, bob] = plan.nats.map(host);
        let (alice, bob) = alice.zip(bob)?;
        let internet = internet.start();
        let team = Self {
            seed: Member::up("seed", seed, &plan.seed_settings, plan.logs.as_deref()),
            alice: Member::up("alice", alice, &[], plan.logs.as_deref()),
            bob: Member::up("bob", bob, &[], plan.logs.as_deref()),
            internet,
            _lab: lab,
        };
        team.seed
            .ok(&["team", "create", "lab", "--my-name", "seed"]);
        for member in [&team.alice, &team.bob] {
            let invitation = team.seed.ok(&["team", "invite"]);
            let join = ["team", "join", invitation.trim(), "--my-name", member.name];
            member.ok(&join);
        }
        Some(team)
    }

    /// What became of the packets so far.
    pub fn counts(&self) -> internet::Counts {
        self.internet.counts()
    }
}

impl Member {
    fn up(name: &'static str, host: Host, settings: &[String], logs: Option<&Path>) -> Self {
        let home = Home::new();
        let mut up = home.command(&["up", "-c", "mdns=false"]);
        for setting in settings {
            up.args(["-c", setting]);
        }
        if logs.is_some() {
            up.args(["-c", &format!("log={LOG}")]).env("NO_COLOR", "1");
        }
        let mut daemon = Running::of(host.take_in(&up));
        let listens = daemon.stderr_line(|line| line.contains("listens on"));
        assert!(listens.is_some(), "the node of {name} did not start");
        let log = logs.map(|logs| logs.join(format!("{name}.log")));
        if let Some(log) = &log {
            daemon.write_stderr_to(log);
        }
        Self {
            name,
            home,
            host,
            log,
            _daemon: daemon,
        }
    }

    /// What it wrote so far, where the plan asks for logs.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn log(&self) -> String {
        let text = self.log.as_ref().map(std::fs::read_to_string);
        text.map_or_else(String::new, |text| text.expect("it was made"))
    }

    /// Runs a command at its node to the end; gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, args: &[&str]) -> String {
        self.home.run(args).ok().stdout
    }

    /// Begins to get a snapshot; gives the process, and where it will lie.
    pub fn get(&self, snapshot: &str, args: &[&str]) -> (Running, PathBuf) {
        let to = self.home.outside().join("got");
        let to_text = to.to_string_lossy();
        let get = [&["get", snapshot, &to_text], args].concat();
        (self.home.start(&get), to)
    }

    /// The ways by which others let it in so far, one after the other, as it logged them.
    pub fn ways(&self) -> Vec<String> {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains(": let in peer="));
        let words = lines.filter_map(|line| line.split(" way=").nth(1)?.split(' ').next());
        words.map(str::to_owned).collect()
    }

    /// By what way bytes come from the member of this name, if any do or did: `tcp`, `quic`,
    /// `stream` or `relayed`.
    pub fn way_to(&self, name: &str) -> Option<String> {
        let peers = self.ok(&["--json", "peers"]);
        let peers = peers.lines().map(serde_json::from_str::<serde_json::Value>);
        let mut peers = peers.map(|peer| peer.expect("`peers --json` prints JSON"));
        let peer = peers.find(|peer| peer["member"] == name)?;
        peer["link"]["way"].as_str().map(str::to_owned)
    }
}
