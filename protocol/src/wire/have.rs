//! Who has what.
//!
//! Owns: the messages that exchange have-maps and find chunks in other snapshots. Refuses:
//! held positions that are not on offer; they are nobody's business.

use bincode::{Decode, Encode};

use super::limits::{LOCATE_IDS_MAX, LOCATED_PLACES_MAX};
use super::transfer::RequestId;
use crate::bounded::List;
use crate::id::{ChunkId, PageId, SnapshotId};

/// Asks what of a snapshot is on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct HaveRequest {
    /// Of which snapshot.
    pub snapshot: SnapshotId,
    /// Whether to be told of changes, where both have [`super::Features::HAVE_UPDATES`].
    pub subscribe: bool,
}

/// All that is on offer of a snapshot; the payload is a
/// [`RangeSet`](crate::have::RangeSet). Whoever offers a range has the pages that lead to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Have {
    /// Of which snapshot.
    pub snapshot: SnapshotId,
    /// Grows with every change; an older one than the last is ignored.
    pub generation: u64,
}

/// What is on offer since the generation before; the payload is a
/// [`RangeSet`](crate::have::RangeSet). What is lost is told by a new [`Have`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct HaveUpdate {
    /// Of which snapshot.
    pub snapshot: SnapshotId,
    /// One more than the last that was sent; after a gap, ask for all again.
    pub generation: u64,
}

/// Asks where these stand in snapshots that the asker may read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Locate {
    /// Comes back in the answer.
    pub request: RequestId,
    /// What is looked for.
    pub sought: List<Sought, LOCATE_IDS_MAX>,
}

/// What can be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Sought {
    /// One chunk.
    Chunk(ChunkId),
    /// The content list of a file.
    Content(PageId),
}

/// The answer to a [`Locate`]: what was not found is left out.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Located {
    /// From the question.
    pub request: RequestId,
    /// Where things stand.
    pub places: List<Place, LOCATED_PLACES_MAX>,
}

/// Where one of the sought things stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Place {
    /// Which of the sought, by its index in the question.
    pub index: u16,
    /// In a snapshot that the asker may read,
    pub snapshot: SnapshotId,
    /// from this position on.
    pub position: u64,
}
