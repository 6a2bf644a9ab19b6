//! One source and several receivers, each on a link of its own. Figures are the benchmark's
//! (`bench fanout`); here it is what must hold on any machine.

use shoal_tests::data;
use shoal_tests::lab::Lab;
use shoal_tests::shoal::{Home, Running};

use crate::sharing::assert_same_tree;

#[test]
fn receivers_fetch_from_each_other() {
    let Some(mut lab) = Lab::new() else { return };
    let mut site = lab.site();
    let source = lab.host(&mut site, 100);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model");
    let bytes = 48 << 20;
    std::fs::write(&file, data::bytes("fan-out", bytes)).unwrap();
    let alice = Home::new();
    let share = alice.command(&["share", file.to_str().unwrap()]);
    let mut sharer = Running::of(source.take_in(&share));
    let ticket = sharer.line();

    let (before, _) = source.moved();
    let getters: Vec<_> = (0..4)
        .map(|number| {
            let (host, home) = (lab.host(&mut site, 100), Home::new());
            let copy = dir.path().join(format!("copy{number}"));
            let get = home.command(&["get", &ticket, copy.to_str().unwrap()]);
            (Running::of(host.take_in(&get)), home, copy)
        })
        .collect();
    for (get, _home, copy) in getters {
        get.wait().ok();
        assert_same_tree(&file, &copy);
    }
    let sent = source.moved().0 - before;
    // Alone it would send each of the four all of it.
    assert!(sent < 3 * bytes as u64, "the source sent {sent} bytes");
}
