//! Sets of positions.
//!
//! Owns: their arithmetic and their one encoding. Refuses: chunk boundaries (whoever
//! inserts a range knows where chunks end), and a set too scattered to be told to a peer:
//! see [`RangeSet::to_bytes`] and [`RangeSet::largest`].

use std::fmt;
use std::ops::Range;

/// A set of positions, kept as sorted ranges that neither overlap nor touch.
///
/// In memory there is no bound: one who only holds a set knows where it came from. Lookups
/// are O(log ranges); an insertion in the middle moves what lies behind it, at most 1 MiB
/// for the largest set that can be stored.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct RangeSet {
    pub(super) ranges: Vec<Range<u64>>,
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
        if first == behind {
            self.ranges.insert(first, range);
            return;
        }
        let start = range.start.min(self.ranges[first].start);
        let end = range.end.max(self.ranges[behind - 1].end);
        self.ranges[first] = start..end;
        self.ranges.drain(first + 1..behind);
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
        match (left.is_empty(), right.is_empty()) {
            (true, true) => drop(self.ranges.drain(first..behind)),
            (false, false) => drop(self.ranges.splice(first..behind, [left, right])),
            (is_right, _) => {
                self.ranges[first] = if is_right { right } else { left };
                self.ranges.drain(first + 1..behind);
            }
        }
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
        let mut all = Vec::with_capacity(self.ranges.len() + other.ranges.len());
        let (mut mine, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        while let Some(first) = match (mine.peek(), theirs.peek()) {
            (Some(a), Some(b)) if b.start < a.start => theirs.next(),
            (Some(_), _) => mine.next(),
            (None, _) => theirs.next(),
        } {
            match all.last_mut() {
                Some(Range { end, .. }) if first.start <= *end => *end = first.end.max(*end),
                _ => all.push(first),
            }
        }
        Self { ranges: all }
    }

    /// The positions that are in both.
    pub fn intersect(&self, other: &RangeSet) -> RangeSet {
        let (few, many) = if self.ranges.len() <= other.ranges.len() {
            (self, other)
        } else {
            (other, self)
        };
        // Sorted and apart already, since no two of few touch, and no two of many.
        let ranges = few.iter().flat_map(|r| many.within(r)).collect();
        Self { ranges }
    }

    /// The positions that are in this set and not in `other`.
    pub fn subtract(&self, other: &RangeSet) -> RangeSet {
        let mut ranges = Vec::new();
        let mut theirs = other.ranges.as_slice();
        for Range { mut start, end } in self.iter() {
            theirs = behind(theirs, start);
            for their in theirs.iter().take_while(|their| their.start < end) {
                if start < their.start {
                    ranges.push(start..their.start);
                }
                start = their.end;
            }
            if start < end {
                ranges.push(start..end);
            }
        }
        Self { ranges }
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
}

/// Those of sorted ranges that end behind `position`. Most often there is little to skip.
fn behind(ranges: &[Range<u64>], position: u64) -> &[Range<u64>] {
    const NEAR: usize = 8;
    let ends_before = |r: &Range<u64>| r.end <= position;
    let near = ranges.iter().take(NEAR);
    let skipped = match near.take_while(|r| ends_before(r)).count() {
        NEAR => NEAR + ranges[NEAR..].partition_point(ends_before),
        few => few,
    };
    &ranges[skipped..]
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
