//! Builds a list, page by page, from its items in order.
//!
//! Owns: where a page ends. Refuses: keeping finished pages; they are handed on at once, so
//! that a list of any length is built with one open page for each level.
//!
//! A page ends behind an item whose key, hashed together with the level, falls below a
//! threshold; but not before it has [`ITEMS_MIN`] items, and always before it would have
//! more than [`PAGE_ITEMS_MAX`] or [`PAGE_BYTES_MAX`]. The key is the path in manifests
//! (the first path of a page on the levels above) and the id of the chunk or page in
//! content lists: a file that gets other bytes leaves every border of the manifest where
//! it was, and an insertion moves borders only up to the next one that both lists have.

use std::marker::PhantomData;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use crate::codec;
use crate::id::PageId;
use crate::path::ManifestPath;

use super::check::{Misplaced, follows};
use super::item::{Item, ItemError, ListKind};
use super::page::{Child, HEADER_BYTES, LEVELS_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_MAX, header};

/// The fewest items behind which a page ends because of a key.
const ITEMS_MIN: usize = 64;

/// One key in so many ends a page; with the items that no key can end, a page has about
/// 256 items in the mean.
const KEYS_PER_END: u64 = 192;

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
    /// An item lies inside another one, which holds no entries.
    #[error("{path:?} lies inside {inside:?}, which is no directory with entries")]
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
///
/// The content of a file is built with [`ContentBuilder`](crate::manifest::ContentBuilder),
/// which knows that a lone chunk needs no list.
#[derive(Debug)]
pub struct Builder<I> {
    boundary: Boundary,
    levels: Vec<Level>,
    /// The sum of all items.
    bytes: u64,
    /// The path of the last item.
    last: Option<ManifestPath>,
    /// Where items are encoded before it is known on which page they go.
    scratch: Vec<u8>,
    items: PhantomData<I>,
}

impl<I: Item> Builder<I> {
    /// An empty list.
    pub fn new() -> Self {
        Self {
            boundary: Boundary::new(),
            levels: Vec::new(),
            bytes: 0,
            last: None,
            scratch: Vec::new(),
            items: PhantomData,
        }
    }

    /// Adds an item behind the others, and hands on the pages that this completes.
    /// After an error the item is left out and the list can go on.
    pub fn push(
        &mut self,
        item: &I,
        emit: &mut dyn FnMut(PageId, Vec<u8>),
    ) -> Result<(), BuildError> {
        item.check()?;
        self.check_order(item.path())?;
        self.bytes = self
            .bytes
            .checked_add(item.bytes())
            .ok_or(BuildError::Overflow)?;
        self.last = item.path().cloned();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        codec::encode_into(item, &mut scratch);
        self.add(
            0,
            Addition {
                encoded: &scratch,
                key: item.boundary_key(),
                first: item.path(),
                items: 1,
                bytes: item.bytes(),
            },
            emit,
        );
        self.scratch = scratch;
        Ok(())
    }

    /// Hands on the open pages, and gives the root; nothing for a list without items.
    pub fn finish(mut self, emit: &mut dyn FnMut(PageId, Vec<u8>)) -> Option<Root> {
        let mut level = 0;
        while level < self.levels.len() {
            let this = &self.levels[level];
            match (this.closed, this.lone) {
                (0, _) => return Some(self.close(level, emit).1),
                (1, Some(root)) if this.open.is_empty() => return Some(root),
                _ if this.open.is_empty() => {}
                _ => self.close_into_parent(level, emit),
            }
            level += 1;
        }
        None
    }

    fn check_order(&self, path: Option<&ManifestPath>) -> Result<(), BuildError> {
        let (Some(last), Some(path)) = (&self.last, path) else {
            return Ok(());
        };
        follows(last, path).map_err(|misplaced| {
            let (path, last) = (path.clone(), last.clone());
            match misplaced {
                Misplaced::Unsorted => BuildError::Unsorted { path, after: last },
                Misplaced::Conflict => BuildError::Conflict { path, inside: last },
            }
        })
    }

