//! What must hold of a page before it is believed.
//!
//! Owns: the checks by which a page that a stranger made is believed no further than its
//! hash. Refuses: repairing anything; a lie is an error.
//!
//! A page is read against the [`Claim`] that leads to it. The claim of a page below the
//! root also says with which path it begins and before which path it ends, so order and
//! conflicts are checked across the borders of pages too, wherever reading starts.
//! Where a page *ends* is not checked: it is no claim, and a list with odd borders costs
//! its maker its deduplication, nobody else anything.

use crate::codec;
use crate::id::PageId;
use crate::path::ManifestPath;

use super::item::{Item, ItemError, ListKind};
use super::page::{LEVELS_MAX, PAGE_BYTES_MAX, Page};

/// What is known of a page before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) page: PageId,
    pub(super) items: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) place: Place,
}

impl Claim {
    /// That of a root of which nothing more is known.
    pub(super) fn root(page: PageId) -> Self {
        Self {
            page,
            items: None,
            bytes: None,
            place: Place::Root,
        }
    }
}

/// Where in the tree a page stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// On top, so its level is its own to say.
    Root,
    /// Beneath another page.
    Below {
        level: u8,
        /// The path it begins with.
        first: Option<ManifestPath>,
        /// The path that comes after its last one, if any page comes after it.
        until: Option<ManifestPath>,
    },
}

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
    /// `path` lies inside an entry that is no directory with entries.
    #[error("{path:?} lies inside an entry that is a file, a link or an empty directory")]
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
    /// It holds nothing, leads to nothing but one other page, or lists a single chunk.
    #[error("it is superfluous")]
    Superfluous,
    /// It is the manifest of a lone file, but holds something else.
    #[error("it does not hold the lone file that the snapshot promises")]
    NotALoneFile,
}

impl<I: Item> Page<I> {
    /// The page with these bytes, if they are all that `claim` says.
    pub(super) fn read(bytes: &[u8], claim: &Claim) -> Result<Self, PageError> {
        if PageId::of(bytes) != claim.page {
            return Err(PageError::Hash);
        }
        let page = codec::decode_canonical::<Self, PAGE_BYTES_MAX>(bytes)
            .map_err(|e| PageError::Malformed(e.to_string()))?;
        page.check(claim)?;
        Ok(page)
    }

    fn check(&self, claim: &Claim) -> Result<(), PageError> {
        self.check_place(&claim.place)?;
        let (items, bytes) = self.sums()?;
        match claim.items {
            Some(expected) if expected != items => {
                return Err(PageError::Items {
                    expected,
                    actual: items,
                });
            }
            _ => {}
        }
        match claim.bytes {
            Some(expected) if expected != bytes => {
                return Err(PageError::Bytes {
                    expected,
                    actual: bytes,
                });
            }
            _ => {}
        }
        self.check_paths(&claim.place)
    }

    fn check_place(&self, place: &Place) -> Result<(), PageError> {
        let level = self.level();
        let possible = match place {
            Place::Root => level < LEVELS_MAX,
            Place::Below {
                level: expected, ..
            } => level == *expected,
        };
        if !possible {
            return Err(PageError::Level { level });
        }
        let len_min = match place {
            Place::Root if level > 0 || I::KIND == ListKind::Content => 2,
            _ => 1,
        };
        if self.len() < len_min {
            return Err(PageError::Superfluous);
        }
        Ok(())
    }

    /// The number of items and of bytes beneath this page, as it says itself.
    fn sums(&self) -> Result<(u64, u64), PageError> {
        match self {
            Self::Items(items) => {
                let mut bytes = 0u64;
                for item in items {
                    item.check()?;
                    bytes = bytes.checked_add(item.bytes()).ok_or(PageError::Overflow)?;
                }
                Ok((items.len() as u64, bytes))
            }
            Self::Children { children, .. } => {
                let (mut items, mut bytes) = (0u64, 0u64);
                for child in children {
                    if child.items == 0 {
                        return Err(PageError::Superfluous);
                    }
                    items = items.checked_add(child.items).ok_or(PageError::Overflow)?;
                    bytes = bytes.checked_add(child.bytes).ok_or(PageError::Overflow)?;
                }
                Ok((items, bytes))
            }
        }
    }

    /// Whether the paths are sorted, without conflicts, and within what the place allows.
    fn check_paths(&self, place: &Place) -> Result<(), PageError> {
        let (first, until) = match place {
            Place::Root => (None, None),
            Place::Below { first, until, .. } => (first.as_ref(), until.as_ref()),
        };
        if I::KIND == ListKind::Content {
            return Ok(());
        }
        if first.is_some() && self.path(0) != first {
            return Err(PageError::FirstPath);
        }
        let paths = (0..self.len()).filter_map(|at| self.path(at)).chain(until);
        let mut before: Option<&ManifestPath> = None;
        for path in paths {
            match before.map(|before| follows(before, path)) {
                None | Some(Ok(())) => before = Some(path),
                Some(Err(Misplaced::Unsorted)) => {
                    return Err(PageError::Unsorted { path: path.clone() });
                }
                Some(Err(Misplaced::Conflict)) => {
                    return Err(PageError::Conflict { path: path.clone() });
                }
            }
        }
        Ok(())
    }
}

/// Why a path cannot stand behind another one.
pub(super) enum Misplaced {
    Unsorted,
    Conflict,
}

/// Whether the entry at `path` may stand behind the one at `before`. No entry is a
/// directory that holds others, so none may lie inside another; in this order such a pair
/// would have nothing between it that is not in conflict too, so neighbours suffice.
pub(super) fn follows(before: &ManifestPath, path: &ManifestPath) -> Result<(), Misplaced> {
    if path <= before {
        return Err(Misplaced::Unsorted);
    }
    if path.is_within(before) {
        return Err(Misplaced::Conflict);
    }
    Ok(())
}
