//! The guests who are being let in by an invitation at this moment.
//!
//! Owns: how many there may be, in all and of one origin. Each has the team written down and
//! holds all of it while it is told; one more is told to come back. Refuses: who is welcome.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::strangers::Origin;

/// Guests at a time.
const GUESTS_MAX: usize = 8;
/// The same, of one origin.
const GUESTS_PER_ORIGIN_MAX: usize = GUESTS_MAX / 2;
/// When one that found no place is to come back.
pub(crate) const RETRY_MS: u32 = 1_000;

/// The table. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Redeeming(Arc<Mutex<HashMap<Origin, usize>>>);

/// A guest's place, given up when it is dropped.
pub(crate) struct Redemption {
    origin: Origin,
    redeeming: Redeeming,
}

impl Redeeming {
    /// A place for one more guest, if there is one.
    pub(crate) fn enter(&self, origin: Origin) -> Option<Redemption> {
        let mut table = self.table();
        let theirs = table.get(&origin).copied().unwrap_or_default();
        if table.values().sum::<usize>() >= GUESTS_MAX || theirs >= GUESTS_PER_ORIGIN_MAX {
            return None;
        }
        table.insert(origin, theirs + 1);
        Some(Redemption {
            origin,
            redeeming: self.clone(),
        })
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Origin, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Redemption {
    fn drop(&mut self) {
        let mut table = self.redeeming.table();
        if let Some(count) = table.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn one_origin_leaves_places_for_others_and_places_come_back() {
        let redeeming = Redeeming::default();
        let of = |last| Origin::Address(Ipv4Addr::new(10, 0, 0, last).into());
        let enter = |last| -> Vec<_> {
            std::iter::from_fn(|| redeeming.enter(of(last)))
                .take(100)
                .collect()
        };
        let (first, second, third) = (enter(1), enter(2), enter(3));
        let counts = [first.len(), second.len(), third.len()];
        assert_eq!(counts, [4, 4, 0]);
        drop(first);
        assert_eq!(enter(3).len(), 4);
        drop((second, third));
        assert!(redeeming.table().is_empty());
    }
}
