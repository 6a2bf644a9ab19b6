//! Asking one member where things stand (`/shoal/1/locate`).
//!
//! Owns: the question, its answer and their bounds. Refuses: to say who is asked, and whether
//! the answer is so: whoever reads at a place verifies what comes.
//!
//! An advert key says *that* somebody has a chunk. Requests for bytes name a snapshot and
//! positions, so it takes this to ask for it; and it keeps the right to read where it belongs,
//! at the snapshot.

use bincode::{Decode, Encode};

use crate::bounded::List;
use crate::codec::{self, CodecError};
use crate::id::{ChunkId, PageId, SnapshotId};

/// The most things in one question.
pub const LOCATE_IDS_MAX: usize = 256;
/// The most places in one answer.
pub const LOCATED_PLACES_MAX: usize = 512;
/// The longest encoded [`Locate`].
pub const LOCATE_BYTES_MAX: usize = 16 << 10;
/// The longest encoded [`Located`].
pub const LOCATED_BYTES_MAX: usize = 32 << 10;

/// Asks where these stand in snapshots that the asker may read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Locate {
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

/// The answer to a [`Locate`]. What is not here is left out, and so is, without a difference,
/// what the asker may not read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Located {
    /// Where things stand.
    pub places: List<Place, LOCATED_PLACES_MAX>,
}

/// Where one of the sought things stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Place {
    /// Which of the sought, by its index in the question.
    pub index: u16,
    /// In a snapshot that the asker may read,
    pub snapshot: SnapshotId,
    /// from this position on.
    pub position: u64,
}

impl Locate {
    /// Canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The question with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<_, LOCATE_BYTES_MAX>(bytes)
    }
}

impl Located {
    /// Canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The answer to `question` with these canonical bytes; every place is of a thing that it
    /// asked for.
    pub fn from_bytes(bytes: &[u8], question: &Locate) -> Result<Self, CodecError> {
        let located = codec::decode_canonical::<Self, LOCATED_BYTES_MAX>(bytes)?;
        let asked = question.sought.len();
        let mut places = located.places.iter();
        if let Some(place) = places.find(|place| usize::from(place.index) >= asked) {
            let why = format!("a place of thing {} of {asked}", place.index);
            return Err(CodecError::Malformed(why));
        }
        Ok(located)
    }
}
