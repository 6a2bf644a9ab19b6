//! A place in the tree of pages, from which one goes deeper or on.
//!
//! Owns: the pages on the way from the root to the place, and the sums before it. Refuses:
//! deciding; [`Cursor`](super::Cursor), [`missing`](super::missing()) and
//! [`Diff`](super::Diff) look at what is here, and enter or skip it.

use std::sync::Arc;

use crate::id::PageId;
use crate::path::ManifestPath;

use super::check::{Claim, Place};
use super::item::Item;
use super::page::Page;
use super::source::{PageSource, ReadError};

/// See the module's description.
#[derive(Debug, Clone)]
pub(super) struct Walk<I> {
    /// The root, until it is entered or skipped.
    root: Option<Claim>,
    /// The pages entered, each with a place that is not behind its end.
    frames: Vec<Frame<I>>,
    index: u64,
    position: u64,
}

#[derive(Debug, Clone)]
struct Frame<I> {
    page: Arc<Page<I>>,
    at: usize,
    /// The path that comes after the last one of the page.
    until: Option<ManifestPath>,
}

/// What a walk stands before.
#[derive(Debug)]
pub(super) enum Here<'a, I> {
    Page(PageHere<'a>),
    Item(&'a I),
}

/// A page that has not been entered.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageHere<'a> {
    pub(super) page: &'a PageId,
    /// Nothing for a root.
    pub(super) level: Option<u8>,
    /// Nothing for a root of which nobody said it.
    pub(super) items: Option<u64>,
    /// Nothing for a root of which nobody said it.
    pub(super) bytes: Option<u64>,
    pub(super) first: Option<&'a ManifestPath>,
    pub(super) until: Option<&'a ManifestPath>,
}

impl<I: Item> Walk<I> {
    /// Before the root.
    pub(super) fn new(root: Option<Claim>) -> Self {
        Self {
            root,
            frames: Vec::new(),
            index: 0,
            position: 0,
        }
    }

    /// How many items stand before this place.
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// How many bytes stand before this place.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// What stands here; nothing at the end.
    pub(super) fn here(&self) -> Option<Here<'_, I>> {
        if let Some(root) = &self.root {
            return Some(Here::Page(PageHere {
                page: &root.page,
                level: None,
                items: root.items,
                bytes: root.bytes,
                first: None,
                until: None,
            }));
        }
        let frame = self.frames.last()?;
        Some(match &*frame.page {
            Page::Items(items) => Here::Item(&items[frame.at]),
            Page::Children { level, children } => {
                let child = &children[frame.at];
                Here::Page(PageHere {
                    page: &child.page,
                    level: Some(level - 1),
                    items: Some(child.items),
                    bytes: Some(child.bytes),
                    first: child.first.as_ref(),
                    until: frame.until_of_child(),
                })
            }
        })
    }

    /// Goes on behind what stands here.
    pub(super) fn skip(&mut self) {
        let (items, bytes) = match self.here() {
            None => return,
            Some(Here::Item(item)) => (1, item.bytes()),
            // Sums are unknown only of a root, and behind that one comes nothing.
            Some(Here::Page(page)) => (page.items.unwrap_or(0), page.bytes.unwrap_or(0)),
        };
        self.index += items;
        self.position += bytes;
        if self.root.take().is_some() {
            return;
        }
        while let Some(frame) = self.frames.last_mut() {
            frame.at += 1;
            if frame.at < frame.page.len() {
                return;
            }
            self.frames.pop();
        }
    }

    /// Goes into the page that stands here. Without the page, or at an item, the walk
    /// stays where it is.
    pub(super) fn enter<S: PageSource>(&mut self, source: &S) -> Result<(), ReadError<S::Error>> {
        let Some(claim) = self.claim() else {
            return Ok(());
        };
        let id = claim.page;
        let bytes = source
            .page(&id)
            .map_err(ReadError::Source)?
            .ok_or(ReadError::Missing(id))?;
        let page =
            Page::read(&bytes, &claim).map_err(|why| ReadError::Corrupt { page: id, why })?;
        self.root = None;
        self.frames.push(Frame {
            page: Arc::new(page),
            at: 0,
            until: match claim.place {
                Place::Root => None,
                Place::Below { until, .. } => until,
            },
        });
        Ok(())
    }

    /// What is known of the page that stands here.
    fn claim(&self) -> Option<Claim> {
        if self.root.is_some() {
            return self.root.clone();
        }
        let Some(Here::Page(here)) = self.here() else {
            return None;
        };
        Some(Claim {
            page: *here.page,
            items: here.items,
            bytes: here.bytes,
            place: Place::Below {
                level: here.level.expect("only a root has no known level"),
                first: here.first.cloned(),
                until: here.until.cloned(),
            },
        })
    }
}

impl<I: Item> Frame<I> {
    /// The path that comes after the last one of the child here.
    fn until_of_child(&self) -> Option<&ManifestPath> {
        self.page.path(self.at + 1).or(self.until.as_ref())
    }
}
