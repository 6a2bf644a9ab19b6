//! Reads a list from any place on.

use std::marker::PhantomData;

use crate::id::PageId;
use crate::path::ManifestPath;

use super::item::{Item, Placed};
use super::source::{PageSource, ReadError};

/// A place in a list, from which items are read in order.
///
/// The cursor holds one page of each level. When a page is missing, it stays where it is:
/// bring the page and call [`Cursor::next`] again.
#[derive(Debug, Clone)]
pub struct Cursor<I> {
    items: PhantomData<I>,
}

impl<I: Item> Cursor<I> {
    /// At the first item of the list with this root; nothing for the empty list.
    pub fn new(root: Option<PageId>) -> Self {
        let _ = root;
        todo!()
    }

    /// Holds the root to what a snapshot or an entry says of it.
    pub fn expect(self, items: Option<u64>, bytes: Option<u64>) -> Self {
        let _ = (items, bytes);
        todo!()
    }

    /// Moves to the item that holds the byte at `position`, or to the first one that
    /// begins there (which may be an empty one).
    pub fn seek_position(&mut self, position: u64) {
        let _ = position;
        todo!()
    }

    /// Moves to the item with `index` items before it.
    pub fn seek_index(&mut self, index: u64) {
        let _ = index;
        todo!()
    }

    /// Moves to the item at `path`, or else to the first one behind it.
    pub fn seek_path(&mut self, path: ManifestPath) {
        let _ = path;
        todo!()
    }

    /// Moves to the first item that comes after `path` and everything inside it.
    pub fn seek_past(&mut self, path: ManifestPath) {
        let _ = path;
        todo!()
    }

    /// The item at the cursor, which moves on behind it; nothing at the end.
    pub fn next<S: PageSource>(
        &mut self,
        source: &S,
    ) -> Result<Option<Placed<I>>, ReadError<S::Error>> {
        let _ = source;
        todo!()
    }
}
