//! One page and its bytes.
//!
//! Owns: the encoding (docs/formats.md). Refuses: believing any of it; see `check`.

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use crate::codec;
use crate::id::PageId;
use crate::path::ManifestPath;

use super::item::{Item, ListKind};

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

impl<I: Item> Page<I> {
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
