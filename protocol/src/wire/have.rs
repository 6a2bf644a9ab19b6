//! Who has what.
//!
//! Owns: the messages that exchange have-maps, tell of others who have something, and find
//! chunks in other snapshots. Refuses:
//! held positions that are not on offer; they are nobody's business.

use bincode::{Decode, Encode};

use super::limits::{LOCATE_IDS_MAX, LOCATED_PLACES_MAX, NEIGHBOUR_ADDRESSES_MAX, NEIGHBOURS_MAX};
use super::transfer::RequestId;
use crate::access::Address;
use crate::bounded::List;
use crate::id::{ChunkId, PageId, SnapshotId};
use crate::peer::PeerKey;

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

/// Others who fetch or hold a snapshot, told to those who may read it. Each was let in with a
/// grant for it and said where it listens; whether it still does is for the receiver to find
/// out.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Neighbours {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Who: in addition to those who were told before.
    pub peers: List<Neighbour, NEIGHBOURS_MAX>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Neighbour {
    /// Who has to answer at these addresses.
    pub peer: PeerKey,
    /// Where, best first.
    pub addresses: List<Address, NEIGHBOUR_ADDRESSES_MAX>,
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
