//! Pages of manifests and content lists that were read lately.
//!
//! Owns: a bounded number of bytes. Refuses: to check them; only verified pages go in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shoal_protocol::id::PageId;

use crate::index::ByHash;

/// Keeps pages up to a number of bytes; the half that was used longest ago goes when there
/// are more.
pub(crate) struct PageCache {
    bytes_max: usize,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    by_id: HashMap<PageId, (Arc<[u8]>, u64), ByHash>,
    bytes: usize,
    uses: u64,
}

impl PageCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            pages: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, id: &PageId) -> Option<Arc<[u8]>> {
        let mut pages = self.lock();
        pages.uses += 1;
        let now = pages.uses;
        let (page, used) = pages.by_id.get_mut(id)?;
        *used = now;
        Some(page.clone())
    }

    pub(crate) fn put(&self, id: PageId, page: Arc<[u8]>) {
        let mut pages = self.lock();
        pages.uses += 1;
        let now = pages.uses;
        pages.bytes += page.len();
        if let Some((old, _)) = pages.by_id.insert(id, (page, now)) {
            pages.bytes -= old.len();
        }
        if pages.bytes > self.bytes_max {
            pages.drop_old_half();
        }
    }

    pub(crate) fn remove(&self, id: &PageId) {
        let mut pages = self.lock();
        if let Some((old, _)) = pages.by_id.remove(id) {
            pages.bytes -= old.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn drop_old_half(&mut self) {
        let mut uses: Vec<u64> = self.by_id.values().map(|(_, used)| *used).collect();
        let middle = uses.len() / 2;
        let (_, &mut middle, _) = uses.select_nth_unstable(middle);
        self.by_id.retain(|_, (_, used)| *used > middle);
        self.bytes = self.by_id.values().map(|(page, _)| page.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_used_last_stay_within_the_bound() {
        let cache = PageCache::new(10_000);
        let id = |n: u32| PageId::of(&n.to_le_bytes());
        for n in 0..100 {
            cache.put(id(n), vec![0; 1_000].into());
            assert!(cache.get(&id(0)).is_some());
        }
        assert!(cache.get(&id(99)).is_some());
        assert!(cache.get(&id(1)).is_none());
        assert!(cache.lock().bytes <= 10_000);
        cache.remove(&id(0));
        assert!(cache.get(&id(0)).is_none());
    }
}
