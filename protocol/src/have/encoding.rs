//! How a set of positions is stored and sent.
//!
//! Owns: the bound on its ranges, and its one form: sorted, apart, none empty. Refuses: every
//! other form, so that nobody can make a set costly or ambiguous.

use std::ops::Range;

use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use super::RangeSet;

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

impl RangeSet {
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
