//! The file of provider records: redb on the store's own disk.
//!
//! Owns: opening it, making it anew if it cannot be used, reading and writing rows. Refuses:
//! to decide which rows there should be.
//!
//! A commit is durable or it never was, so a power cut leaves the state of some earlier
//! commit. Should the file be damaged nevertheless, an empty one takes its place: records are
//! hints, and come again with the next sweeps of those who gave them.

use std::collections::BTreeMap;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use shoal_protocol::codec;

use super::rows::{PROVIDER_ROW_BYTES_MAX, ProviderRow, Record, RecordBytes, RecordKey};
use crate::disk::{OpenMode, Root};
use crate::error::StoreError;
use crate::index::{DiskBackend, intact};

const NAME: &str = "providers.redb";
const FORMAT: u32 = 1;

type RecordKeyBytes = &'static [u8; 20];

/// 0: the format; 1: the number of the next provider; both as 4 bytes.
const META: TableDefinition<'static, u8, u32> = TableDefinition::new("meta");
const PROVIDERS: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("providers");
const RECORDS: TableDefinition<'static, RecordKeyBytes, &'static RecordBytes> =
    TableDefinition::new("records");

const META_FORMAT: u8 = 0;
const META_NEXT: u8 = 1;

/// The open file.
pub(super) struct ProviderDatabase {
    /// There until this is dropped.
    database: Option<Database>,
}

/// What stands in the file beside the records.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) providers: BTreeMap<u32, ProviderRow>,
    /// The number that was never given to anybody.
    pub(super) next: u32,
}

/// What is to be written.
pub(super) struct Changes<'a> {
    /// Nothing removes the row.
    pub(super) records: &'a BTreeMap<RecordKey, Option<Record>>,
    /// Nothing removes the row.
    pub(super) providers: BTreeMap<u32, Option<&'a ProviderRow>>,
    pub(super) next: u32,
}

impl ProviderDatabase {
    /// Opens the file, or makes one if there is none, or none that can be read.
    pub(super) fn open(home: &dyn Root, cache_bytes: usize) -> Result<(Self, Known), StoreError> {
        let found = home.stat(Path::new(NAME)).map_err(StoreError::io(NAME))?;
        if found.is_some() {
            match intact("the provider file", || {
                Self::open_existing(home, cache_bytes)
            }) {
                Err(error) if is_transient(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the provider records are lost and will come again");
                }
                Ok(opened) => return Ok(opened),
            }
        }
        Ok((Self::create(home, cache_bytes)?, Known::default()))
    }

    /// An empty file in the place of whatever is there.
    pub(super) fn create(home: &dyn Root, cache_bytes: usize) -> Result<Self, StoreError> {
        let name = Path::new(NAME);
        if home.stat(name).map_err(StoreError::io(NAME))?.is_some() {
            home.remove_file(name).map_err(StoreError::io(NAME))?;
        }
        let this = Self::at(home, OpenMode::CreateNew, cache_bytes)?;
        let mut writing = this.database().begin_write()?;
        writing.set_quick_repair(true);
        writing.open_table(META)?.insert(META_FORMAT, FORMAT)?;
        writing.open_table(PROVIDERS)?;
        writing.open_table(RECORDS)?;
        writing.commit()?;
        home.sync_dir(Path::new("")).map_err(StoreError::io(NAME))?;
        Ok(this)
    }

    fn at(home: &dyn Root, mode: OpenMode, cache_bytes: usize) -> Result<Self, StoreError> {
        let file = home.open(Path::new(NAME), mode);
        let file = file.map_err(StoreError::io(NAME))?;
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(DiskBackend(file))?;
        let database = Some(database);
        Ok(Self { database })
    }

    fn open_existing(home: &dyn Root, cache_bytes: usize) -> Result<(Self, Known), StoreError> {
        let this = Self::at(home, OpenMode::Write, cache_bytes)?;
        let reading = this.database().begin_read()?;
        let meta = reading.open_table(META)?;
        let format = meta.get(META_FORMAT)?.map(|row| row.value());
        if format != Some(FORMAT) {
            return Err(damaged(&format!("its format is {format:?}")));
        }
        let next = meta.get(META_NEXT)?.map_or(0, |row| row.value());
        let mut providers = BTreeMap::new();
        for row in reading.open_table(PROVIDERS)?.iter()? {
            let (number, bytes) = row?;
            let row = codec::decode::<ProviderRow, PROVIDER_ROW_BYTES_MAX>(bytes.value());
            let row = row.map_err(|error| damaged(&error.to_string()))?;
            providers.insert(number.value(), row);
        }
        reading.open_table(RECORDS)?;
        let last = providers.keys().next_back().map_or(0, |last| last + 1);
        let next = next.max(last);
        drop(reading);
        Ok((this, Known { providers, next }))
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("there until it is dropped")
    }

    /// The records for reading, as they were committed last.
    pub(super) fn records(&self) -> Result<Records, StoreError> {
        let reading = self.database().begin_read()?;
        Ok(Records(reading.open_table(RECORDS)?))
    }

    /// Writes changes, so that they survive a power cut.
    pub(super) fn write(&self, changes: &Changes<'_>) -> Result<(), StoreError> {
        let mut writing = self.database().begin_write()?;
        writing.set_quick_repair(true);
        {
            let mut records = writing.open_table(RECORDS)?;
            for (key, record) in changes.records {
                match record {
                    Some(record) => drop(records.insert(&key.0, &record.to_bytes())?),
                    None => drop(records.remove(&key.0)?),
                }
            }
            let mut providers = writing.open_table(PROVIDERS)?;
            for (number, row) in &changes.providers {
                match row {
                    Some(row) => drop(providers.insert(number, codec::encode(*row).as_slice())?),
                    None => drop(providers.remove(number)?),
                }
            }
            writing.open_table(META)?.insert(META_NEXT, changes.next)?;
        }
        Ok(writing.commit()?)
    }
}

/// Committed records.
pub(super) struct Records(redb::ReadOnlyTable<RecordKeyBytes, &'static RecordBytes>);

impl Records {
    /// Those from `first` to `last`, both included.
    pub(super) fn range(
        &self,
        first: RecordKey,
        last: RecordKey,
    ) -> Result<impl Iterator<Item = Result<(RecordKey, Record), StoreError>>, StoreError> {
        let rows = self.0.range::<&[u8; 20]>(&first.0..=&last.0)?;
        Ok(rows.map(|row| {
            let (key, record) = row?;
            Ok((RecordKey(*key.value()), Record::from_bytes(record.value())))
        }))
    }
}

impl Drop for ProviderDatabase {
    fn drop(&mut self) {
        let database = self.database.take();
        let closed = intact("the end of the provider file", || {
            drop(database);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the provider file was not closed in good order");
        }
    }
}

fn damaged(why: &str) -> StoreError {
    StoreError::DamagedIndex {
        place: "the provider file".to_owned(),
        why: why.to_owned(),
    }
}

/// Whether the system refused, so that the file itself may be in order.
fn is_transient(error: &StoreError) -> bool {
    let kind = match error {
        StoreError::Io { source, .. } => source.kind(),
        StoreError::Index(error) => match &**error {
            redb::Error::Io(source) => source.kind(),
            _ => return false,
        },
        _ => return false,
    };
    !matches!(
        kind,
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
    )
}
