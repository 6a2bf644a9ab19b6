//! Which keys are advertised when there are too many.
//!
//! Owns: the rule that all nodes follow alike, so that they pick the same keys of the same
//! data. Refuses: how many are too many; that is configuration.

use super::key::AdvertKey;

/// The lowest of all keys, as many as a budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Ranks from this on are left out; nothing if all are in.
    end: Option<u64>,
}

impl Selection {
    /// All keys.
    pub const ALL: Self = Self { end: None };

    /// About `budget` of `total` keys: all if there are no more. Keys are as good as random,
    /// so the share is kept to within a few in a thousand for large budgets. The greater the
    /// total, the fewer are selected, and those were selected for every smaller total.
    pub fn new(total: u64, budget: u64) -> Self {
        if total <= budget {
            return Self::ALL;
        }
        let end = (u128::from(budget) << 64) / u128::from(total);
        let end = u64::try_from(end).expect("the budget is below the total");
        Self { end: Some(end) }
    }

    /// Whether a key is among them.
    pub fn has(&self, key: &AdvertKey) -> bool {
        self.end.is_none_or(|end| key.rank() < end)
    }
}
