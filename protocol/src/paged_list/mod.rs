//! The paged Merkle list: one structure for the chunks of a file and the entries of a
//! snapshot.
//!
//! Owns: where pages end, their bytes, building in bounded memory, reading by position,
//! index and path, what is missing, and what differs. Refuses: where pages are kept; it
//! asks a [`PageSource`].
//!
//! Level 0 pages hold items; a page of level n holds the ids, counts and sums of pages of
//! level n − 1. Where a page ends follows from the keys of its items alone (see
//! `builder`), so equal stretches of two lists share their pages. Whatever is read is
//! checked against what its parent said, and a lie is an error (see `check`).

mod builder;
mod check;
mod cursor;
mod diff;
mod item;
mod missing;
mod page;
mod source;
mod walk;

#[cfg(test)]
mod tests;

pub use builder::{BuildError, Builder, Root};
pub use check::PageError;
pub use cursor::Cursor;
pub use diff::{Change, Diff};
pub use item::{ChunkRef, Item, ItemError, ListKind, Placed};
pub(crate) use missing::Frontier;
pub use missing::missing;
pub use page::{LEVELS_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
pub use source::{MemoryPages, PageSource, ReadError};
