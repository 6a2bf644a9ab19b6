//! Looking places up for somebody who asks.
//!
//! Owns: the bounds of one question, and the order of checks: whether the asker may read the
//! snapshot, whether the position is on offer, whether the thing stands there; so that what may not be
//! told is not even looked at.

use std::collections::HashMap;

use shoal_protocol::advert::{Place, Sought};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::{Content, EntryKind, SnapshotCursor, Step};
use shoal_protocol::paged_list::ReadError;

use super::Places;
use super::rows::Hint;
use crate::Store;
use crate::error::StoreError;
use crate::index::SnapshotRow;
use crate::survey::page_of;

/// The most places of one thing that are told.
pub const PLACES_OF_ONE_MAX: usize = 2;
/// The most hints for one thing that are followed.
const HINTS_MAX: usize = 16;
/// The most snapshots whose rows one question has looked up.
const SNAPSHOTS_LOOKED_UP_MAX: usize = 64;

impl Places {
    /// Where `sought` stand, in snapshots that `may_read` allows, at positions that are on
    /// offer: at most [`PLACES_OF_ONE_MAX`] for each, and `places_max` in all. What is not
    /// found is left out, whatever the reason.
    pub fn locate(
        &self,
        store: &Store,
        sought: &[Sought],
        may_read: &dyn Fn(&SnapshotRow) -> bool,
        places_max: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let files = self.files();
        let mut readable = Readable {
            store,
            may_read,
            rows: HashMap::new(),
        };
        let mut places = Vec::new();
        for (index, sought) in sought.iter().enumerate() {
            let id = match sought {
                Sought::Chunk(id) => id.as_bytes(),
                Sought::Content(id) => id.as_bytes(),
            };
            let (mut hints, mut found) = (Vec::new(), 0);
            for file in &files {
                let room = HINTS_MAX - hints.len();
                hints.extend(file.find(id, room)?);
            }
            for hint in hints {
                if found == PLACES_OF_ONE_MAX || places.len() == places_max {
                    break;
                }
                if readable.has(&hint, sought)? {
                    found += 1;
                    places.push(Place {
                        index: u16::try_from(index).expect("a question is short"),
                        snapshot: hint.snapshot,
                        position: hint.position,
                    });
                }
            }
        }
        Ok(places)
    }
}

/// The snapshots that the asker may read, as far as they were looked up.
struct Readable<'a> {
    store: &'a Store,
    may_read: &'a dyn Fn(&SnapshotRow) -> bool,
    rows: HashMap<SnapshotId, Option<SnapshotRow>>,
}

impl Readable<'_> {
    fn has(&mut self, hint: &Hint, sought: &Sought) -> Result<bool, StoreError> {
        let store = self.store;
        let Some(row) = self.row(&hint.snapshot)? else {
            return Ok(false);
        };
        let first = hint.position..hint.position.saturating_add(1);
        if !row.offered.covers(&first) {
            return Ok(false);
        }
        let stands = match range_of(store, row, hint.position, sought) {
            Ok(stands) => stands,
            Err(error) => return page_of(error).map(|_| false),
        };
        Ok(stands.is_some_and(|range| row.offered.covers(&range)))
    }

    fn row(&mut self, id: &SnapshotId) -> Result<Option<&SnapshotRow>, StoreError> {
        if !self.rows.contains_key(id) {
            if self.rows.len() >= SNAPSHOTS_LOOKED_UP_MAX {
                return Ok(None);
            }
            let row = self.store.view().snapshot(id)?;
            self.rows
                .insert(*id, row.filter(|row| (self.may_read)(row)));
        }
        Ok(self.rows.get(id).and_then(Option::as_ref))
    }
}

/// The positions that `sought` has, if it begins at `position`.
fn range_of(
    store: &Store,
    row: &SnapshotRow,
    position: u64,
    sought: &Sought,
) -> Result<Option<std::ops::Range<u64>>, ReadError<StoreError>> {
    let mut cursor = SnapshotCursor::new(&row.snapshot);
    cursor.seek(position);
    while let Some(step) = cursor.next(store)? {
        match (step, sought) {
            (Step::Entry { position: at, .. }, _) if at > position => return Ok(None),
            (
                Step::Entry {
                    position: at,
                    entry,
                    ..
                },
                Sought::Content(list),
            ) => {
                if let EntryKind::File { content, size, .. } = entry.kind
                    && size > 0
                {
                    let is_it = at == position && content == Content::List(*list);
                    return Ok(is_it.then_some(at..at + size));
                }
            }
            (Step::Entry { .. }, Sought::Chunk(_)) => {}
            (
                Step::Chunk {
                    position: at,
                    chunk,
                    ..
                },
                sought,
            ) => {
                let is_it = at == position && *sought == Sought::Chunk(chunk.id);
                return Ok(is_it.then(|| at..at + u64::from(chunk.length)));
            }
        }
    }
    Ok(None)
}
