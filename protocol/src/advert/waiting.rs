//! Keys that wait to be sent outside of the sweep.
//!
//! Owns: their order by position, and their bound. Refuses: to decide when they go.

use std::collections::BTreeMap;

use super::key::AdvertKey;
use super::position::{Position, Region};

/// Keys by their positions. What does not fit is left out; the sweep brings it.
#[derive(Debug)]
pub(super) struct Waiting {
    keys: BTreeMap<Position, AdvertKey>,
    keys_max: usize,
}

impl Waiting {
    pub(super) fn new(keys_max: usize) -> Self {
        Self {
            keys: BTreeMap::new(),
            keys_max,
        }
    }

    /// Adds keys; says whether all of them fit.
    pub(super) fn add(&mut self, keys: Vec<AdvertKey>) -> bool {
        for key in keys {
            let at = Position::of_key(&key);
            if self.keys.len() >= self.keys_max && !self.keys.contains_key(&at) {
                return false;
            }
            self.keys.insert(at, key);
        }
        true
    }

    pub(super) fn contains(&self, key: &AdvertKey) -> bool {
        self.keys.contains_key(&Position::of_key(key))
    }

    pub(super) fn first(&self) -> Option<Position> {
        self.keys.keys().next().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= self.keys_max
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Takes out the keys of a region.
    pub(super) fn take(&mut self, region: &Region) -> Vec<(Position, AdvertKey)> {
        let range = region.first()..=region.last();
        let taken: Vec<_> = self.keys.range(range).map(|(p, k)| (*p, *k)).collect();
        for (position, _) in &taken {
            self.keys.remove(position);
        }
        taken
    }
}
