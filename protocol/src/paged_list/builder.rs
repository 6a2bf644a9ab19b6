//! Builds a list, page by page, from its items in order.

use std::marker::PhantomData;

use crate::id::PageId;
use crate::path::ManifestPath;

use super::item::{Item, ItemError};

/// The top of a finished list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The page everything hangs from.
    pub page: PageId,
    /// How many items the list has.
    pub items: u64,
    /// How many bytes they take in the space of positions.
    pub bytes: u64,
    /// The level of the root page; 0 if it holds the items itself.
    pub level: u8,
}

/// Why an item cannot be the next one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The items are not given in order, or one is given twice.
    #[error("{path:?} does not come after {after:?}")]
    Unsorted {
        /// The item's path.
        path: ManifestPath,
        /// The path of the item before.
        after: ManifestPath,
    },
    /// An item lies inside another one, which is no directory.
    #[error("{path:?} lies inside of {inside:?}, which is no directory")]
    Conflict {
        /// The item's path.
        path: ManifestPath,
        /// The path of the item before.
        inside: ManifestPath,
    },
    /// The item breaks a rule of its own.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The list has more bytes than 64 bits can count.
    #[error("the list takes more than 2^64 bytes")]
    Overflow,
}

/// Builds a list in bounded memory: one open page for each level.
#[derive(Debug)]
pub struct Builder<I> {
    items: PhantomData<I>,
}

impl<I: Item> Builder<I> {
    /// An empty list.
    pub fn new() -> Self {
        Self { items: PhantomData }
    }

    /// Adds an item behind the others, and hands on the pages that this completes.
    /// After an error the item is left out and the list can go on.
    pub fn push(
        &mut self,
        item: &I,
        emit: &mut dyn FnMut(PageId, Vec<u8>),
    ) -> Result<(), BuildError> {
        let _ = (item, emit);
        todo!()
    }

    /// Hands on the open pages, and gives the root; nothing for a list without items.
    pub fn finish(self, emit: &mut dyn FnMut(PageId, Vec<u8>)) -> Option<Root> {
        let _ = emit;
        todo!()
    }
}

impl<I: Item> Default for Builder<I> {
    fn default() -> Self {
        Self::new()
    }
}
