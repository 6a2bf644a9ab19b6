//! One page: its bytes, and everything that must hold of them.

use crate::path::ManifestPath;

use super::item::ItemError;

/// The most bytes of an encoded page.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// The most items of a page.
pub const PAGE_ITEMS_MAX: usize = 1024;
/// The fewest items behind which a page may end of its own accord.
pub const PAGE_ITEMS_MIN: usize = 64;
/// The most levels of pages that a list may have.
pub const LEVELS_MAX: u8 = 8;

/// What is wrong with a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Its bytes do not hash to its id.
    #[error("its bytes are not those of its id")]
    Hash,
    /// Its bytes are no page of this kind of list.
    #[error("{0}")]
    Malformed(String),
    /// An item breaks a rule.
    #[error("{0}")]
    Item(#[from] ItemError),
    /// `path` does not come after the entry before it.
    #[error("{path:?} is out of order")]
    Unsorted {
        /// The path that comes too late.
        path: ManifestPath,
    },
    /// `path` lies inside an entry that is not a directory.
    #[error("{path:?} lies inside of something that is no directory")]
    Conflict {
        /// The path that lies inside.
        path: ManifestPath,
    },
    /// It is not of the level that its parent says, or is too deep.
    #[error("it is of level {level}, which cannot be here")]
    Level {
        /// The level that the page claims.
        level: u8,
    },
    /// Its items are not as many as its parent says.
    #[error("it holds {actual} items instead of {expected}")]
    Items {
        /// What the parent says.
        expected: u64,
        /// The sum in the page.
        actual: u64,
    },
    /// Its items do not take the bytes that its parent says.
    #[error("its items take {actual} bytes instead of {expected}")]
    Bytes {
        /// What the parent says.
        expected: u64,
        /// The sum in the page.
        actual: u64,
    },
    /// Its first path is not the one that its parent says.
    #[error("it does not begin with the path that its parent says")]
    FirstPath,
    /// Its sums do not fit 64 bits.
    #[error("its sums overflow")]
    Overflow,
    /// It holds nothing, or is a root that only leads to one page.
    #[error("it is superfluous")]
    Superfluous,
}
