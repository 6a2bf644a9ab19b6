//! Getting bytes back.
//!
//! Owns: the choice among a chunk's places, and the rule when bytes must be hashed again
//! before they are believed. Refuses: to return bytes that are not what was asked for.

mod run;

use shoal_protocol::id::ChunkId;

pub use run::RunReader;

use crate::Store;
use crate::error::{ReadError, StoreError};
use crate::index::{Extent, View};
use crate::store::Inner;

/// Where a chunk was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The place that had it.
    pub extent: Extent,
    /// Places that did not have it any more and were dropped.
    pub dropped: Vec<Extent>,
}

impl Store {
    /// Reads a chunk and verifies it, trying one place after the other; places that have
    /// other bytes are dropped from the index. `out` becomes the chunk's bytes.
    pub fn read_chunk(&self, id: &ChunkId, out: &mut Vec<u8>) -> Result<Found, ReadError> {
        let view = self.view();
        let row = view.chunk(id)?.ok_or(ReadError::Missing(*id))?;
        out.resize(row.length as usize, 0);
        let mut wrong = Vec::new();
        let mut failure = None;
        let mut found = None;
        for extent in row.extents {
            match self.inner().read_extent(&view, extent, out) {
                Ok(Reading::Read) if ChunkId::of(out) == *id => {
                    found = Some(extent);
                    break;
                }
                Ok(Reading::Read | Reading::Short) => wrong.push(extent),
                Ok(Reading::Gone) => {}
                Err(error) => failure = Some(error),
            }
        }
        self.drop_extents(id, &wrong)?;
        match (found, failure) {
            (Some(extent), _) => Ok(Found {
                extent,
                dropped: wrong,
            }),
            (None, Some(failure)) => Err(failure.into()),
            (None, None) => Err(ReadError::Missing(*id)),
        }
    }

    fn drop_extents(&self, id: &ChunkId, extents: &[Extent]) -> Result<(), StoreError> {
        if extents.is_empty() {
            return Ok(());
        }
        tracing::warn!(chunk = %id, ?extents, "these places have other bytes");
        let batch = self.begin();
        for extent in extents {
            batch.drop_extent(id, *extent);
        }
        batch.commit(false)
    }
}

/// What came of reading a place.
enum Reading {
    Read,
    /// The place ends before the chunk does.
    Short,
    /// There is no such file, for now at least: a disk may come back.
    Gone,
}

impl Inner {
    fn read_extent(
        &self,
        view: &View,
        extent: Extent,
        out: &mut [u8],
    ) -> Result<Reading, StoreError> {
        let whole = match extent {
            Extent::Pack(spot) => self.packs.files().read(spot, out)?,
            Extent::File { file, offset } => match self.open_file(view, file)? {
                Some(open) => {
                    let read = open.file.read_at(offset, out);
                    read.map_err(StoreError::io(open.row.path.as_str()))? == out.len()
                }
                None => return Ok(Reading::Gone),
            },
        };
        Ok(if whole { Reading::Read } else { Reading::Short })
    }
}
