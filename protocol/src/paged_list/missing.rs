//! Which pages to ask for next.

use std::ops::Range;

use crate::id::PageId;

use super::item::Item;
use super::source::{PageSource, ReadError};

/// The first `limit` pages that are not held and that reading the `positions` of the list
/// needs, in the order of the list. What lies beneath a missing page is unknown until it
/// comes, so ask again then.
pub fn missing<I: Item, S: PageSource>(
    source: &S,
    root: &PageId,
    positions: Range<u64>,
    limit: usize,
) -> Result<Vec<PageId>, ReadError<S::Error>> {
    let _ = (
        source,
        root,
        positions,
        limit,
        std::marker::PhantomData::<I>,
    );
    todo!()
}
