//! What a node has of a snapshot.
//!
//! Owns: the rule that what is offered is held. Refuses: to say who may be offered what.

use std::ops::Range;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use super::{RANGES_MAX, RangeSet};

/// What a node has of one snapshot, and which part of it others may have from here.
///
/// The two differ because bytes that were found elsewhere on this disk fill the file but
/// prove nothing about the right to read them: offering them on would let a forged manifest
/// pull out secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
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

/// Held positions, then offered ones. A map too scattered to be stored is cut to its largest
/// held ranges, and what is offered to what is left of it.
impl Encode for HaveMap {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        if self.held.range_count() <= RANGES_MAX {
            self.held.encode(encoder)?;
            return self.offered.encode(encoder);
        }
        let held = self.held.largest(RANGES_MAX);
        held.encode(encoder)?;
        self.offered.intersect(&held).encode(encoder)
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
