//! Finds the end of a chunk.
//!
//! The boundaries are those of `fastcdc::v2020`, whose tables and masks are used; only the
//! search is arranged anew. A rolling hash is one long chain of dependent additions, so a
//! processor that could do five things at once does two. But no mask looks at a bit above
//! the 47th, hence whether a place is a boundary depends on the 48 bytes before it alone:
//! the search runs along two lanes at once, the second one started 48 bytes early. This is
//! about 1.4 times as fast (benches/chunking.rs).

use std::ops::Range;

use fastcdc::v2020::get_gear_with_seed;

use super::profile::Profile;

/// How many bytes back a boundary depends on: one for each bit up to a mask's highest.
const WINDOW: usize = 48;

/// How far each lane looks before the two are compared. Longer lanes waste more when they
/// find a boundary, shorter ones more on starting.
const LANE: usize = 1024;

/// Length of the chunk at the start of `data`.
///
/// `data` must reach to the end of the file or hold at least `profile.max` bytes;
/// it gives 0 only for no data.
pub fn next_cut(profile: &Profile, data: &[u8]) -> usize {
    let length = data.len().min(profile.max);
    if length <= profile.min {
        return length;
    }
    // Places are tried in pairs, so an odd last byte is not tried (fastcdc issue 52).
    let end = length & !1;
    let middle = end.min(profile.average);
    let (one, two) = get_gear_with_seed(0);
    let gear = Gear {
        one: (&*one).try_into().expect("the gear table has 256 entries"),
        two: (&*two).try_into().expect("the gear table has 256 entries"),
    };
    let mut hash = 0;
    gear.boundary(data, profile.min..middle, profile.mask_short, &mut hash)
        .or_else(|| gear.boundary(data, middle..end, profile.mask_long, &mut hash))
        .unwrap_or(length)
}

/// The chunks of `data` that begin within its first `until` bytes, as ranges of `data`.
///
/// For a whole file in memory `until` is its length. For a segment of a file `data` must
/// reach `profile.max` bytes beyond `until` (or to the end of the file), because the last
/// chunk may; cutting then begins as though a chunk began at the start of the segment,
/// which [`Stitcher`](super::Stitcher) repairs.
pub fn cuts<'a>(profile: &'a Profile, data: &'a [u8], until: usize) -> Cuts<'a> {
    Cuts {
        profile,
        data,
        at: 0,
        until: until.min(data.len()),
    }
}

/// See [`cuts`].
#[derive(Debug, Clone)]
pub struct Cuts<'a> {
    profile: &'a Profile,
    data: &'a [u8],
    at: usize,
    until: usize,
}

impl Iterator for Cuts<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.at >= self.until {
            return None;
        }
        let start = self.at;
        self.at += next_cut(self.profile, &self.data[start..]);
        Some(start..self.at)
    }
}

/// The random numbers that bytes stand for in the rolling hash.
struct Gear<'a> {
    one: &'a [u64; 256],
    /// Those of `one` doubled, for the first byte of a pair (section 3.7 of the paper).
    two: &'a [u64; 256],
}

