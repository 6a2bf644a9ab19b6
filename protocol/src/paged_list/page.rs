//! One page: its bytes, and everything that must hold of them.
//!
//! Owns: the encoding, and the checks by which a page that a stranger made is believed no
//! further than its hash. Refuses: which page comes next.
//!
//! A page is read against the [`Claim`] that leads to it. The claim of a page below the
//! root also says with which path it begins and before which path it ends, so order and
//! conflicts are checked across the borders of pages too, wherever reading starts.
//! Where a page *ends* is not checked: it is no claim, and a list with odd borders costs
//! its maker its deduplication, nobody else anything.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use crate::codec;
use crate::id::PageId;
use crate::path::ManifestPath;

use super::item::{Item, ItemError, ListKind};

/// The most bytes of an encoded page.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// The most items of a page.
pub const PAGE_ITEMS_MAX: usize = 1024;
/// The most levels of pages that a list may have.
pub const LEVELS_MAX: u8 = 8;

/// The number of this encoding, the first byte of a page.
const FORMAT: u8 = 1;
/// Format, kind of list, level, and two bytes for the number of items.
pub(super) const HEADER_BYTES: usize = 5;

/// The items of a page, or the pages beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page<I> {
    /// Level 0.
    Items(Vec<I>),
    /// Every other level.
    Children { level: u8, children: Vec<Child> },
}

/// What a page says of one beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) page: PageId,
    pub(super) items: u64,
    pub(super) bytes: u64,
    /// The path of the first item, in sorted lists.
    pub(super) first: Option<ManifestPath>,
}

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

    /// How many items or children it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Items(items) => items.len(),
            Self::Children { children, .. } => children.len(),
        }
    }

    /// 0 for pages of items.
    pub(super) fn level(&self) -> u8 {
        match self {
            Self::Items(_) => 0,
            Self::Children { level, .. } => *level,
        }
    }

    /// The first path of the item or child at `at`, in sorted lists.
    pub(super) fn path(&self, at: usize) -> Option<&ManifestPath> {
        match self {
            Self::Items(items) => items.get(at)?.path(),
            Self::Children { children, .. } => children.get(at)?.first.as_ref(),
        }
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

/// The first bytes of a page.
pub(super) fn header(kind: ListKind, level: u8, len: usize) -> [u8; HEADER_BYTES] {
    assert!(
        (1..=PAGE_ITEMS_MAX).contains(&len),
        "a page has 1 to 1024 items"
    );
    let [low, high] = (len as u16).to_le_bytes();
    [FORMAT, kind as u8, level, low, high]
}

impl<I: Item> Encode for Page<I> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        header(I::KIND, self.level(), self.len()).encode(encoder)?;
        match self {
            Self::Items(items) => items.iter().try_for_each(|item| item.encode(encoder)),
            Self::Children { children, .. } => {
                children.iter().try_for_each(|child| child.encode(encoder))
            }
        }
    }
}

impl<I: Item> Decode<()> for Page<I> {
    fn decode<D: Decoder<Context = ()>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let [format, kind, level, low, high] = <[u8; HEADER_BYTES]>::decode(decoder)?;
        let len = usize::from(u16::from_le_bytes([low, high]));
        if format != FORMAT {
            return Err(codec::malformed(format_args!("page format {format}")));
        }
        if kind != I::KIND as u8 {
            return Err(codec::malformed(format_args!("a list of kind {kind}")));
        }
        if !(1..=PAGE_ITEMS_MAX).contains(&len) {
            return Err(codec::malformed(format_args!("{len} items in a page")));
        }
        if level == 0 {
            let items = (0..len)
                .map(|_| I::decode(decoder))
                .collect::<Result<_, _>>()?;
            return Ok(Self::Items(items));
        }
        let children = (0..len)
            .map(|_| Child::decode(I::KIND, decoder))
            .collect::<Result<_, _>>()?;
        Ok(Self::Children { level, children })
    }
}

impl Encode for Child {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.page.encode(encoder)?;
        self.items.encode(encoder)?;
        self.bytes.encode(encoder)?;
        self.first.iter().try_for_each(|path| path.encode(encoder))
    }
}

impl Child {
    fn decode<D: Decoder<Context = ()>>(
        kind: ListKind,
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Ok(Self {
            page: PageId::decode(decoder)?,
            items: u64::decode(decoder)?,
            bytes: u64::decode(decoder)?,
            first: match kind {
                ListKind::Manifest => Some(ManifestPath::decode(decoder)?),
                ListKind::Content => None,
            },
        })
    }
}
