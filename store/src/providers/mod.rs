//! Who said that it has what: the records that other nodes leave here.
//!
//! Owns: the file that they are kept in, their bounds, and who gives way when there is no
//! room. Refuses: to believe them (they are hints), to say when they are due (time is an
//! argument), and the network.
//!
//! # Bounds
//! Records lie on disk, some 140 bytes each (gaps of the file included); in memory are those that were not written yet,
//! those who gave them, and redb's cache. No provider has more than its *share*: the room for all,
//! divided by the number of those who have records here (at least four). A newcomer under its share that
//! finds no room gets it: those beyond theirs lose their highest-ranked records first, and
//! cannot renew them; so nobody can push out another, and what is left of everyone's keys
//! are the lowest, which searchers ask for first. A key has at most 32 providers: those that came
//! first, as long as they renew. Nobody brings keys faster than nodes send them, but for a burst
//! after it was quiet; more are refused before anything is looked up for them.

mod allowance;
mod database;
mod rows;
mod store;
mod table;

#[cfg(test)]
mod tests;

pub use store::{ProviderOptions, ProviderStore};
