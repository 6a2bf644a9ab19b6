//! What is in use although no snapshot says so yet.
//!
//! Owns: the leases that adds take on chunks and pages before they rely on them, and the gate
//! that keeps a collection from deleting between somebody's look and their lease. Refuses:
//! anything that survives the process; after a stop nothing is in flight.
//!
//! An add that finds a chunk here does not write it again, and for a while only the add
//! itself knows that it must stay. So it *covers* the chunk first and looks second, both
//! behind the open gate; a collection deletes only what is not covered, behind the closed one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
    Weak,
};

const SHARDS: usize = 16;
/// A lease that covers more ids than this covers everything: some 64 MiB of memory.
const IDS_MAX: u64 = 4 << 20;

/// All leases of a store.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    gate: RwLock<()>,
    sets: Mutex<Vec<Weak<Covered>>>,
    collecting: Mutex<()>,
}

/// The gate, kept open: nothing is deleted meanwhile.
pub(crate) struct Open<'a> {
    _gate: RwLockReadGuard<'a, ()>,
}

/// The gate, closed: nothing is looked up or committed meanwhile, but by whoever has this.
pub(crate) struct Closed<'a> {
    _gate: RwLockWriteGuard<'a, ()>,
    sets: Vec<Arc<Covered>>,
}

/// A lease, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Covered>);

/// The ids that one lease covers, by 8 bytes of each: two ids that agree in these only keep
/// one another a little longer.
#[derive(Debug, Default)]
struct Covered {
    shards: [Mutex<HashSet<u64>>; SHARDS],
    count: AtomicU64,
    everything: AtomicBool,
}

impl crate::Store {
    /// The leases on what is in this store.
    pub(crate) fn leases(&self) -> &Leases {
        &self.inner().leases
    }
}

impl Leases {
    /// A lease that covers nothing yet.
    pub(crate) fn take(&self) -> Lease {
        let covered = Arc::new(Covered::default());
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.retain(|set| set.strong_count() > 0);
        sets.push(Arc::downgrade(&covered));
        Lease(covered)
    }

    /// Keeps the gate open. Not to be asked for twice by one thread at a time.
    pub(crate) fn open(&self) -> Open<'_> {
        Open {
            _gate: self.gate.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Closes the gate, once everybody has left it.
    pub(crate) fn close(&self) -> Closed<'_> {
        let gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        Closed {
            _gate: gate,
            sets: sets.iter().filter_map(Weak::upgrade).collect(),
        }
    }

    /// The right to collect, which one has at a time; nothing if somebody has it.
    pub(crate) fn collecting(&self) -> Option<MutexGuard<'_, ()>> {
        match self.collecting.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Whether any lease is taken.
    pub(crate) fn any(&self) -> bool {
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.iter().any(|set| set.strong_count() > 0)
    }
}

impl Lease {
    /// Covers the chunk or page with this hash.
    pub(crate) fn cover(&self, hash: &[u8; 32]) {
        let (shard, key) = place(hash);
        let mut ids = self.0.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.0.everything.load(Ordering::Relaxed) || !ids.insert(key) {
            return;
        }
        if self.0.count.fetch_add(1, Ordering::Relaxed) >= IDS_MAX {
            self.0.everything.store(true, Ordering::Relaxed);
        }
    }
}

impl Closed<'_> {
    /// Whether a lease covers the chunk or page with this hash.
    pub(crate) fn covers(&self, hash: &[u8; 32]) -> bool {
        let (shard, key) = place(hash);
        self.sets.iter().any(|set| {
            let ids = set.shards[shard]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            set.everything.load(Ordering::Relaxed) || ids.contains(&key)
        })
    }
}

fn place(hash: &[u8; 32]) -> (usize, u64) {
    let (front, rest) = hash.split_first_chunk().expect("32 bytes");
    (usize::from(rest[0]) % SHARDS, u64::from_le_bytes(*front))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lease_covers_is_covered_until_it_is_dropped() {
        let leases = Leases::default();
        let lease = leases.take();
        lease.cover(&[7; 32]);
        assert!(leases.close().covers(&[7; 32]));
        assert!(!leases.close().covers(&[8; 32]));
        drop(lease);
        assert!(!leases.any());
        assert!(!leases.close().covers(&[7; 32]));
    }
}
