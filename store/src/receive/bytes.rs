//! Compares a file that stands in the destination with what a manifest says.

use std::path::Path;

use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::manifest::Content;
use shoal_protocol::paged_list::{ChunkRef, Cursor, ReadError};
use shoal_protocol::path::ManifestPath;

use super::{Receive, ReceiveError};
use crate::StoreError;
use crate::disk::OpenMode;

/// Why the looking stops.
pub(super) enum Stop {
    /// A page is needed.
    Missing(PageId),
    /// It cannot go on.
    Error(ReceiveError),
}

impl From<ReadError<StoreError>> for Stop {
    fn from(error: ReadError<StoreError>) -> Self {
        match error {
            ReadError::Missing(page) => Self::Missing(page),
            error => Self::Error(error.into()),
        }
    }
}

impl Receive {
    /// Whether the file at `name` has exactly these bytes, `size` in number.
    pub(super) fn holds(
        &self,
        name: &ManifestPath,
        size: u64,
        content: &Content,
    ) -> Result<bool, Stop> {
        let path = Path::new(name.as_str());
        let failed = |e| Stop::Error(self.destination().failed(path, e));
        let file = (self.destination().root)
            .open(path, OpenMode::Read)
            .map_err(failed)?;
        let mut bytes = Vec::new();
        let mut same = |offset: u64, chunk: &ChunkRef| {
            bytes.resize(chunk.length as usize, 0);
            let read = file.read_at(offset, &mut bytes).map_err(failed)?;
            Ok(read == bytes.len() && ChunkId::of(&bytes) == chunk.id)
        };
        match content {
            Content::Empty => Ok(size == 0),
            Content::Chunk(id) => same(
                0,
                &ChunkRef {
                    id: *id,
                    length: size as u32,
                },
            ),
            Content::List(root) => {
                let mut cursor = Cursor::<ChunkRef>::holding(Some(*root), None, Some(size));
                while let Some(chunk) = cursor.next(&self.store)? {
                    if !same(chunk.position, &chunk.item)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}
