//! Who has what.
//!
//! Owns: the messages that exchange have-maps and tell of others who have something. Refuses:
//! held positions that are not on offer; they are nobody's business.

use bincode::{Decode, Encode};

use super::limits::{NEIGHBOUR_ADDRESSES_MAX, NEIGHBOURS_MAX};
use crate::access::Address;
use crate::bounded::List;
use crate::id::SnapshotId;
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
