//! Where a file is cut into chunks.
//!
//! Owns: FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking", IEEE TPDS
//! 2020), with exactly the boundaries of the `fastcdc` crate's `v2020` module, and the
//! rule by which segments that were cut apart from each other are joined to the sequential
//! result. Refuses: reading and hashing; it sees slices and gives back lengths.

mod cut;
mod profile;
mod stitch;

pub use cut::{Cuts, cuts, next_cut};
pub use profile::{CHUNK_BYTES_MAX, PROFILE_1, Profile};
pub use stitch::{Piece, Stitcher};
