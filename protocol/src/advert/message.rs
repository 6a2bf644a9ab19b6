//! What nodes say to each other about who has what (docs/wire.md).
//!
//! Owns: batches of keys with their acknowledgement (`/shoal/1/advert`), questions with their
//! answer (`/shoal/1/find`), and their bounds. Refuses: to name whose keys a batch has: they
//! are the sender's, which the connection has authenticated, so nobody can advertise for
//! another.

use bincode::{Decode, Encode};

use super::key::AdvertKey;
use crate::access::Address;
use crate::bounded::List;
use crate::codec::{self, CodecError};
use crate::peer::PeerKey;

/// The most keys in one batch.
pub const BATCH_KEYS_MAX: usize = 16_384;
/// The most addresses that a provider names.
pub const PROVIDER_ADDRESSES_MAX: usize = 8;
/// The longest time for which a record is kept, in seconds: two days.
pub const TTL_S_MAX: u32 = 48 * 3600;
/// The most keys in one question.
pub const FIND_KEYS_MAX: usize = 64;
/// The most providers that an answer names for one key.
pub const KEY_PROVIDERS_MAX: usize = 32;
/// The most different providers in one answer.
pub const FOUND_PROVIDERS_MAX: usize = 256;

/// The longest encoded [`AdvertBatch`]: its keys are 256 KiB.
pub const BATCH_BYTES_MAX: usize = 272 << 10;
/// The longest encoded [`AdvertAck`].
pub const ACK_BYTES_MAX: usize = 64;
/// The longest encoded [`Find`].
pub const FIND_BYTES_MAX: usize = 2 << 10;
/// The longest encoded [`Found`]. Host names of full length fill it; usual addresses take
/// some 60 KiB.
pub const FOUND_BYTES_MAX: usize = 640 << 10;

/// Says that the sender has the things behind these keys.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AdvertBatch {
    /// Which of the team's discovery keys they are made with.
    pub epoch: u64,
    /// Where the sender's data plane can be dialled, best first. They replace those that it
    /// named before, for all its keys.
    pub addresses: List<Address, PROVIDER_ADDRESSES_MAX>,
    /// For how many seconds this holds: at least 1, at most [`TTL_S_MAX`].
    pub ttl_s: u32,
    /// The keys. In order of their [positions](super::Position) they are cheapest to take in.
    pub keys: List<AdvertKey, BATCH_KEYS_MAX>,
}

/// The answer to an [`AdvertBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct AdvertAck {
    /// How many of the keys are now kept; those that were kept before and hold on count.
    pub accepted: u32,
    /// Why the others are not, if there are others.
    pub refusal: Option<Refusal>,
    /// For how many seconds they are kept.
    pub ttl_s: u32,
    /// How many keys of one provider this node has room for at present.
    pub share: u32,
}

/// Why keys were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Refusal {
    /// There is no room, or the sender has had its share of it, or a key has as many
    /// providers as are kept of one.
    Full,
    /// Too much at once: come back later.
    Rate {
        /// After so many seconds.
        retry_s: u32,
    },
    /// The time to live is zero or beyond [`TTL_S_MAX`].
    Ttl,
    /// The keys are of an epoch that is not in force.
    Epoch,
}

/// Asks who has the things behind these keys.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Find {
    /// The keys.
    pub keys: List<AdvertKey, FIND_KEYS_MAX>,
}

/// The answer to a [`Find`]. It is a hint: whoever is named proves itself when it is dialled,
/// and may have the thing no longer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Found {
    /// Those who are named below, each once.
    pub providers: List<Provider, FOUND_PROVIDERS_MAX>,
    /// For each key of the question, in its order, who has it, newest first.
    pub keys: List<List<Hit, KEY_PROVIDERS_MAX>, FIND_KEYS_MAX>,
}

/// Who said that it has something.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Provider {
    /// Who has to answer at these addresses.
    pub peer: PeerKey,
    /// Where, best first.
    pub addresses: List<Address, PROVIDER_ADDRESSES_MAX>,
}

/// That one of the providers has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Hit {
    /// Which, by its index among the answer's providers.
    pub provider: u16,
    /// How many seconds ago it said so last.
    pub age_s: u32,
}

impl AdvertBatch {
    /// Canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The batch with these canonical bytes. A time to live that is wrong is no reason to end
    /// the connection; it is refused in the answer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<_, BATCH_BYTES_MAX>(bytes)
    }
}

impl AdvertAck {
    /// Canonical bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        codec::encode(&self)
    }

    /// The acknowledgement with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<_, ACK_BYTES_MAX>(bytes)
    }
}

impl Find {
    /// Canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The question with these canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<_, FIND_BYTES_MAX>(bytes)
    }
}

impl Found {
    /// Canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The answer with these canonical bytes; every hit is of a provider that it names.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let found = codec::decode_canonical::<Self, FOUND_BYTES_MAX>(bytes)?;
        let named = found.providers.len();
        let mut hits = found.keys.iter().flat_map(|hits| hits.iter());
        if let Some(hit) = hits.find(|hit| usize::from(hit.provider) >= named) {
            let why = format!("a hit of provider {} of {named}", hit.provider);
            return Err(CodecError::Malformed(why));
        }
        Ok(found)
    }
}
