//! The provider records: what is accepted, what is found, who gives way to whom.
//!
//! Owns: the rows that were not written yet, over those that were, and the count of each
//! provider's. Refuses: the file, which is the database's, and the clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shoal_protocol::advert::{
    AdvertAck, AdvertBatch, AdvertKey, FIND_KEYS_MAX, FOUND_PROVIDERS_MAX, Found, Hit,
    KEY_PROVIDERS_MAX, Provider, Refusal, TTL_S_MAX,
};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;

use super::database::{Changes, Known, ProviderDatabase, Records};
use super::rows::{ProviderRow, Record, RecordKey};
use super::store::ProviderOptions;
use crate::error::StoreError;

/// A provider's share is reckoned as if there were at least so many.
const SHARES_MIN: u64 = 4;
/// The most records that one step of expiry looks at.
const EXPIRE_ROWS_MAX: usize = 65_536;
/// Ranks are kept to so many steps.
const RANKS: u64 = 1 << 16;

pub(super) struct Table {
    file: ProviderDatabase,
    providers: BTreeMap<u32, ProviderRow>,
    numbers: HashMap<PeerKey, u32>,
    /// The number that was never given to anybody.
    next: u32,
    /// Of all providers.
    total: u64,
    /// What was not written yet; nothing stands for a row that is to be removed.
    unwritten: BTreeMap<RecordKey, Option<Record>>,
    unwritten_providers: BTreeSet<u32>,
    /// Where expiry goes on.
    cursor: RecordKey,
    /// How many records were refused lately to those that have not had their share.
    wanted: u64,
}