impl Gear<'_> {
    /// The first place in `range` where the hash has no bit of `mask`. `hash` is that of the
    /// bytes of the chunk before the range, and becomes that of those before its end.
    fn boundary(
        &self,
        data: &[u8],
        range: Range<usize>,
        mask: u64,
        hash: &mut u64,
    ) -> Option<usize> {
        let mut at = range.start;
        while range.end - at >= 2 * LANE {
            let middle = at + LANE;
            let end = middle + LANE;
            let first = data[at..middle].try_into().expect("a lane");
            let second = data[middle..end].try_into().expect("a lane");
            let early = self.roll(&data[middle - WINDOW..middle]);
            match self.both_lanes(first, second, mask, (*hash, early)) {
                Some(hash_behind) => *hash = hash_behind,
                None => {
                    return self
                        .one_lane(&data[at..middle], mask, hash)
                        .map(|found| at + found)
                        .or_else(|| {
                            *hash = early;
                            let found = self.one_lane(&data[middle..end], mask, hash)?;
                            Some(middle + found)
                        });
                }
            }
            at = end;
        }
        let found = self.one_lane(&data[at..range.end], mask, hash)?;
        Some(at + found)
    }

    /// Whether two neighbouring lanes are free of boundaries: the hash behind them if so.
    fn both_lanes(
        &self,
        first: &[u8; LANE],
        second: &[u8; LANE],
        mask: u64,
        (mut hash1, mut hash2): (u64, u64),
    ) -> Option<u64> {
        let doubled = mask << 1;
        for i in 0..LANE / 2 {
            let half1 = (hash1 << 2).wrapping_add(self.two[usize::from(first[2 * i])]);
            hash1 = half1.wrapping_add(self.one[usize::from(first[2 * i + 1])]);
            if half1 & doubled == 0 || hash1 & mask == 0 {
                return None;
            }
            let half2 = (hash2 << 2).wrapping_add(self.two[usize::from(second[2 * i])]);
            hash2 = half2.wrapping_add(self.one[usize::from(second[2 * i + 1])]);
            if half2 & doubled == 0 || hash2 & mask == 0 {
                return None;
            }
        }
        Some(hash2)
    }

    /// The first boundary among `bytes`, an even number.
    fn one_lane(&self, bytes: &[u8], mask: u64, hash: &mut u64) -> Option<usize> {
        let doubled = mask << 1;
        for (i, pair) in bytes.chunks_exact(2).enumerate() {
            let half = (*hash << 2).wrapping_add(self.two[usize::from(pair[0])]);
            if half & doubled == 0 {
                return Some(2 * i);
            }
            *hash = half.wrapping_add(self.one[usize::from(pair[1])]);
            if *hash & mask == 0 {
                return Some(2 * i + 1);
            }
        }
        None
    }

    /// The hash of `bytes` from nothing.
    fn roll(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |hash, &byte| {
            (hash << 1).wrapping_add(self.one[usize::from(byte)])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::PROFILE_1;
    use super::*;
    use proptest::prelude::*;

    /// What the crate says, which is what the format means.
    fn reference(data: &[u8]) -> Vec<usize> {
        let Profile {
            min, average, max, ..
        } = PROFILE_1;
        fastcdc::v2020::FastCDC::new(data, min, average, max)
            .map(|chunk| chunk.length)
            .collect()
    }

    fn lengths(data: &[u8]) -> Vec<usize> {
        cuts(&PROFILE_1, data, data.len())
            .map(|range| range.len())
            .collect()
    }

    fn noise(seed: &[u8], length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        blake3::Hasher::new()
            .update(seed)
            .finalize_xof()
            .fill(&mut data);
        data
    }

    /// Golden: these boundaries are the data format. They must never change.
    #[test]
    fn profile_1_has_these_boundaries() {
        assert_eq!(
            lengths(&noise(b"shoal golden", 1 << 20)),
            [
                82_722, 29_926, 92_361, 68_961, 71_706, 51_958, 100_980, 105_082, 31_657, 77_999,
                25_065, 87_746, 76_704, 34_020, 94_300, 17_389
            ]
        );
        assert_eq!(lengths(&vec![0; 600_001]), [262_144, 262_144, 75_713]);
    }

    #[test]
    fn short_data_is_one_chunk() {
        for length in [0, 1, 2, 16_383, 16_384] {
            let expect: Vec<usize> = (length > 0).then_some(length).into_iter().collect();
            assert_eq!(lengths(&noise(b"short", length)), expect);
        }
    }

    #[test]
    fn a_segment_ends_with_the_chunk_that_begins_in_it() {
        let data = noise(b"segment", 1 << 20);
        let ranges: Vec<_> = cuts(&PROFILE_1, &data, 300_000).collect();
        let last = ranges.last().expect("some chunks");
        assert!(last.start < 300_000 && last.end >= 300_000);
        assert_eq!(
            ranges,
            cuts(&PROFILE_1, &data, data.len())
                .take(ranges.len())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn no_mask_looks_beyond_the_window() {
        assert_eq!((PROFILE_1.mask_short | PROFILE_1.mask_long) >> WINDOW, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn boundaries_are_those_of_the_crate(
            seed: [u8; 8],
            length in 0usize..1_000_000,
            period in prop_oneof![Just(usize::MAX), 1usize..200, 1_000usize..100_000],
        ) {
            let block = noise(&seed, length.min(period));
            let data: Vec<u8> = block.iter().copied().cycle().take(length).collect();
            prop_assert_eq!(lengths(&data), reference(&data));
        }

        /// Data in which boundaries are frequent, so that both lanes have some.
        #[test]
        fn boundaries_among_many_candidates_are_those_of_the_crate(
            seed: [u8; 8],
            length in 16_000usize..300_000,
            stretch in 1usize..64,
        ) {
            let data: Vec<u8> = noise(&seed, length / stretch + 1)
                .into_iter()
                .flat_map(|byte| std::iter::repeat_n(byte & 3, stretch))
                .take(length)
                .collect();
            prop_assert_eq!(lengths(&data), reference(&data));
        }
    }
}
