//! The door to the provider records.
//!
//! Owns: what can be chosen, one call at a time, when things are written, and going on with
//! an empty file when the old one is damaged. Refuses: who gives way, which is the table's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shoal_protocol::advert::{AdvertAck, AdvertBatch, AdvertKey, Found, Refusal};
use shoal_protocol::peer::PeerKey;

use super::allowance::Allowances;
use super::database::{Known, ProviderDatabase};
use super::table::Table;
use crate::Store;
use crate::disk::Root;
use crate::error::StoreError;
use crate::index::intact;

/// The most providers whose pace is remembered; each takes some 60 bytes of memory. Whoever was
/// quiet for eight seconds needs no remembering.
const ALLOWANCES_MAX: usize = 4096;

/// What can be chosen about provider records.
#[derive(Debug, Clone)]
pub struct ProviderOptions {
    /// The most records. Each takes some 140 bytes on disk, the gaps of the file included.
    pub records_max: u64,
    /// The most providers. Each takes some 200 bytes of memory.
    pub providers_max: usize,
    /// The most records in memory that were not written yet; each takes some 60 bytes.
    pub unwritten_max: usize,
    /// Bytes of memory for caching.
    pub cache_bytes: usize,
}

impl Default for ProviderOptions {
    fn default() -> Self {
        Self {
            records_max: 2_000_000,
            providers_max: 4096,
            unwritten_max: 65_536,
            cache_bytes: 16 << 20,
        }
    }
}

/// The open records. Calls block, and come one after the other.
pub struct ProviderStore {
    home: Arc<dyn Root>,
    options: ProviderOptions,
    table: Mutex<Table>,
    allowances: Mutex<Allowances>,
}

impl ProviderStore {
    /// Opens the records of a store; if there are none yet, or their file is damaged, there
    /// are none afterwards. A store has one open at a time.
    pub fn open(store: &Store, options: ProviderOptions) -> Result<Self, StoreError> {
        let home = store.home().clone();
        let (file, known) = ProviderDatabase::open(&*home, options.cache_bytes)?;
        let table = Mutex::new(Table::new(file, known));
        Ok(Self {
            home,
            options,
            table,
            allowances: Mutex::new(Allowances::new()),
        })
    }

    /// Takes a batch from `provider`, who is the authenticated sender, at `now_unix_s`. What is
    /// taken is found at once, and survives a power cut once it was [flushed](Self::flush). Who
    /// brings too much at once is told to come back.
    pub fn accept(
        &self,
        provider: PeerKey,
        batch: &AdvertBatch,
        now_unix_s: u64,
    ) -> Result<AdvertAck, StoreError> {
        let now = seconds(now_unix_s);
        if let Err(retry_s) = self.allow(provider, batch.keys.len(), now) {
            return Ok(AdvertAck {
                accepted: 0,
                refusal: Some(Refusal::Rate { retry_s }),
                ttl_s: 0,
                share: 0,
            });
        }
        self.guard(|table| {
            let ack = table.accept(&self.options, provider, batch, now)?;
            if table.unwritten() >= self.options.unwritten_max {
                table.flush()?;
            }
            Ok(ack)
        })
    }

    /// Who has these keys, as far as is known: for each of the first [`FIND_KEYS_MAX`](shoal_protocol::advert::FIND_KEYS_MAX), the newest first.
    pub fn find(&self, keys: &[AdvertKey], now_unix_s: u64) -> Result<Found, StoreError> {
        let now = seconds(now_unix_s);
        self.guard(|table| table.find(keys, now))
    }

    /// Goes on removing what is void, or has to give way; gives how many records went. Looks at some ten thousand
    /// records a call; call it every minute or so.
    pub fn expire(&self, now_unix_s: u64) -> Result<u64, StoreError> {
        let now = seconds(now_unix_s);
        self.guard(|table| {
            let gone = table.expire(&self.options, now)?;
            if table.unwritten() >= self.options.unwritten_max {
                table.flush()?;
            }
            Ok(gone)
        })
    }

    /// Forgets a provider with all its records: it is no longer a member.
    pub fn forget(&self, provider: &PeerKey) -> Result<(), StoreError> {
        self.guard(|table| {
            table.forget(provider);
            Ok(())
        })
    }

    /// Writes what was not written yet, and waits for the disk. Call it every minute or so,
    /// and at the end: what was not flushed is lost with the process.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.guard(Table::flush)
    }

    /// How many records there are; void ones count until they are removed.
    pub fn records(&self) -> u64 {
        self.lock().total()
    }

    /// How many providers have records.
    pub fn providers(&self) -> usize {
        self.lock().active()
    }

    /// Not behind the table: whoever is refused waits for nobody.
    fn allow(&self, provider: PeerKey, keys: usize, now: u32) -> Result<(), u32> {
        let allowances = self.allowances.lock();
        let mut allowances = allowances.unwrap_or_else(PoisonError::into_inner);
        allowances.take(provider, keys, now, ALLOWANCES_MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work`, and once more on an empty file if the file turns out to be damaged.
    fn guard<T>(
        &self,
        work: impl Fn(&mut Table) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut table = self.lock();
        match intact("the provider file", || work(&mut table)) {
            Err(error) if error.is_damaged_index() => {
                tracing::warn!(%error, "the provider records are lost and will come again");
                let file = ProviderDatabase::create(&*self.home, self.options.cache_bytes)?;
                *table = Table::new(file, Known::default());
                work(&mut table)
            }
            done => done,
        }
    }
}

/// Seconds since 1970 as rows have them, good until 2106.
fn seconds(unix_s: u64) -> u32 {
    u32::try_from(unix_s).unwrap_or(u32::MAX)
}
