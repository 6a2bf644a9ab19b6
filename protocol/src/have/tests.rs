//! Sets of positions against a plain model: one bool a position.

// Lists of one range, and ranges that are wrong, are what is tried here.
#![allow(clippy::single_range_in_vec_init, clippy::reversed_empty_ranges)]

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec;

const END: u64 = 64;

fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
    vec(
        (0..END, 0..12u64).prop_map(|(start, length)| start..(start + length).min(END)),
        0..12,
    )
}

fn set(ranges: &[Range<u64>]) -> RangeSet {
    ranges.iter().cloned().collect()
}

fn positions(set: &RangeSet) -> Vec<u64> {
    (0..END).filter(|p| set.contains(*p)).collect()
}

fn check_form(set: &RangeSet) {
    let ranges: Vec<_> = set.iter().collect();
    assert!(ranges.iter().all(|r| r.start < r.end), "none empty");
    assert!(
        ranges.windows(2).all(|w| w[0].end < w[1].start),
        "sorted and apart"
    );
}

proptest! {
    #[test]
    fn the_arithmetic_is_that_of_sets(a in ranges(), b in ranges(), window in (0..END, 0..END)) {
        let (a, b) = (set(&a), set(&b));
        let window = window.0.min(window.1)..window.0.max(window.1);
        let mut removed = a.clone();
        b.iter().for_each(|range| removed.remove(range));
        for (result, holds) in [
            (a.union(&b), (|a, b| a || b) as fn(bool, bool) -> bool),
            (a.intersect(&b), |a, b| a && b),
            (a.subtract(&b), |a, b| a && !b),
            (removed, |a, b| a && !b),
        ] {
            check_form(&result);
            let expected = (0..END).filter(|p| holds(a.contains(*p), b.contains(*p)));
            prop_assert_eq!(positions(&result), expected.collect::<Vec<_>>());
            prop_assert_eq!(result.total_bytes(), positions(&result).len() as u64);
        }
        let inside = a.intersect_range(window.clone());
        let gaps: RangeSet = a.gaps(window.clone()).collect();
        prop_assert_eq!(inside.union(&gaps), RangeSet::of(window.clone()));
        prop_assert!(inside.intersect(&gaps).is_empty());
        prop_assert_eq!(a.contains_range(window), gaps.is_empty());
        prop_assert_eq!(a.is_subset_of(&b), a.subtract(&b).is_empty());
    }

    #[test]
    fn both_encodings_give_the_set_back(ranges in ranges()) {
        let set = set(&ranges);
        let bytes = set.to_bytes().expect("few ranges");
        prop_assert_eq!(RangeSet::from_bytes(&bytes), Ok(set.clone()));
        let record: RangeSet = codec::decode_canonical::<_, 4096>(&codec::encode(&set))
            .expect("its own encoding");
        prop_assert_eq!(record, set);
    }

    #[test]
    fn any_bytes_are_a_set_in_its_one_form_or_an_error(pairs in vec((0..20u64, 0..20u64), 0..4)) {
        let bytes: Vec<u8> = pairs.iter().flat_map(|(start, end)| {
            [start.to_le_bytes(), end.to_le_bytes()].concat()
        }).collect();
        if let Ok(set) = RangeSet::from_bytes(&bytes) {
            check_form(&set);
            prop_assert_eq!(set.to_bytes(), Ok(bytes));
        }
    }
}

#[test]
fn neighbours_grow_together() {
    let mut set = RangeSet::new();
    for range in [0..10, 20..30, 10..20, 40..40, 35..50] {
        set.insert(range);
    }
    assert_eq!(set.iter().collect::<Vec<_>>(), [0..30, 35..50]);
    set.remove(5..40);
    assert_eq!(set.iter().collect::<Vec<_>>(), [0..5, 40..50]);
}

#[test]
fn other_forms_of_a_set_are_refused() {
    let bytes = |ranges: &[Range<u64>]| -> Vec<u8> {
        let ends = ranges.iter().flat_map(|r| [r.start, r.end]);
        ends.flat_map(u64::to_le_bytes).collect()
    };
    for (ranges, at) in [
        (vec![3..3], 0),
        (vec![4..3], 0),
        (vec![0..2, 2..3], 1),
        (vec![0..5, 4..6], 1),
        (vec![5..6, 0..1], 1),
    ] {
        let error = RangeSet::from_bytes(&bytes(&ranges));
        assert_eq!(error, Err(RangeSetError::NotCanonical(at)), "{ranges:?}");
    }
    let torn = &bytes(&[1..2, 4..5])[..31];
    assert_eq!(RangeSet::from_bytes(torn), Err(RangeSetError::Torn(31)));
}

#[test]
fn a_set_too_scattered_to_be_sent_is_cut_to_its_largest() {
    let many: RangeSet = (0..RANGES_MAX as u64 + 1)
        .map(|i| i * 10..i * 10 + 1 + i % 3)
        .collect();
    let count = RANGES_MAX as u64 + 1;
    assert_eq!(many.to_bytes(), Err(RangeSetError::TooMany(count)));
    let cut = many.largest(RANGES_MAX);
    check_form(&cut);
    assert!(cut.is_subset_of(&many));
    let bytes = cut.to_bytes().expect("as many as allowed");
    assert_eq!(bytes.len(), RANGES_MAX * RANGE_BYTES);
    assert_eq!(RangeSet::from_bytes(&bytes), Ok(cut.clone()));
    let record: RangeSet = codec::decode::<_, { 2 << 20 }>(&codec::encode(&many)).expect("cut");
    assert_eq!(record, cut);
    let longer = [bytes.as_slice(), &[0xfe; 8], &[0xff; 8]].concat();
    assert_eq!(
        RangeSet::from_bytes(&longer),
        Err(RangeSetError::TooMany(count))
    );
    assert!(codec::decode::<RangeSet, 64>(&codec::encode(&u64::MAX)).is_err());
}

#[test]
fn what_is_reused_is_held_and_not_offered() {
    let mut map = HaveMap::new();
    map.receive(0..10);
    map.reuse(10..20);
    map.lose(5..12);
    assert_eq!(map.held().iter().collect::<Vec<_>>(), [0..5, 12..20]);
    assert_eq!(map.offered().iter().collect::<Vec<_>>(), [0..5]);
    let bytes = codec::encode(&map);
    assert_eq!(
        codec::decode::<HaveMap, 4096>(&bytes).expect("its own"),
        map
    );
    let forged = codec::encode(&(RangeSet::of(0..5), RangeSet::of(4..6)));
    assert!(codec::decode::<HaveMap, 4096>(&forged).is_err());
    assert!(HaveMap::complete(0).held().is_empty());
}

#[test]
fn a_map_too_scattered_to_be_stored_still_offers_only_what_it_holds() {
    let mut map = HaveMap::new();
    for i in 0..RANGES_MAX as u64 + 10 {
        map.reuse(i * 10..i * 10 + 1 + i % 3);
        map.receive(i * 10..i * 10 + 1);
    }
    let stored: HaveMap = codec::decode::<_, { 4 << 20 }>(&codec::encode(&map)).expect("cut");
    assert!(stored.held().is_subset_of(map.held()));
    assert_eq!(stored.held().range_count(), RANGES_MAX);
    assert!(stored.offered().is_subset_of(stored.held()));
}
