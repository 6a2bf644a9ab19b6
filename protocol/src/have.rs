//! Which positions of a snapshot a node has.
//!
//! Owns: sets of positions and their one encoding; the rule that what is offered is held.
//! Refuses: bytes, chunk boundaries (whoever inserts a range knows where chunks end), and a
//! set too scattered to be told to a peer: see [`RangeSet::to_bytes`] and
//! [`RangeSet::largest`].

use std::fmt;
use std::ops::Range;

use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

/// The most ranges that a stored or sent set may have.
pub const RANGES_MAX: usize = 65_536;

/// Bytes that one range takes: start and end, little-endian.
pub const RANGE_BYTES: usize = 16;

/// Why bytes are not a set of ranges, or a set is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeSetError {
    /// More than [`RANGES_MAX`] ranges.
    #[error("{0} ranges are more than the {RANGES_MAX} allowed")]
    TooMany(u64),
    /// Not a whole number of ranges.
    #[error("{0} bytes are not a whole number of ranges")]
    Torn(usize),
    /// Empty, out of order, overlapping or touching: not the one form of its set.
    #[error("range {0} is empty, out of order, or touches the one before it")]
    NotCanonical(usize),
}

/// A set of positions, kept as sorted ranges that neither overlap nor touch.
///
/// In memory there is no bound: one who only holds a set knows where it came from. Lookups
/// are O(log ranges); an insertion in the middle moves what lies behind it, at most 1 MiB
/// for the largest set that can be stored.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// The set of nothing.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// The positions of one range; of none, if it is empty.
    pub fn of(range: Range<u64>) -> Self {
        let mut set = Self::new();
        set.insert(range);
        set
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + ExactSizeIterator + '_ {
        self.ranges.iter().cloned()
    }

    /// How many ranges there are.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// Whether it has no position.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many positions, which are bytes, it has.
    pub fn total_bytes(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// Index of the first range that ends at or behind `position`, or beyond it.
    fn first_reaching(&self, position: u64) -> usize {
        self.ranges.partition_point(|r| r.end < position)
    }

    /// Adds the positions of `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.first_reaching(range.start);
        let behind = first + self.ranges[first..].partition_point(|r| r.start <= range.end);
        let merged = if first == behind {
            range
        } else {
            let start = range.start.min(self.ranges[first].start);
            let end = range.end.max(self.ranges[behind - 1].end);
            start..end
        };
        self.ranges.splice(first..behind, [merged]);
    }

    /// Takes away the positions of `range`.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|r| r.end <= range.start);
        let behind = first + self.ranges[first..].partition_point(|r| r.start < range.end);
        if first == behind {
            return;
        }
        let left = self.ranges[first].start..range.start;
        let right = range.end..self.ranges[behind - 1].end;
        let kept = [left, right].into_iter().filter(|r| !r.is_empty());
        self.ranges.splice(first..behind, kept);
    }

    /// Whether `position` is in the set.
    pub fn contains(&self, position: u64) -> bool {
        let i = self.ranges.partition_point(|r| r.end <= position);
        self.ranges.get(i).is_some_and(|r| r.start <= position)
    }

    /// Whether every position of `range` is in the set; true for an empty range.
    pub fn contains_range(&self, range: Range<u64>) -> bool {
        let i = self.ranges.partition_point(|r| r.end <= range.start);
        range.is_empty()
            || (self.ranges.get(i)).is_some_and(|r| r.start <= range.start && range.end <= r.end)
    }

    /// The part of the set that lies in `range`, in order, without copying the set.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.ranges.partition_point(|r| r.end <= range.start);
        self.ranges[first..]
            .iter()
            .take_while(move |r| r.start < range.end)
            .map(move |r| r.start.max(range.start)..r.end.min(range.end))
            .filter(|r| !r.is_empty())
    }

    /// The parts of `range` that are not in the set, in order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut from = range.start;
        let end = range.end;
        let mut inside = self.within(range);
        std::iter::from_fn(move || {
            for held in inside.by_ref() {
                let gap = from..held.start;
                from = held.end;
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            let rest = from..end;
            from = end;
            (!rest.is_empty()).then_some(rest)
        })
    }

    /// The part of the set that lies in `range`, as a set.
    pub fn intersect_range(&self, range: Range<u64>) -> RangeSet {
        self.within(range).collect()
    }

    /// The positions that are in either.
    pub fn union(&self, other: &RangeSet) -> RangeSet {
        let mut all: Vec<_> = self.iter().chain(other.iter()).collect();
        all.sort_unstable_by_key(|r| r.start);
        all.into_iter().collect()
    }

    /// The positions that are in both.
    pub fn intersect(&self, other: &RangeSet) -> RangeSet {
        let (few, many) = if self.ranges.len() <= other.ranges.len() {
            (self, other)
        } else {
            (other, self)
        };
        few.iter().flat_map(|r| many.within(r)).collect()
    }

    /// The positions that are in this set and not in `other`.
    pub fn subtract(&self, other: &RangeSet) -> RangeSet {
        self.iter().flat_map(|r| other.gaps(r)).collect()
    }

    /// Whether every position of this set is in `other`.
    pub fn is_subset_of(&self, other: &RangeSet) -> bool {
        self.iter().all(|r| other.contains_range(r))
    }

    /// The `count` longest ranges, where claiming less than one has is allowed.
    pub fn largest(&self, count: usize) -> RangeSet {
        if self.ranges.len() <= count {
            return self.clone();
        }
        let mut ranges = self.ranges.clone();
        ranges.sort_unstable_by_key(|r| (std::cmp::Reverse(r.end - r.start), r.start));
        ranges.truncate(count);
        ranges.sort_unstable_by_key(|r| r.start);
        Self { ranges }
    }

    /// The set as it travels: each range as start and end, 16 bytes, little-endian.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RangeSetError> {
        if self.ranges.len() > RANGES_MAX {
            return Err(RangeSetError::TooMany(self.ranges.len() as u64));
        }
        let mut bytes = Vec::with_capacity(self.ranges.len() * RANGE_BYTES);
        for r in &self.ranges {
            bytes.extend_from_slice(&r.start.to_le_bytes());
            bytes.extend_from_slice(&r.end.to_le_bytes());
        }
        Ok(bytes)
    }

    /// The set with these bytes, if they are its one form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RangeSetError> {
        let (pairs, rest) = bytes.as_chunks::<RANGE_BYTES>();
        if !rest.is_empty() {
            return Err(RangeSetError::Torn(bytes.len()));
        }
        if pairs.len() > RANGES_MAX {
            return Err(RangeSetError::TooMany(pairs.len() as u64));
        }
        let mut set = Self {
            ranges: Vec::with_capacity(pairs.len()),
        };
        for pair in pairs {
            let (start, end) = pair.split_at(8);
            let number = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("half of 16"));
            set.push_canonical(number(start)..number(end))?;
        }
        Ok(set)
    }

    fn push_canonical(&mut self, range: Range<u64>) -> Result<(), RangeSetError> {
        let apart = self.ranges.last().is_none_or(|last| last.end < range.start);
        if range.is_empty() || !apart {
            return Err(RangeSetError::NotCanonical(self.ranges.len()));
        }
        self.ranges.push(range);
        Ok(())
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

impl fmt::Debug for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.ranges).finish()
    }
}

