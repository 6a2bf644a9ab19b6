//! One source and several receivers, each on a link of its own. Figures are the benchmark's
//! (`bench fanout`); here it is what must hold on any machine.

use std::path::PathBuf;

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
