//! Reads a list from any place on.
//!
//! Owns: what "from here on" means. Refuses: fetching pages.

use crate::id::PageId;
use crate::path::ManifestPath;

use super::check::Claim;
use super::item::{Item, ListKind, Placed};
use super::source::{PageSource, ReadError};
use super::walk::{Here, Walk};

/// A place in a list, from which items are read in order.
///
/// The cursor holds one page of each level. When a page is missing, it stays where it is:
/// bring the page and call [`Cursor::next`] again.
#[derive(Debug, Clone)]
pub struct Cursor<I> {
    root: Option<Claim>,
    walk: Walk<I>,
    target: Target,
}

/// Where the next item is to be looked for.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Right here.
    Here,
    Position(u64),
    Index(u64),
    Path(ManifestPath),
    Past(ManifestPath),
}

impl<I: Item> Cursor<I> {
    /// At the first item of the list with this root; nothing for the empty list.
    pub fn new(root: Option<PageId>) -> Self {
        Self::holding(root, None, None)
    }

    /// As [`Cursor::new`], and holds the root to what a snapshot or an entry says of the
    /// number of its items and the sum of their bytes.
    pub fn holding(root: Option<PageId>, items: Option<u64>, bytes: Option<u64>) -> Self {
        let root = root.map(|page| Claim {
            items,
            bytes,
            ..Claim::root(page)
        });
        Self {
            walk: Walk::new(root.clone()),
            root,
            target: Target::Here,
        }
    }

    /// Moves to the item that holds the byte at `position`, or to the first one that
    /// begins there (which may be an empty one).
    pub fn seek_position(&mut self, position: u64) {
        self.seek(Target::Position(position));
    }

    /// Moves to the item with `index` items before it.
    pub fn seek_index(&mut self, index: u64) {
        self.seek(Target::Index(index));
    }

    /// Moves to the item at `path`, or else to the first one behind it.
    pub fn seek_path(&mut self, path: ManifestPath) {
        self.seek(Target::Path(path));
    }

    /// Moves to the first item that comes after `path` and everything inside it.
    pub fn seek_past(&mut self, path: ManifestPath) {
        self.seek(Target::Past(path));
    }

    fn seek(&mut self, target: Target) {
        self.walk = Walk::new(self.root.clone());
        self.target = target;
    }

    /// The item at the cursor, which moves on behind it; nothing at the end.
    pub fn next<S: PageSource>(
        &mut self,
        source: &S,
    ) -> Result<Option<Placed<I>>, ReadError<S::Error>> {
        while let Some(here) = self.walk.here() {
            let (index, position) = (self.walk.index(), self.walk.position());
            match here {
                _ if self.target.is_behind(&here, index, position) => self.walk.skip(),
                Here::Page(_) => self.walk.enter(source)?,
                Here::Item(item) => {
                    let item = item.clone();
                    self.walk.skip();
                    self.target = Target::Here;
                    return Ok(Some(Placed {
                        index,
                        position,
                        item,
                    }));
                }
            }
        }
        Ok(None)
    }
}

impl Target {
    /// Whether the target lies behind all of what stands at `index` and `position`.
    pub(super) fn is_behind<I: Item>(&self, here: &Here<'_, I>, index: u64, position: u64) -> bool {
        match (self, here) {
            (Self::Here, _) => false,
            (Self::Position(target), Here::Item(item)) => {
                position < *target && position + item.bytes() <= *target
            }
            (Self::Position(target), Here::Page(page)) => {
                let end = page.bytes.map(|bytes| position + bytes);
                // Entries may be empty: one that begins at the target can be the last one
                // of a page that ends there.
                match I::KIND {
                    ListKind::Manifest => end.is_some_and(|end| end < *target),
                    ListKind::Content => end.is_some_and(|end| end <= *target),
                }
            }
            (Self::Index(target), Here::Item(_)) => index < *target,
            (Self::Index(target), Here::Page(page)) => {
                page.items.is_some_and(|items| index + items <= *target)
            }
            (Self::Path(target), Here::Item(item)) => item.path().is_some_and(|path| path < target),
            (Self::Path(target), Here::Page(page)) => {
                page.until.is_some_and(|until| until <= target)
            }
            (Self::Past(target), Here::Item(item)) => item
                .path()
                .is_some_and(|path| path < target || path.is_within(target)),
            (Self::Past(target), Here::Page(page)) => page
                .until
                .is_some_and(|until| until <= target || until.is_within(target)),
        }
    }
}
