//! The keys of one sweep, in the order of their positions.
//!
//! Owns: the list and its budget. Refuses: to follow what comes and goes after it was made;
//! the next sweep has a list of its own.

use shoal_protocol::advert::{AdvertKey, Position, Selection, Subject};

use super::gather::{self, Offer};
use super::partitions::{PARTS, Partitions, Row};
use crate::progress::Progress;
use crate::{Store, StoreError};

/// How many rows go by between two questions whether to stop.
const ROWS_BETWEEN_ASKING: u64 = 65_536;

/// The list. In memory is one part of it, a 256th: 48 bytes a key.
pub struct AdvertList {
    partitions: Partitions,
    selection: Selection,
    budget: u64,
    total: u64,
    keys: u64,
    /// The part that was read last, in order of position.
    loaded: Option<(usize, Vec<(Position, AdvertKey)>)>,
}

impl AdvertList {
    /// Goes once through all that is here and lists what may be offered: every snapshot and
    /// great file, and of the rest about `budget` keys, the lowest if there are more. Nothing
    /// if the listener asked to stop.
    ///
    /// Takes 4 MiB of memory while it goes through, and 17 bytes a key in a file beneath
    /// `tmp`.
    pub fn new(
        store: &Store,
        offer: &Offer<'_>,
        budget: u64,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, StoreError> {
        let mut partitions = Partitions::new(store)?;
        let mut total = 0;
        let mut seen = 0;
        let gone_through = gather::everything(store, offer, &mut |subject, always| {
            seen += 1;
            if seen % ROWS_BETWEEN_ASKING == 0 && progress.cancelled() {
                return Ok(false);
            }
            let key = offer.secret.key(subject);
            total += u64::from(!always);
            // The selection only shrinks, so what it leaves out now is left out in the end.
            if always || Selection::new(total, budget).has(&key) {
                partitions.push(Row { always, key })?;
            }
            Ok(true)
        })?;
        partitions.finish()?;
        let this = Self {
            partitions,
            selection: Selection::new(total, budget),
            budget,
            total,
            keys: total.min(budget),
            loaded: None,
        };
        Ok(gone_through.then_some(this))
    }

    /// From now on about `keys_max` keys are loaded, the lowest, if there are more; but not
    /// more than the budget.
    pub fn limit(&mut self, keys_max: u64) {
        self.keys = self.total.min(self.budget).min(keys_max);
        self.selection = Selection::new(self.total, self.keys);
        self.loaded = None;
    }

    /// How many keys are loaded, besides those that are always advertised: about so many.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// The first `keys_max` keys from one position to another (both included) in their order,
    /// and whether there are no more.
    pub fn load(
        &mut self,
        from: Position,
        to: Position,
        keys_max: usize,
    ) -> Result<(Vec<AdvertKey>, bool), StoreError> {
        let mut found = Vec::new();
        for part in usize::from(from.as_bytes()[0])..=usize::from(to.as_bytes()[0]) {
            let rows = self.part(part)?;
            let start = rows.partition_point(|(at, _)| *at < from);
            for (at, key) in &rows[start..] {
                if *at > to {
                    break;
                }
                if found.len() >= keys_max {
                    return Ok((found, false));
                }
                found.push(*key);
            }
        }
        Ok((found, true))
    }

    /// How many keys there were, besides those that are always advertised; the budget allows
    /// for as many or fewer. A file that several snapshots have may count more than once.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn part(&mut self, part: usize) -> Result<&[(Position, AdvertKey)], StoreError> {
        assert!(part < PARTS, "a part is a byte");
        if self
            .loaded
            .as_ref()
            .is_none_or(|(loaded, _)| *loaded != part)
        {
            let rows = self.partitions.rows(part)?;
            let listed = rows
                .iter()
                .filter(|r| r.always || self.selection.has(&r.key));
            let mut keys: Vec<_> = listed
                .map(|row| (Position::of_key(&row.key), row.key))
                .collect();
            keys.sort_unstable();
            keys.dedup();
            self.loaded = Some((part, keys));
        }
        Ok(self.loaded.as_ref().map_or(&[], |(_, keys)| keys))
    }
}

impl Offer<'_> {
    /// What a node announces at once when it starts: at most `keys_max` keys, of snapshots
    /// and then of great files, the newest first.
    pub fn headlines(&self, store: &Store, keys_max: usize) -> Result<Vec<AdvertKey>, StoreError> {
        let subjects = gather::headlines(store, self, keys_max)?;
        Ok(self.keys(subjects))
    }

    fn keys(&self, subjects: Vec<Subject>) -> Vec<AdvertKey> {
        let keys = subjects.into_iter().map(|subject| self.secret.key(subject));
        keys.collect()
    }
}
