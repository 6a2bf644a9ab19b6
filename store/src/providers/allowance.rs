//! How many keys a provider may bring now.
//!
//! Owns: a bucket for each provider that fills with time. Taking in a key costs some ten
//! microseconds of processor, whether there is room for it or not, so that without a bound one
//! member could keep a processor busy. Nodes send less than what is allowed here
//! (`AdvertConfig::bytes_per_s`). Refuses: the records, and the clock.

use std::collections::HashMap;

use shoal_protocol::advert::{ADVERT_KEY_BYTES, AdvertConfig, BATCH_KEYS_MAX};
use shoal_protocol::peer::PeerKey;

/// What a provider may bring at once after it was quiet.
const KEYS_AT_ONCE: u32 = 8 * BATCH_KEYS_MAX as u32;
/// A batch counts as so many keys at least: it is read and answered.
const BATCH_KEYS_MIN: u32 = 256;

/// The buckets of those who came lately.
pub(super) struct Allowances {
    keys_per_s: u32,
    by_provider: HashMap<PeerKey, Allowance>,
}

#[derive(Clone, Copy)]
struct Allowance {
    keys: u32,
    at: u32,
}

impl Allowances {
    pub(super) fn new() -> Self {
        let bytes_per_s = AdvertConfig::default().bytes_per_s;
        let keys_per_s = bytes_per_s / ADVERT_KEY_BYTES as u64;
        Self {
            keys_per_s: u32::try_from(keys_per_s).unwrap_or(u32::MAX),
            by_provider: HashMap::new(),
        }
    }

    /// Takes so many keys of what `provider` may bring at `now`; or says after how many
    /// seconds it may. No more than `remembered_max` are remembered: then those are forgotten
    /// who may bring all again, and if there are none, who is new waits.
    pub(super) fn take(
        &mut self,
        provider: PeerKey,
        keys: usize,
        now: u32,
        remembered_max: usize,
    ) -> Result<(), u32> {
        let wanted = u32::try_from(keys).unwrap_or(u32::MAX).max(BATCH_KEYS_MIN);
        let known = self.by_provider.get(&provider).copied();
        if known.is_none() && self.by_provider.len() >= remembered_max {
            let keys_per_s = self.keys_per_s;
            self.by_provider
                .retain(|_, allowance| allowance.at_time(now, keys_per_s).keys < KEYS_AT_ONCE);
            if self.by_provider.len() >= remembered_max {
                return Err(KEYS_AT_ONCE.div_ceil(self.keys_per_s));
            }
        }
        let mut allowance = match known {
            Some(known) => known.at_time(now, self.keys_per_s),
            None => Allowance {
                keys: KEYS_AT_ONCE,
                at: now,
            },
        };
        let left = allowance.keys.checked_sub(wanted);
        let lacking = wanted.saturating_sub(allowance.keys);
        allowance.keys = left.unwrap_or(allowance.keys);
        self.by_provider.insert(provider, allowance);
        match left {
            Some(_) => Ok(()),
            None => Err(lacking.div_ceil(self.keys_per_s)),
        }
    }
}

impl Allowance {
    /// What it has grown to; nothing where the clock went back.
    fn at_time(self, now: u32, keys_per_s: u32) -> Self {
        let grown = now.saturating_sub(self.at).saturating_mul(keys_per_s);
        Self {
            keys: self.keys.saturating_add(grown).min(KEYS_AT_ONCE),
            at: now,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: u32 = 1_800_000_000;

    fn peer(number: u8) -> PeerKey {
        PeerKey::from_bytes([number; 32])
    }

    #[test]
    fn as_much_as_a_node_sends_is_never_refused() {
        let config = AdvertConfig::default();
        let mut allowances = Allowances::new();
        let a_second = config.bytes_per_s as usize / ADVERT_KEY_BYTES;
        for second in 0..3600 {
            let taken = allowances.take(peer(1), a_second, NOW + second, 10);
            assert_eq!(taken, Ok(()), "second {second}");
        }
        // A whole burst besides, after it was quiet for a while.
        for _ in 0..8 {
            let taken = allowances.take(peer(1), BATCH_KEYS_MAX, NOW + 3700, 10);
            assert_eq!(taken, Ok(()));
        }
    }

    #[test]
    fn a_flood_gets_no_more_than_its_rate_and_is_told_when_to_come_back() {
        let mut allowances = Allowances::new();
        let mut taken = 0;
        for second in 0..10 {
            for _ in 0..1000 {
                match allowances.take(peer(1), BATCH_KEYS_MAX, NOW + second, 10) {
                    Ok(()) => taken += BATCH_KEYS_MAX as u32,
                    Err(retry_s) => assert_eq!(retry_s, 1),
                }
            }
            // Whoever else comes has its own.
            let other = allowances.take(peer(2), BATCH_KEYS_MAX, NOW + second, 10);
            assert_eq!(other, Ok(()));
        }
        assert_eq!(taken, KEYS_AT_ONCE + 9 * allowances.keys_per_s);
    }

    #[test]
    fn empty_batches_count_too() {
        let mut allowances = Allowances::new();
        let free = (0..100_000).filter(|_| allowances.take(peer(1), 0, NOW, 10).is_ok());
        assert_eq!(free.count() as u32, KEYS_AT_ONCE / BATCH_KEYS_MIN);
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out() {
        let mut allowances = Allowances::new();
        while allowances.take(peer(1), BATCH_KEYS_MAX, NOW, 10).is_ok() {}
        let back = NOW - 86_400;
        assert!(allowances.take(peer(1), BATCH_KEYS_MAX, back, 10).is_err());
        assert!(
            allowances
                .take(peer(1), BATCH_KEYS_MAX, back + 1, 10)
                .is_ok()
        );
    }

    #[test]
    fn those_who_are_remembered_are_bounded() {
        let mut allowances = Allowances::new();
        for number in 0..3 {
            allowances
                .take(peer(number), BATCH_KEYS_MAX, NOW, 3)
                .unwrap();
        }
        assert!(allowances.take(peer(3), 1, NOW, 3).is_err());
        assert_eq!(allowances.take(peer(3), 1, NOW + 1, 3), Ok(()));
        assert_eq!(allowances.by_provider.len(), 1);
    }
}
