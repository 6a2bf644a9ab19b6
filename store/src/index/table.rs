//! A table of the index, for reading.
//!
//! Owns: what a damaged index does. redb believes what its pages say, and panics where they
//! make no sense; here that becomes an error like any other. Refuses: the meaning of rows.

use std::borrow::Borrow;
use std::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Key, ReadOnlyTable, ReadTransaction, TableDefinition, TableHandle, Value};

use crate::error::StoreError;

/// Rows, one after the other.
pub type Rows<'a, T> = Box<dyn Iterator<Item = Result<T, StoreError>> + 'a>;

/// See the top of this file.
pub(super) struct Table<K: Key + 'static, V: Value + 'static> {
    /// What messages call it.
    name: String,
    rows: ReadOnlyTable<K, V>,
}

impl<K: Key + 'static, V: Value + 'static> Table<K, V> {
    pub(super) fn open(
        transaction: &ReadTransaction,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<Self, StoreError> {
        let name = format!("table {}", definition.name());
        let rows = intact(&name, || Ok(transaction.open_table(definition)?))?;
        Ok(Self { name, rows })
    }

    /// The row with a key, made by `row` from its value.
    pub(super) fn get<'k, T>(
        &self,
        key: impl Borrow<K::SelfType<'k>>,
        row: impl FnOnce(V::SelfType<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        intact(&self.name, || {
            let found = self.rows.get(key)?;
            found.map(|value| row(value.value())).transpose()
        })
    }

    /// Whether there is a row with a key.
    pub(super) fn contains<'k>(
        &self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<bool, StoreError> {
        Ok(self.get(key, |_| Ok(()))?.is_some())
    }

    /// The rows within a range of keys, each made by `row` from its key and value.
    pub(super) fn range<'a, 'k, KR, T>(
        &'a self,
        range: impl RangeBounds<KR>,
        row: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> Result<T, StoreError> + 'a,
    ) -> Result<Rows<'a, T>, StoreError>
    where
        KR: Borrow<K::SelfType<'k>>,
    {
        let mut found = intact(&self.name, || Ok(self.rows.range(range)?))?;
        let mut next = move || {
            let Some(pair) = found.next() else {
                return Ok(None);
            };
            let (key, value) = pair?;
            row(key.value(), value.value()).map(Some)
        };
        let mut is_through = false;
        Ok(Box::new(std::iter::from_fn(move || {
            if is_through {
                return None;
            }
            let next = intact(&self.name, &mut next);
            // What an iterator does after a panic is nobody's promise.
            is_through = next.is_err();
            next.transpose()
        })))
    }

    /// All rows, each made by `row` from its key and value.
    pub(super) fn all<'a, T>(
        &'a self,
        row: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> Result<T, StoreError> + 'a,
    ) -> Result<Rows<'a, T>, StoreError> {
        self.range::<K::SelfType<'_>, T>(.., row)
    }
}

/// What `work` on a place of the index gives; a panic of it means that the place is damaged.
/// Whatever `work` had in its hands is of no more use then.
pub(crate) fn intact<T>(
    place: &str,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = (panic.downcast_ref::<String>().map(String::as_str))
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it makes no sense");
        Err(damaged_index(place, why))
    })
}

/// The error that a table's row is not what the store writes.
pub(super) fn damaged(table: &str) -> impl Fn(&str) -> StoreError + '_ {
    move |why| damaged_index(&format!("table {table}"), why)
}

/// The error that a place of the index is not what the store writes.
pub(super) fn damaged_index(place: &str, why: &str) -> StoreError {
    StoreError::DamagedIndex {
        place: place.to_owned(),
        why: why.to_owned(),
    }
}
