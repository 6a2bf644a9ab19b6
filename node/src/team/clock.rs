//! The time that a team's book goes by.
//!
//! Owns: unix seconds, of the machine or, in tests, as a hand sets them. Refuses: to wait.

#[cfg(test)]
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};

use crate::node::unix_now_s;

/// See the top of this file. Clones go alike.
#[derive(Debug, Clone, Default)]
pub(crate) enum Clock {
    /// The machine's.
    #[default]
    Machine,
    /// One that stands still until it is set.
    #[cfg(test)]
    Hand(Arc<AtomicU64>),
}

impl Clock {
    /// Seconds since 1970.
    pub(super) fn now_unix_s(&self) -> u64 {
        match self {
            Self::Machine => unix_now_s(),
            #[cfg(test)]
            Self::Hand(at) => at.load(Ordering::Relaxed),
        }
    }

    /// A clock that stands at the time that it is.
    #[cfg(test)]
    pub(crate) fn standing() -> Self {
        Self::Hand(Arc::new(AtomicU64::new(unix_now_s())))
    }

    /// Sets one that stands forward by so many seconds.
    #[cfg(test)]
    pub(crate) fn pass(&self, seconds: u64) {
        match self {
            Self::Machine => panic!("the machine's clock goes by itself"),
            Self::Hand(at) => at.fetch_add(seconds, Ordering::Relaxed),
        };
    }
}
