//! Writing many rows in the order of their keys.
//!
//! Owns: the choice between one cursor that runs along a gap, which packs full pages and
//! walks the tree once, and single inserts, which are better where rows are far apart.
//! Refuses: rows out of order.

use std::ops::Bound;

use redb::{CursorError, CursorMut, Key, ReadableTableMetadata, Table};

use crate::error::StoreError;

type Values = &'static [u8];

/// A table with this many times the rows that are written has them far apart.
const SPARSE: u64 = 4;

/// Writes rows, replacing those that are there. `rows` ascend, each key stands once.
pub(super) fn put_sorted<'r, K: Key + 'static, T>(
    table: &mut Table<'_, K, Values>,
    rows: &'r [(T, Vec<u8>)],
    key: impl Fn(&'r T) -> K::SelfType<'r>,
) -> Result<(), StoreError> {
    let mut rest = rows;
    if table.len()? <= rows.len() as u64 * SPARSE {
        while let Some((first, _)) = rest.first() {
            let mut cursor = table.lower_bound_mut(Bound::Included(key(first)))?;
            let written = fill_gap(&mut cursor, rest, &key)?;
            cursor.close()?;
            rest = &rest[written..];
            // What stopped the run: a key that is there already, or one behind it.
            if written == 0 {
                let (there, value) = &rest[0];
                table.insert(key(there), value.as_slice())?;
                rest = &rest[1..];
            }
        }
    }
    for (row, value) in rest {
        table.insert(key(row), value.as_slice())?;
    }
    Ok(())
}

/// Writes as many rows as belong into the cursor's gap; gives their number.
fn fill_gap<'r, K: Key + 'static, T>(
    cursor: &mut CursorMut<'_, K, Values>,
    rows: &'r [(T, Vec<u8>)],
    key: impl Fn(&'r T) -> K::SelfType<'r>,
) -> Result<usize, StoreError> {
    for (written, (row, value)) in rows.iter().enumerate() {
        match cursor.insert_before(key(row), value.as_slice()) {
            Ok(()) => {}
            Err(CursorError::UnorderedKey) => return Ok(written),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rows.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");

    proptest! {
        #[test]
        fn sorted_rows_end_up_as_single_inserts_would(
            batches in prop::collection::vec(
                prop::collection::btree_map(0..200u64, any::<u8>(), 0..60), 1..5,
            )
        ) {
            let database = Database::builder()
                .create_with_backend(InMemoryBackend::new())
                .unwrap();
            let mut expected = BTreeMap::new();
            for batch in batches {
                let rows: Vec<_> = batch.iter().map(|(k, v)| (*k, vec![*v; 3])).collect();
                let writing = database.begin_write().unwrap();
                put_sorted(&mut writing.open_table(TABLE).unwrap(), &rows, |k| *k).unwrap();
                writing.commit().unwrap();
                expected.extend(rows);
                let reading = database.begin_read().unwrap();
                let table = reading.open_table(TABLE).unwrap();
                let found: BTreeMap<_, _> = table
                    .range::<u64>(..)
                    .unwrap()
                    .map(|row| row.unwrap())
                    .map(|(key, value)| (key.value(), value.value().to_vec()))
                    .collect();
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
