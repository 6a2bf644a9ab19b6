//! Under which keys things are advertised.
//!
//! Owns: the secret that they are made with, and how a thing's id becomes a key that says
//! nothing to whoever lacks it. Refuses: where a key lies in the network; that is its
//! [`Position`](super::Position).

use std::fmt;

use bincode::{Decode, Encode};

use crate::id::{ChunkId, PageId, SnapshotId};

/// The bytes of an [`AdvertKey`].
pub const ADVERT_KEY_BYTES: usize = 16;

/// The secret of those who may find each other: a team's, of one epoch, or what was derived
/// from the secret of a ticket. Without it nobody can tell which file a key stands for, so
/// that taking part in the network does not confirm who holds a known file.
#[derive(Clone, PartialEq, Eq)]
pub struct DiscoveryKey([u8; 32]);

impl DiscoveryKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key for those who have a ticket with this secret. The secret itself cannot be got
    /// back from it.
    pub fn of_ticket(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("shoal 1 ticket discovery", secret))
    }

    /// The key under which a thing is advertised: the first half of BLAKE3 keyed with the
    /// secret, over a byte for the kind and the 32 bytes of the id.
    pub fn key(&self, subject: Subject) -> AdvertKey {
        let (kind, id) = match &subject {
            Subject::Snapshot(id) => (1, id.as_bytes()),
            Subject::Content(id) => (2, id.as_bytes()),
            Subject::Chunk(id) => (3, id.as_bytes()),
        };
        let mut message = [0; 33];
        message[0] = kind;
        message[1..].copy_from_slice(id);
        let hash = blake3::keyed_hash(&self.0, &message);
        let (front, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        AdvertKey(*front)
    }
}

impl fmt::Debug for DiscoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiscoveryKey(…)")
    }
}

/// What can be advertised, and looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A snapshot.
    Snapshot(SnapshotId),
    /// What a file holds, by the root page of its list of chunks.
    Content(PageId),
    /// One chunk, which may be all that a small file holds.
    Chunk(ChunkId),
}

/// Under which key a thing is advertised: 16 bytes that are as good as random without the
/// [`DiscoveryKey`].
///
/// Half a hash is enough, and halves what travels and what is kept. Nobody finds another
/// thing for a given key (2¹²⁸ tries); a member who makes two things that share one (2⁶⁴)
/// gains a hint that leads nowhere.
///
/// The order is that of the bytes, which every member sees alike: who cannot advertise all of
/// its keys takes the [lowest](super::Selection), and who searches asks for the lowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct AdvertKey([u8; ADVERT_KEY_BYTES]);

impl AdvertKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; ADVERT_KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key. Kademlia is given these.
    pub const fn as_bytes(&self) -> &[u8; ADVERT_KEY_BYTES] {
        &self.0
    }

    /// Its place in the order of keys, spread evenly over all numbers.
    pub fn rank(&self) -> u64 {
        let (front, _) = self.0.split_first_chunk().expect("16 bytes");
        u64::from_be_bytes(*front)
    }
}

impl fmt::Debug for AdvertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}
