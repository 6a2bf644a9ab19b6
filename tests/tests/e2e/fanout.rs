//! One source and several receivers, each on a link of its own. Figures are the benchmark's
//! (`bench fanout`); here it is what must hold on any machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use shoal_simulations::swarm::{MIB, Setup, World};
use shoal_tests::data;
use shoal_tests::lab::{Host, Lab, Site};
use shoal_tests::shoal::{Home, Running};

use crate::sharing::assert_same_tree;

/// The rate of every link.
const MBIT: u32 = 100;

/// A source and a place for copies, in a lab.
struct Room {
    lab: Lab,
    site: Site,
    source: Host,
    dir: tempfile::TempDir,
    file: PathBuf,
    ticket: String,
    _sharer: (Home, Running),
}

/// A get on a host of its own.
struct Getter {
    get: Running,
    copy: PathBuf,
    _home: Home,
}

impl Room {
    /// Shares so many bytes. Nothing where there can be no lab.
    fn new(bytes: usize) -> Option<Self> {
        let mut lab = Lab::new()?;
        let mut site = lab.site();
        let source = lab.host(&mut site, MBIT);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model");
        std::fs::write(&file, data::bytes("fan-out", bytes)).unwrap();
        let alice = Home::new();
        let share = alice.command(&["share", file.to_str().unwrap()]);
        let mut sharer = Running::of(source.take_in(&share));
        Some(Self {
            ticket: sharer.line(),
            lab,
            site,
            source,
            dir,
            file,
            _sharer: (alice, sharer),
        })
    }

    fn start_get(&mut self, name: &str) -> Getter {
        let (host, home) = (self.lab.host(&mut self.site, MBIT), Home::new());
        let copy = self.dir.path().join(name);
        let args = [
            "--progress",
            "json",
            "get",
            &self.ticket,
            copy.to_str().unwrap(),
        ];
        Getter {
            get: Running::of(host.take_in(&home.command(&args))),
            copy,
            _home: home,
        }
    }

    fn assert_got(&self, getter: Getter) {
        getter.get.wait().ok();
        assert_same_tree(&self.file, &getter.copy);
    }
}

#[test]
fn receivers_fetch_from_each_other() {
    let bytes = 48 << 20;
    let Some(mut room) = Room::new(bytes) else {
        return;
    };
    let (before, _) = room.source.moved();
    let getters = ["a", "b", "c", "d"].map(|name| room.start_get(name));
    for getter in getters {
        room.assert_got(getter);
    }
    let sent = room.source.moved().0 - before;
    // Alone it would send each of the four all of it.
    assert!(sent < 3 * bytes as u64, "the source sent {sent} bytes");
}

#[test]
fn one_that_is_killed_and_one_that_comes_late_do_not_stop_the_others() {
    let Some(mut room) = Room::new(32 << 20) else {
        return;
    };
    let [first, mut doomed, third] = ["a", "b", "c"].map(|name| room.start_get(name));
    doomed
        .get
        .stderr_line(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            event["progress"]["bytes_done"].as_u64() > Some(8 << 20)
        })
        .expect("it is under way");
    doomed.get.kill();
    let late = room.start_get("d");
    for getter in [first, third, late] {
        room.assert_got(getter);
    }
}

/// How it went that several got the same.
#[derive(Debug)]
struct Course {
    /// How many times as long it took as for one alone.
    wall: f64,
    /// How often the source sent all of it.
    sent: f64,
}

impl Course {
    fn is_like(&self, other: &Self) -> bool {
        let is_near = |a: f64, b: f64| (a / b - 1.0).abs() <= 0.15;
        is_near(self.wall, other.wall) && is_near(self.sent, other.sent)
    }
}

/// From the start of all to the end of the last, and what the source sent.
fn in_the_lab(bytes: u64, receivers: usize) -> Option<(Duration, u64)> {
    let mut room = Room::new(bytes as usize)?;
    let (before, _) = room.source.moved();
    let start = Instant::now();
    let getters: Vec<_> = (0..receivers)
        .map(|number| room.start_get(&format!("copy{number}")))
        .collect();
    let copies: Vec<_> = getters
        .into_iter()
        .map(|getter| {
            getter.get.wait().ok();
            getter.copy
        })
        .collect();
    let wall = start.elapsed();
    let sent = room.source.moved().0 - before;
    for copy in copies {
        assert_same_tree(&room.file, &copy);
    }
    Some((wall, sent))
}

/// The medians of several seeds.
fn in_simulation(bytes: u64, receivers: usize, rate: f64) -> Course {
    let outcomes = (1..=9).map(|seed| {
        let setup = Setup::room(seed, bytes, receivers, rate);
        let outcome = World::new(setup).run(Duration::from_secs(600));
        outcome.unwrap_or_else(|violation| panic!("{violation}"))
    });
    let (mut walls, mut sent): (Vec<_>, Vec<_>) = outcomes
        .map(|outcome| (outcome.quantile(1.0), outcome.sources_sent))
        .unzip();
    walls.sort_unstable();
    sent.sort_unstable();
    Course {
        wall: walls[4].as_secs_f64() * rate / bytes as f64,
        sent: sent[4] as f64 / bytes as f64,
    }
}

/// How the simulator is known to tell the truth. Four receivers, unless
/// `SHOAL_CALIBRATION_RECEIVERS` names other numbers.
#[test]
fn a_fan_out_goes_in_simulation_as_it_goes_in_the_lab() {
    let receivers = std::env::var("SHOAL_CALIBRATION_RECEIVERS").unwrap_or("4".to_owned());
    let bytes = 64 * MIB;
    let Some((alone, _)) = in_the_lab(bytes, 1) else {
        return;
    };
    let rate = bytes as f64 / alone.as_secs_f64();
    for receivers in receivers.split(',') {
        let receivers = receivers.parse().unwrap();
        let (wall, sent) = in_the_lab(bytes, receivers).unwrap();
        let real = Course {
            wall: wall.as_secs_f64() / alone.as_secs_f64(),
            sent: sent as f64 / bytes as f64,
        };
        let simulated = in_simulation(bytes, receivers, rate);
        println!("{receivers} receivers: {real:.2?} in the lab, {simulated:.2?} in simulation");
        assert!(
            real.is_like(&simulated),
            "{real:.2?} in the lab, {simulated:.2?} in simulation"
        );
    }
}
