//! How much is done for those who come from one place.
//!
//! Owns: how many requests wait and are answered, by origin. Refuses: to know whose they are.

use std::collections::BTreeMap;

/// How many requests there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) waiting: usize,
    pub(super) active: usize,
}

/// The same by origin.
#[derive(Debug, Default)]
pub(super) struct Origins {
    counts: BTreeMap<u64, Count>,
}

impl Origins {
    pub(super) fn at(&self, origin: u64) -> Count {
        self.counts.get(&origin).copied().unwrap_or_default()
    }

    /// So many came.
    pub(super) fn add(&mut self, origin: u64, count: Count) {
        let sum = self.counts.entry(origin).or_default();
        sum.waiting += count.waiting;
        sum.active += count.active;
    }

    /// So many are gone.
    pub(super) fn take(&mut self, origin: u64, count: Count) {
        let Some(sum) = self.counts.get_mut(&origin) else {
            return;
        };
        sum.waiting -= count.waiting;
        sum.active -= count.active;
        if *sum == Count::default() {
            self.counts.remove(&origin);
        }
    }

    /// One that waited is being answered.
    pub(super) fn start(&mut self, origin: u64) {
        if let Some(sum) = self.counts.get_mut(&origin) {
            sum.waiting -= 1;
            sum.active += 1;
        }
    }
}
