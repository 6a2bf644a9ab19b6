//! Which positions of a snapshot a node has, and which it offers.
//!
//! Owns: [`RangeSet`] with its encoding, and [`HaveMap`]. Refuses: bytes.

mod encoding;
mod map;
mod range_set;

#[cfg(test)]
mod tests;

pub use encoding::{RANGE_BYTES, RANGES_MAX, RangeSetError};
pub use map::HaveMap;
pub use range_set::RangeSet;
