//! Runs the bodies of the fuzz targets on bytes that proptest makes up: cargo-fuzz needs a
//! nightly toolchain, this does not.

#![allow(missing_docs)]

#[path = "../../fuzz/src/protocol.rs"]
mod bodies;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn paths(data: Vec<u8>, text in "[a-c./@:_]{0,12}") {
        bodies::path(&data);
        bodies::path(text.as_bytes());
    }

    #[test]
    fn snapshots(data: Vec<u8>) {
        bodies::snapshot(&data);
    }

    #[test]
    fn pages(mut data in vec(any::<u8>(), 0..300), kind in 1u8..=2, level in 0u8..2, len in 0u8..4) {
        bodies::page(&data);
        data.splice(0..0, [1, kind, level, len, 0]);
        bodies::page(&data);
    }

    #[test]
    fn teams(data: Vec<u8>, damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        bodies::team(&data);
        let mut batch = honest_batch();
        for (at, byte) in damage {
            let at = at.index(batch.len());
            batch[at] = byte;
        }
        bodies::team(&batch);
        if let Some(operation) = batch.get(8..) {
            bodies::team(operation);
        }
    }

    #[test]
    fn manifests(data in vec(any::<u8>(), 0..600), honest in vec(0u8..160, 0..600)) {
        bodies::manifest(&data);
        bodies::manifest(&honest);
    }
}

/// The oracle of `manifest` sees whole snapshots now and then, not errors alone.
#[test]
fn some_of_the_made_up_manifests_are_whole() {
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut steps_max = 0;
    for _ in 0..2000 {
        let mut data = [0; 400];
        noise.fill(&mut data);
        data.iter_mut().for_each(|byte| *byte %= 160);
        steps_max = steps_max.max(bodies::manifest(&data));
    }
    assert!(steps_max > 10, "{steps_max}");
}

/// The operations among the golden vectors of teams, as one batch.
fn honest_batch() -> Vec<u8> {
    let lines = include_str!("../src/access/team/tests/golden.txt").lines();
    let operations: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("operation "))
        .map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hex"))
        .collect();
    let count = operations.len() as u64;
    [count.to_le_bytes().to_vec(), operations.concat()].concat()
}

/// The oracle of `team` sees operations that were really signed.
#[test]
fn an_honest_batch_is_read() {
    assert_eq!(bodies::team(&honest_batch()), 7);
}
