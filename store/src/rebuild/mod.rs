//! Winning back an index from the packs.
//!
//! Owns: what is taken from a pack, and what must then be checked. Refuses: external files;
//! whoever wants them known again adds them again.

mod record;

pub(crate) use record::append_rows;
