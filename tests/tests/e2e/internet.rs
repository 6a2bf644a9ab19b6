//! Transfers over the lab's internet: lines with delay, loss and reordering, and NATs. They
//! are skipped, and say so, where there is no root or no `/dev/net/tun`.

use std::path::Path;
use std::time::Duration;

use shoal_tests::data;
use shoal_tests::internet::{Internet, Line, NatKind};
use shoal_tests::lab::{Host, Lab};
use shoal_tests::shoal::{Finished, Home, Running};

const BYTES: usize = 3_000_000;

/// A line with everything wrong with it.
const BAD: Line = Line {
    mbit: 200,
    delay: Duration::from_millis(10),
    loss: 0.01,
    reordered: 0.01,
};

/// Shares a file from a host; gives the ticket, and the process.
fn share(host: &Host, home: &Home) -> (String, Running) {
    let file = home.outside().join("file");
    std::fs::write(&file, data::bytes("internet", BYTES)).unwrap();
    let share = home.command(&["share", &file.to_string_lossy()]);
    let mut running = Running::of(host.take_in(&share));
    (running.line(), running)
}

fn get(host: &Host, home: &Home, ticket: &str, timeout: &str) -> Finished {
    let to = copy(home);
    let get = home.command(&["get", ticket, &to.to_string_lossy(), "--timeout", timeout]);
    Finished::of(&mut host.take_in(&get))
}

fn copy(home: &Home) -> std::path::PathBuf {
    home.outside().join("copy")
}

fn assert_came(at: &Path) {
    assert!(std::fs::read(at).unwrap() == data::bytes("internet", BYTES));
}

#[test]
fn a_get_from_behind_a_nat_over_a_bad_line_brings_every_byte() {
    let Some(mut lab) = Lab::new() else { return };
    let mut internet = Internet::new(1);
    let Some(seed) = internet.host(&mut lab, Line::default()) else {
        return;
    };
    let home = internet.host_behind(&mut lab, BAD, NatKind::HOME).unwrap();
    let running = internet.start();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = share(&seed, &alice);
    get(&home, &bob, &ticket, "60s").ok();
    assert_came(&copy(&bob));
    assert!(running.counts().lost > 0, "it was a bad line");
}

#[test]
fn nobody_gets_through_a_nat_unasked() {
    let Some(mut lab) = Lab::new() else { return };
    let mut internet = Internet::new(1);
    let Some(other) = internet.host(&mut lab, Line::default()) else {
        return;
    };
    let home = (internet.host_behind(&mut lab, Line::default(), NatKind::HOME)).unwrap();
    let running = internet.start();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = share(&home, &alice);
    assert_eq!(get(&other, &bob, &ticket, "3s").code(), 5);
    assert!(!copy(&bob).exists());
    assert!(running.counts().refused > 0);
}
