//! What differs between two manifests.
//!
//! Owns: walking both at once, past whatever they share. Refuses: content lists, which are
//! not sorted; what two versions of a file share shows in their chunks.

use std::cmp::Ordering;

use crate::id::PageId;
use crate::manifest::Entry;
use crate::path::ManifestPath;

use super::check::Claim;
use super::item::{Item, Placed};
use super::source::{PageSource, ReadError};
use super::walk::{Here, Walk};

/// One difference, from an older manifest to a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stands in the newer one only.
    Added(Placed<Entry>),
    /// Stands in the older one only.
    Removed(Placed<Entry>),
    /// Stands in both, with another kind, mode or content.
    Changed {
        /// As it stands in the older one.
        old: Placed<Entry>,
        /// As it stands in the newer one.
        new: Placed<Entry>,
    },
}

/// The differences between two manifests in the order of their paths. Pages that both have
/// are not read.
///
/// As with [`Cursor`](super::Cursor) a missing page leaves it where it is.
#[derive(Debug, Clone)]
pub struct Diff {
    old: Walk<Entry>,
    new: Walk<Entry>,
}

/// What to do next.
enum Act {
    SkipBoth,
    EnterOld,
    EnterNew,
    Removed,
    Added,
    Changed,
}

impl Diff {
    /// From the manifest with root `old` to the one with root `new`; nothing stands for the
    /// empty one.
    pub fn new(old: Option<PageId>, new: Option<PageId>) -> Self {
        Self {
            old: Walk::new(old.map(Claim::root)),
            new: Walk::new(new.map(Claim::root)),
        }
    }

    /// The next difference; nothing when there are no more.
    pub fn next<S: PageSource>(
        &mut self,
        source: &S,
    ) -> Result<Option<Change>, ReadError<S::Error>> {
        while let Some(act) = self.decide() {
            match act {
                Act::SkipBoth => {
                    self.old.skip();
                    self.new.skip();
                }
                Act::EnterOld => self.old.enter(source)?,
                Act::EnterNew => self.new.enter(source)?,
                Act::Removed => return Ok(take(&mut self.old).map(Change::Removed)),
                Act::Added => return Ok(take(&mut self.new).map(Change::Added)),
                Act::Changed => {
                    let both = take(&mut self.old).zip(take(&mut self.new));
                    return Ok(both.map(|(old, new)| Change::Changed { old, new }));
                }
            }
        }
        Ok(None)
    }

    fn decide(&self) -> Option<Act> {
        let (old, new) = match (self.old.here(), self.new.here()) {
            (None, None) => return None,
            (Some(Here::Page(_)), None) => return Some(Act::EnterOld),
            (Some(Here::Item(_)), None) => return Some(Act::Removed),
            (None, Some(Here::Page(_))) => return Some(Act::EnterNew),
            (None, Some(Here::Item(_))) => return Some(Act::Added),
            (Some(old), Some(new)) => (old, new),
        };
        Some(match (&old, &new) {
            (Here::Page(a), Here::Page(b)) if a.page == b.page => Act::SkipBoth,
            (Here::Item(a), Here::Item(b)) if a == b => Act::SkipBoth,
            _ => match first_path(&old).cmp(&first_path(&new)) {
                Ordering::Less => enter_or(&old, Act::EnterOld, Act::Removed),
                Ordering::Greater => enter_or(&new, Act::EnterNew, Act::Added),
                Ordering::Equal if height(&old) >= height(&new) => {
                    enter_or(&old, Act::EnterOld, Act::Changed)
                }
                Ordering::Equal => Act::EnterNew,
            },
        })
    }
}

/// Nothing for a root, which is entered before anything else.
fn first_path<'a>(here: &'a Here<'a, Entry>) -> Option<&'a ManifestPath> {
    match here {
        Here::Page(page) => page.first,
        Here::Item(item) => item.path(),
    }
}

/// How far the items are beneath; a root counts as highest.
fn height(here: &Here<'_, Entry>) -> u8 {
    match here {
        Here::Item(_) => 0,
        Here::Page(page) => page.level.map_or(u8::MAX, |level| level + 1),
    }
}

fn enter_or(here: &Here<'_, Entry>, enter: Act, take: Act) -> Act {
    match here {
        Here::Page(_) => enter,
        Here::Item(_) => take,
    }
}

/// The item at which a walk stands.
fn take(walk: &mut Walk<Entry>) -> Option<Placed<Entry>> {
    let Some(Here::Item(item)) = walk.here() else {
        return None;
    };
    let placed = Placed {
        index: walk.index(),
        position: walk.position(),
        item: item.clone(),
    };
    walk.skip();
    Some(placed)
}
