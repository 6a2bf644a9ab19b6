//! The time that a team's book goes by.
//!
//! Owns: unix seconds, by the machine's clock; in tests a hand may set it forward. Refuses: to
//! wait.

#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};

use crate::node::unix_now_s;

/// See the top of this file.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    ahead_s: AtomicU64,
}

impl Clock {
    /// Seconds since 1970.
    pub(super) fn now_unix_s(&self) -> u64 {
        #[cfg(test)]
        return unix_now_s() + self.ahead_s.load(Ordering::Relaxed);
        #[cfg(not(test))]
        unix_now_s()
    }

    /// Sets it forward.
    #[cfg(test)]
    pub(crate) fn pass(&self, seconds: u64) {
        self.ahead_s.fetch_add(seconds, Ordering::Relaxed);
    }
}
