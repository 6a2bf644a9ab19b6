//! Which pages to ask for next.
//!
//! Owns: the frontier of what is held. Refuses: looking beneath a page that is not there.

use std::collections::HashSet;
use std::ops::Range;

use crate::id::PageId;

use super::check::Claim;
use super::cursor::Target;
use super::item::Item;
use super::source::{PageSource, ReadError};
use super::walk::{Here, Walk};

/// The first `limit` pages that are not held and that reading the `positions` of the list
/// needs, in the order of the list. What lies beneath a missing page is unknown until it
/// comes, so ask again then.
///
/// Pages are needed for the items that begin in `positions`, and for the one that reaches
/// into their start. Lowest pages that are held are not read.
pub fn missing<I: Item, S: PageSource>(
    source: &S,
    root: &PageId,
    positions: Range<u64>,
    limit: usize,
) -> Result<Vec<PageId>, ReadError<S::Error>> {
    let mut frontier = Frontier::new(limit);
    frontier.add_list::<I, S>(source, *root, positions, None)?;
    Ok(frontier.into_missing())
}

/// Collects missing pages, each once, up to a limit.
#[derive(Debug)]
pub(crate) struct Frontier {
    missing: Vec<PageId>,
    seen: HashSet<PageId>,
    limit: usize,
}

/// Is told the position of each item, and the item.
pub(crate) type EachItem<'a, I, E> =
    &'a mut dyn FnMut(&mut Frontier, u64, &I) -> Result<(), ReadError<E>>;

impl Frontier {
    /// Nothing, and room for `limit` pages.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            missing: Vec::new(),
            seen: HashSet::new(),
            limit,
        }
    }

    /// The pages collected, in the order in which they are needed.
    pub(crate) fn into_missing(self) -> Vec<PageId> {
        self.missing
    }

    /// Adds the pages that the `positions` of a list lack. The items that are held are
    /// told to `each_item`; without it, the lowest pages are not read.
    pub(crate) fn add_list<I: Item, S: PageSource>(
        &mut self,
        source: &S,
        root: PageId,
        positions: Range<u64>,
        mut each_item: Option<EachItem<'_, I, S::Error>>,
    ) -> Result<(), ReadError<S::Error>> {
        let start = Target::Position(positions.start);
        let mut walk = Walk::<I>::new(Some(Claim::root(root)));
        while let Some(here) = walk.here() {
            let (index, position) = (walk.index(), walk.position());
            if self.missing.len() >= self.limit || position >= positions.end {
                break;
            }
            match here {
                _ if start.is_behind(&here, index, position) => walk.skip(),
                Here::Item(item) => {
                    if let Some(each_item) = &mut each_item {
                        each_item(self, position, item)?;
                    }
                    walk.skip();
                }
                Here::Page(page) => {
                    let read = each_item.is_some() || page.level != Some(0);
                    match source.holds(page.page).map_err(ReadError::Source)? {
                        true if read => walk.enter(source)?,
                        true => walk.skip(),
                        false => {
                            self.add(*page.page);
                            walk.skip();
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, page: PageId) {
        if self.seen.insert(page) {
            self.missing.push(page);
        }
    }
}