    fn add(&mut self, level: usize, new: Addition<'_>, emit: &mut dyn FnMut(PageId, Vec<u8>)) {
        if level == self.levels.len() {
            assert!(
                level < usize::from(LEVELS_MAX),
                "eight levels hold more items than anyone can push"
            );
            self.levels.push(Level::default());
        }
        if !self.levels[level].open.takes(new.encoded.len()) {
            self.close_into_parent(level, emit);
        }
        let open = &mut self.levels[level].open;
        let (len, key) = (open.len + 1, new.key);
        open.add(new);
        if len >= PAGE_ITEMS_MAX || len >= ITEMS_MIN && self.boundary.is_at(level as u8, key) {
            self.close_into_parent(level, emit);
        }
    }

    fn close_into_parent(&mut self, level: usize, emit: &mut dyn FnMut(PageId, Vec<u8>)) {
        let (first, root) = self.close(level, emit);
        let child = Child {
            page: root.page,
            items: root.items,
            bytes: root.bytes,
            first,
        };
        let addition = Addition {
            encoded: &codec::encode(&child),
            key: match &child.first {
                Some(path) => path.as_str().as_bytes(),
                None => child.page.as_bytes(),
            },
            first: child.first.as_ref(),
            items: child.items,
            bytes: child.bytes,
        };
        self.add(level + 1, addition, emit);
    }

    /// Hands on the open page of a level; gives its first path and what it is as a root.
    fn close(
        &mut self,
        level: usize,
        emit: &mut dyn FnMut(PageId, Vec<u8>),
    ) -> (Option<ManifestPath>, Root) {
        let this = &mut self.levels[level];
        let (items, bytes) = (this.open.items, this.open.bytes);
        let (first, encoded) = this.open.close(I::KIND, level as u8);
        let root = Root {
            page: PageId::of(&encoded),
            items,
            bytes,
            level: level as u8,
        };
        this.closed += 1;
        this.lone = (this.closed == 1).then_some(root);
        emit(root.page, encoded);
        (first, root)
    }
}

impl<I: Item> Default for Builder<I> {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that is put on a page: an item, or what stands for a page.
struct Addition<'a> {
    encoded: &'a [u8],
    key: &'a [u8],
    first: Option<&'a ManifestPath>,
    items: u64,
    bytes: u64,
}

/// One level of the tree while it is built.
#[derive(Debug, Default)]
struct Level {
    open: Open,
    /// How many pages were closed.
    closed: u64,
    /// The closed page, as long as there is only one: perhaps it is the root.
    lone: Option<Root>,
}

/// A page that is still growing.
#[derive(Debug, Default)]
struct Open {
    /// Room for the header, then what was added.
    buffer: Vec<u8>,
    len: usize,
    first: Option<ManifestPath>,
    items: u64,
    bytes: u64,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether so many more bytes fit. An empty page takes anything: the longest item is
    /// far shorter than a page.
    fn takes(&self, bytes: usize) -> bool {
        self.is_empty() || self.buffer.len() + bytes <= PAGE_BYTES_MAX
    }

    fn add(&mut self, new: Addition<'_>) {
        if self.is_empty() {
            self.buffer.resize(HEADER_BYTES, 0);
            self.first = new.first.cloned();
        }
        self.buffer.extend_from_slice(new.encoded);
        self.len += 1;
        self.items += new.items;
        self.bytes += new.bytes;
    }

    /// The first path and the bytes of the page, which is then empty again.
    fn close(&mut self, kind: ListKind, level: u8) -> (Option<ManifestPath>, Vec<u8>) {
        self.buffer[..HEADER_BYTES].copy_from_slice(&header(kind, level, self.len));
        let encoded = self.buffer.clone();
        self.buffer.clear();
        (self.len, self.items, self.bytes) = (0, 0, 0);
        (self.first.take(), encoded)
    }
}

/// Says which keys end a page.
#[derive(Debug)]
struct Boundary(ContextKey);

impl Boundary {
    fn new() -> Self {
        Self(hash_derive_key_context("shoal 1 boundary"))
    }

    fn is_at(&self, level: u8, key: &[u8]) -> bool {
        let hash = blake3::Hasher::new_from_context_key(&self.0)
            .update(&[level])
            .update(key)
            .finalize();
        let (number, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        u64::from_le_bytes(*number) < u64::MAX / KEYS_PER_END
    }
}