/// Inside a record: the count as a u64, then what [`RangeSet::to_bytes`] gives. A set with
/// more than [`RANGES_MAX`] ranges is cut to its [`RangeSet::largest`], because whoever
/// holds more than it says loses nothing but time.
impl Encode for RangeSet {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let cut;
        let ranges = if self.ranges.len() > RANGES_MAX {
            cut = self.largest(RANGES_MAX).ranges;
            &cut
        } else {
            &self.ranges
        };
        (ranges.len() as u64).encode(encoder)?;
        ranges
            .iter()
            .try_for_each(|r| (r.start, r.end).encode(encoder))
    }
}

impl<C> Decode<C> for RangeSet {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let other = |error: RangeSetError| DecodeError::OtherString(error.to_string());
        let count = u64::decode(decoder)?;
        if count > RANGES_MAX as u64 {
            return Err(other(RangeSetError::TooMany(count)));
        }
        let mut set = Self::new();
        for _ in 0..count {
            let (start, end) = Decode::decode(decoder)?;
            set.push_canonical(start..end).map_err(other)?;
        }
        Ok(set)
    }
}

impl<'de, C> BorrowDecode<'de, C> for RangeSet {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// What a node has of one snapshot, and which part of it others may have from here.
///
/// The two differ because bytes that were found elsewhere on this disk fill the file but
/// prove nothing about the right to read them: offering them on would let a forged manifest
/// pull out secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Encode)]
pub struct HaveMap {
    held: RangeSet,
    offered: RangeSet,
}

impl HaveMap {
    /// Nothing held.
    pub const fn new() -> Self {
        Self {
            held: RangeSet::new(),
            offered: RangeSet::new(),
        }
    }

    /// A snapshot of `bytes` bytes of which everything is held and offered.
    pub fn complete(bytes: u64) -> Self {
        Self {
            held: RangeSet::of(0..bytes),
            offered: RangeSet::of(0..bytes),
        }
    }

    /// What is on this disk.
    pub fn held(&self) -> &RangeSet {
        &self.held
    }

    /// The part of it that others may have from here.
    pub fn offered(&self) -> &RangeSet {
        &self.offered
    }

    /// `range` came over the wire, or was added, under this snapshot.
    pub fn receive(&mut self, range: Range<u64>) {
        self.held.insert(range.clone());
        self.offered.insert(range);
    }

    /// `range` was found elsewhere on this disk.
    pub fn reuse(&mut self, range: Range<u64>) {
        self.held.insert(range);
    }

    /// `range` is gone, or turned out to be wrong.
    pub fn lose(&mut self, range: Range<u64>) {
        self.held.remove(range.clone());
        self.offered.remove(range);
    }
}

impl<C> Decode<C> for HaveMap {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (held, offered): (RangeSet, RangeSet) = Decode::decode(decoder)?;
        if !offered.is_subset_of(&held) {
            return Err(DecodeError::Other("offered positions that are not held"));
        }
        Ok(Self { held, offered })
    }
}

bincode::impl_borrow_decode!(HaveMap);
