//! What answers prove about the network.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::atlas::{Atlas, Known};
use super::super::*;
use crate::peer::PeerKey;

fn peer(number: u64) -> PeerKey {
    PeerKey::from_bytes(blake3::derive_key("a peer", &number.to_le_bytes()))
}

/// The truth: the closest of all.
fn closest(all: &[PeerKey], to: &Position, count: usize) -> Vec<PeerKey> {
    let mut all = all.to_vec();
    all.sort_by_key(|peer| Position::of_peer(peer).distance(to));
    all.truncate(count);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is asked for, a region that is known has all its peers and no others, and the
    /// closest peers of every position in it lie in it.
    #[test]
    fn what_is_known_is_true(count in 1..400u64, targets: Vec<[u8; 32]>, at: [u8; 32]) {
        let now = Instant::now();
        let all: Vec<_> = (0..count).map(peer).collect();
        let at = Position::from_bytes(at);
        let mut atlas = Atlas::default();
        for target in targets.into_iter().map(Position::from_bytes) {
            let answer = closest(&all, &target, 20);
            atlas.learn(now, &target, &answer, answer.len() < 20);
        }
        let mut lookups = 0;
        let region = loop {
            match atlas.around(&at, 20) {
                Known::Region(region) => break region,
                Known::Missing(target) => {
                    let answer = closest(&all, &target, 20);
                    atlas.learn(now, &target, &answer, answer.len() < 20);
                    lookups += 1;
                }
            }
        };
        prop_assert!(lookups <= 8, "{} lookups", lookups);
        let mut known: Vec<_> = atlas.peers_in(&region).map(|(_, peer)| *peer).collect();
        let mut there: Vec<_> = all.iter().copied().filter(|p| region.contains(&Position::of_peer(p))).collect();
        known.sort();
        there.sort();
        prop_assert_eq!(&known, &there);
        let mut best = closest(&known, &at, 20);
        best.sort();
        let mut truth = closest(&all, &at, 20);
        truth.sort();
        prop_assert_eq!(best, truth);
    }
}

#[test]
fn what_is_old_is_asked_for_again() {
    let now = Instant::now();
    let hour = Duration::from_secs(3600);
    let mut atlas = Atlas::default();
    let at = Position::FIRST;
    atlas.learn(now, &at, &[peer(1)], true);
    atlas.expire(now + hour, hour);
    assert_eq!(atlas.around(&at, 20), Known::Region(Region::ALL));
    atlas.expire(now + hour + Duration::from_secs(1), hour);
    assert_eq!(atlas.around(&at, 20), Known::Missing(at));
    assert_eq!(atlas.peers_in(&Region::ALL).count(), 0);
}

#[test]
fn a_newer_answer_replaces_what_was_known_of_its_region() {
    let now = Instant::now();
    let mut atlas = Atlas::default();
    atlas.learn(now, &Position::FIRST, &[peer(1), peer(2)], true);
    atlas.learn(now, &Position::LAST, &[peer(2), peer(3)], true);
    let mut known: Vec<_> = atlas
        .peers_in(&Region::ALL)
        .map(|(_, peer)| *peer)
        .collect();
    known.sort();
    let mut expect = [peer(2), peer(3)];
    expect.sort();
    assert_eq!(known, expect);
}