impl Table {
    pub(super) fn new(file: ProviderDatabase, known: Known) -> Self {
        let numbers = known.providers.iter().map(|(n, row)| (row.peer, *n));
        Self {
            file,
            numbers: numbers.collect(),
            total: known.providers.values().map(|row| row.records).sum(),
            providers: known.providers,
            next: known.next,
            unwritten: BTreeMap::new(),
            unwritten_providers: BTreeSet::new(),
            cursor: RecordKey::FIRST,
            wanted: 0,
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// How many providers have records.
    pub(super) fn active(&self) -> usize {
        let rows = self.providers.values();
        rows.filter(|row| row.records > 0).count()
    }

    pub(super) fn accept(
        &mut self,
        options: &ProviderOptions,
        peer: PeerKey,
        batch: &AdvertBatch,
        now: u32,
    ) -> Result<AdvertAck, StoreError> {
        let refuse = |refusal| AdvertAck {
            accepted: 0,
            refusal: Some(refusal),
            ttl_s: 0,
            share: 0,
        };
        if batch.ttl_s == 0 || batch.ttl_s > TTL_S_MAX {
            return Ok(refuse(Refusal::Ttl));
        }
        let Some(number) = self.number(options, peer, now) else {
            return Ok(refuse(Refusal::Full));
        };
        let row = self.providers.get_mut(&number).expect("it has a number");
        row.addresses = batch.addresses.clone();
        row.said = now;
        let is_new = row.records == 0;
        self.unwritten_providers.insert(number);
        let share = self.share(options, u64::from(is_new));
        let committed = self.file.records()?;
        let mut accepted = 0;
        for key in batch.keys.iter() {
            let record = Record {
                said: now,
                expires: now.saturating_add(batch.ttl_s),
                rank: (key.rank() >> 48) as u16,
            };
            let at = RecordKey::new(key, number);
            accepted += u32::from(self.put(options, &committed, at, record, share)?);
        }
        let all = accepted as usize == batch.keys.len();
        Ok(AdvertAck {
            accepted,
            refusal: (!all).then_some(Refusal::Full),
            ttl_s: batch.ttl_s,
            share: u32::try_from(share).unwrap_or(u32::MAX),
        })
    }

    /// Keeps a record if there is room for it.
    fn put(
        &mut self,
        options: &ProviderOptions,
        committed: &Records,
        at: RecordKey,
        record: Record,
        share: u64,
    ) -> Result<bool, StoreError> {
        let number = at.provider();
        let theirs = self.providers.get(&number).map_or(0, |row| row.records);
        let rows = self.rows_of(committed, at)?;
        if rows.contains_key(&number) {
            let keeps = !is_beyond(record.rank, share, theirs);
            if keeps {
                self.unwritten.insert(at, Some(record));
            }
            return Ok(keeps);
        }
        let valid = rows.values().filter(|other| other.expires > record.said);
        if theirs >= share || valid.count() >= KEY_PROVIDERS_MAX {
            return Ok(false);
        }
        if self.total >= options.records_max {
            self.wanted = (self.wanted + 1).min(share);
            return Ok(false);
        }
        self.unwritten.insert(at, Some(record));
        self.count(number, 1);
        Ok(true)
    }

    pub(super) fn find(&self, keys: &[AdvertKey], now: u32) -> Result<Found, StoreError> {
        let committed = self.file.records()?;
        let mut providers = Vec::new();
        let mut indexes: HashMap<u32, u16> = HashMap::new();
        let mut answers = Vec::new();
        for key in keys.iter().take(FIND_KEYS_MAX) {
            let rows = self.rows_of(&committed, RecordKey::new(key, 0))?;
            let mut rows: Vec<_> = rows.into_iter().filter(|(_, r)| r.expires > now).collect();
            rows.sort_by_key(|(number, record)| (std::cmp::Reverse(record.said), *number));
            let mut hits = Vec::new();
            for (number, record) in rows.into_iter().take(KEY_PROVIDERS_MAX) {
                let Some(row) = self.providers.get(&number) else {
                    continue;
                };
                if providers.len() >= FOUND_PROVIDERS_MAX && !indexes.contains_key(&number) {
                    continue;
                }
                let provider = *indexes.entry(number).or_insert_with(|| {
                    providers.push(Provider {
                        peer: row.peer,
                        addresses: row.addresses.clone(),
                    });
                    u16::try_from(providers.len() - 1).expect("an answer names few")
                });
                let age_s = now.saturating_sub(record.said);
                hits.push(Hit { provider, age_s });
            }
            answers.push(List::new(hits).expect("no more were taken"));
        }
        Ok(Found {
            providers: List::new(providers).expect("no more were taken"),
            keys: List::new(answers).expect("no more were taken"),
        })
    }

    /// Looks at the next records, and removes those that are void, whose provider was
    /// forgotten, or that give way. Gives how many that were.
    pub(super) fn expire(
        &mut self,
        options: &ProviderOptions,
        now: u32,
    ) -> Result<u64, StoreError> {
        let share = self.share(options, u64::from(self.wanted > 0));
        let mut rows = Vec::new();
        let committed = self.file.records()?;
        for row in committed.range(self.cursor, RecordKey::LAST)? {
            rows.push(row?);
            if rows.len() >= EXPIRE_ROWS_MAX {
                break;
            }
        }
        let is_end = rows.len() < EXPIRE_ROWS_MAX;
        self.cursor = match rows.last() {
            Some((last, _)) if !is_end => last.next(),
            _ => RecordKey::FIRST,
        };
        let mut gone = 0;
        for (at, record) in rows {
            let record = match self.unwritten.get(&at) {
                None => record,
                Some(None) => continue,
                Some(Some(newer)) => *newer,
            };
            let number = at.provider();
            let provider = self.providers.get(&number);
            let theirs = provider.map_or(0, |row| row.records);
            let gives_way = self.wanted > 0 && is_beyond(record.rank, share, theirs);
            if provider.is_some() && record.expires > now && !gives_way {
                continue;
            }
            self.wanted -= u64::from(gives_way);
            self.unwritten.insert(at, None);
            self.count(number, -1);
            gone += 1;
        }
        if is_end {
            // Nobody who still wants room was told no since; it asks again if it does.
            self.wanted = 0;
        }
        Ok(gone)
    }

    pub(super) fn forget(&mut self, peer: &PeerKey) {
        let Some(number) = self.numbers.remove(peer) else {
            return;
        };
        let row = self.providers.remove(&number).expect("it has a number");
        self.total -= row.records;
        self.unwritten_providers.insert(number);
        let theirs = self.unwritten.iter_mut();
        for (_, record) in theirs.filter(|(at, _)| at.provider() == number) {
            *record = None;
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.unwritten.is_empty() && self.unwritten_providers.is_empty() {
            return Ok(());
        }
        let numbers = self.unwritten_providers.iter();
        self.file.write(&Changes {
            records: &self.unwritten,
            providers: numbers.map(|n| (*n, self.providers.get(n))).collect(),
            next: self.next,
        })?;
        self.unwritten.clear();
        self.unwritten_providers.clear();
        Ok(())
    }

    /// The number of a provider, new if need be. Where there are too many, one without records
    /// makes room.
    fn number(&mut self, options: &ProviderOptions, peer: PeerKey, now: u32) -> Option<u32> {
        if let Some(number) = self.numbers.get(&peer) {
            return Some(*number);
        }
        if self.providers.len() >= options.providers_max {
            let mut rows = self.providers.values();
            let idle = rows.find(|row| row.records == 0)?.peer;
            self.forget(&idle);
        }
        let number = self.next;
        self.next = self.next.checked_add(1)?;
        let row = ProviderRow {
            peer,
            addresses: List::empty(),
            records: 0,
            said: now,
        };
        self.providers.insert(number, row);
        self.numbers.insert(peer, number);
        Some(number)
    }

    /// How many records one provider may have, if there are so many `more` than have any.
    fn share(&self, options: &ProviderOptions, more: u64) -> u64 {
        let active = self.active() as u64 + more;
        options.records_max / active.max(SHARES_MIN)
    }

    /// The records of the key that `at` is about, by provider.
    fn rows_of(
        &self,
        committed: &Records,
        at: RecordKey,
    ) -> Result<BTreeMap<u32, Record>, StoreError> {
        let (first, last) = (at.with_provider(0), at.with_provider(u32::MAX));
        let mut rows = BTreeMap::new();
        for row in committed.range(first, last)? {
            let (at, record) = row?;
            rows.insert(at.provider(), record);
        }
        for (at, record) in self.unwritten.range(first..=last) {
            match record {
                Some(record) => drop(rows.insert(at.provider(), *record)),
                None => drop(rows.remove(&at.provider())),
            }
        }
        rows.retain(|number, _| self.providers.contains_key(number));
        Ok(rows)
    }

    fn count(&mut self, number: u32, change: i64) {
        if let Some(row) = self.providers.get_mut(&number) {
            row.records = row.records.saturating_add_signed(change);
            self.total = self.total.saturating_add_signed(change);
            self.unwritten_providers.insert(number);
        }
    }
}

/// Whether a record of this rank is beyond the share of a provider with so many records: the
/// lowest of its records are its share.
fn is_beyond(rank: u16, share: u64, records: u64) -> bool {
    records > share && u64::from(rank) * records >= share * RANKS
}
