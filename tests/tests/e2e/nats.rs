//! Members who sit behind NATs and have nothing but a seed in common. They are skipped, and
//! say so, where there is no root or no `/dev/net/tun`.

use shoal_tests::data;
use shoal_tests::internet::NatKind;
use shoal_tests::nats::{Member, Plan, Team};

const BYTES: usize = 16_000_000;

fn add(member: &Member) -> String {
    let file = member.home.outside().join("weights");
    std::fs::write(&file, data::bytes("nats", BYTES)).unwrap();
    member
        .ok(&["add", &file.to_string_lossy()])
        .trim()
        .to_owned()
}

#[test]
fn a_direct_transfer_goes_on_when_the_relay_is_cut() {
    let Some(team) = Team::new(&Plan::of([NatKind::HOME; 2])) else {
        return;
    };
    let id = add(&team.alice);
    let (mut get, copy) = team.bob.get(&id, &["--timeout", "60s", "--down", "2MB"]);
    let is_direct = || team.bob.way_to("alice").is_some_and(|way| way != "relayed");
    while !is_direct() {
        assert!(get.is_running(), "it ended before there was a direct way");
    }
    team.seed.host.set_link(false);
    assert!(get.is_running(), "nothing was left to be stopped");
    get.wait().ok();
    assert!(std::fs::read(copy).unwrap() == data::bytes("nats", BYTES));
}

#[test]
fn where_no_hole_can_be_punched_bytes_come_by_the_relay_circuit_after_circuit() {
    let logs = tempfile::tempdir().unwrap();
    let mut plan = Plan::of([NatKind::SYMMETRIC; 2]);
    plan.seed_settings = vec!["relay_circuit_max=4MB".to_owned()];
    plan.logs.get_or_insert_with(|| logs.path().to_owned());
    let Some(team) = Team::new(&plan) else {
        return;
    };
    let id = add(&team.alice);
    let (get, copy) = team.bob.get(&id, &["--timeout", "60s"]);
    get.wait().ok();
    assert!(std::fs::read(copy).unwrap() == data::bytes("nats", BYTES));
    assert_eq!(team.bob.way_to("alice").as_deref(), Some("relayed"));
    let ways = team.bob.ways();
    assert!(
        ways.len() >= 4 && ways.iter().all(|way| way == "relayed"),
        "{ways:?}"
    );
}

#[test]
fn a_circuit_that_is_too_old_is_gone_on_with_by_another() {
    let logs = tempfile::tempdir().unwrap();
    let mut plan = Plan::of([NatKind::SYMMETRIC; 2]);
    plan.seed_settings = vec!["relay_circuit_time=2s".to_owned()];
    plan.logs.get_or_insert_with(|| logs.path().to_owned());
    let Some(team) = Team::new(&plan) else {
        return;
    };
    let id = add(&team.alice);
    let (get, copy) = team.bob.get(&id, &["--timeout", "60s", "--down", "3MB"]);
    get.wait().ok();
    assert!(std::fs::read(copy).unwrap() == data::bytes("nats", BYTES));
    assert_eq!(team.bob.way_to("alice").as_deref(), Some("relayed"));
    let ways = team.bob.ways();
    assert!(
        ways.len() >= 3 && ways.iter().all(|way| way == "relayed"),
        "{ways:?}"
    );
}
