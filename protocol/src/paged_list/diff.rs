//! What differs between two manifests.

use std::ops::ControlFlow;

use crate::id::PageId;
use crate::manifest::Entry;

use super::item::Placed;
use super::source::{PageSource, ReadError};

/// One difference, from the older manifest `a` to the newer one `b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stands in `b` only.
    Added(Placed<Entry>),
    /// Stands in `a` only.
    Removed(Placed<Entry>),
    /// Stands in both, with another kind, mode or content.
    Changed {
        /// As it stands in `a`.
        old: Placed<Entry>,
        /// As it stands in `b`.
        new: Placed<Entry>,
    },
}

/// Tells `each` every difference between two manifests, in the order of their paths, until
/// it breaks. Pages that both have are not read.
pub fn diff<S: PageSource>(
    source: &S,
    a: Option<PageId>,
    b: Option<PageId>,
    each: &mut dyn FnMut(Change) -> ControlFlow<()>,
) -> Result<(), ReadError<S::Error>> {
    let _ = (source, a, b, each);
    todo!()
}
