//! Text over a slow link.

use shoal_tests::data::Csv;
use shoal_tests::lab::Lab;
use shoal_tests::shoal::{Finished, Home, Running};

use crate::sharing::assert_same_tree;

#[test]
fn text_over_a_slow_link_moves_less_than_its_size() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let mut site = lab.site();
    let (here, there) = (lab.host(&mut site, 100), lab.host(&mut site, 100));
    let dir = tempfile::tempdir().unwrap();
    let (table, copy) = (dir.path().join("table.csv"), dir.path().join("copy"));
    let csv = Csv {
        seed: 25,
        bytes: 32 << 20,
    };
    csv.write(&table).unwrap();
    let bytes = table.metadata().unwrap().len();
    let (alice, bob) = (Home::new(), Home::new());
    let share = alice.command(&["share", table.to_str().unwrap()]);
    let mut sharer = Running::of(here.take_in(&share));
    let get = bob.command(&["--json", "get", &sharer.line(), copy.to_str().unwrap()]);
    let got = Finished::of(&mut there.take_in(&get)).ok();
    assert_same_tree(&table, &copy);
    let said: serde_json::Value = serde_json::from_str(&got.stdout).expect("JSON on stdout");
    let came = said["wire_in"].as_u64().expect("wire_in");
    assert!(
        came * 10 < bytes * 6,
        "{came} bytes came for {bytes} of text"
    );
}
