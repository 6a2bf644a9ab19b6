//! Where pages are read from.
//!
//! Owns: the door to a page store, and the error that tells a page that is not there from
//! one that lies. Refuses: trusting a source; every page is checked when it is read.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::check::PageError;
use crate::id::PageId;

/// Something that may hold pages.
pub trait PageSource {
    /// What goes wrong beneath it.
    type Error;

    /// The bytes of the page with this id; nothing if it is not held.
    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, Self::Error>;

    /// Whether the page is held; a source that can tell without reading it should.
    fn holds(&self, id: &PageId) -> Result<bool, Self::Error> {
        Ok(self.page(id)?.is_some())
    }
}

impl<S: PageSource + ?Sized> PageSource for &S {
    type Error = S::Error;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, Self::Error> {
        (**self).page(id)
    }

    fn holds(&self, id: &PageId) -> Result<bool, S::Error> {
        (**self).holds(id)
    }
}

impl<S: PageSource + ?Sized> PageSource for Arc<S> {
    type Error = S::Error;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, Self::Error> {
        (**self).page(id)
    }

    fn holds(&self, id: &PageId) -> Result<bool, S::Error> {
        (**self).holds(id)
    }
}

/// Why a list cannot be read any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError<E> {
    /// The page is not held. Once it is, the same call goes on where it stopped.
    #[error("{0} is not held")]
    Missing(PageId),
    /// The page is not what its id or its parent says. Whoever made the list lied.
    #[error("{page} is refused: {why}")]
    Corrupt {
        /// The page that was read.
        page: PageId,
        /// What is wrong with it.
        why: PageError,
    },
    /// The source failed.
    #[error(transparent)]
    Source(E),
}

/// Pages in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryPages(HashMap<PageId, Arc<[u8]>>);

impl MemoryPages {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds `bytes` under `id`, which readers will check.
    pub fn put(&mut self, id: PageId, bytes: Vec<u8>) {
        self.0.insert(id, bytes.into());
    }

    /// Forgets a page; says whether it was there.
    pub fn remove(&mut self, id: &PageId) -> bool {
        self.0.remove(id).is_some()
    }

    /// How many pages are held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no page is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every page held, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&PageId, &Arc<[u8]>)> {
        self.0.iter()
    }
}

impl PageSource for MemoryPages {
    type Error = Infallible;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, Infallible> {
        Ok(self.0.get(id).cloned())
    }

    fn holds(&self, id: &PageId) -> Result<bool, Infallible> {
        Ok(self.0.contains_key(id))
    }
}
