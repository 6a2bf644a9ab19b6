//! The rows of the provider file (docs/formats.md).
//!
//! Owns: their bytes. Refuses: to judge them.

use bincode::{Decode, Encode};
use shoal_protocol::access::Address;
use shoal_protocol::advert::{AdvertKey, PROVIDER_ADDRESSES_MAX, Position};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;

/// The most bytes that a [`ProviderRow`] may have.
pub(super) const PROVIDER_ROW_BYTES_MAX: usize = 4096;

const PLACE_BYTES: usize = 16;

/// Of whom a record is of which key: the first half of the key's position, so that keys of one region are neighbours, and
/// the provider's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordKey(pub(super) [u8; PLACE_BYTES + 4]);

impl RecordKey {
    pub(super) const FIRST: Self = Self([0; PLACE_BYTES + 4]);
    pub(super) const LAST: Self = Self([0xff; PLACE_BYTES + 4]);

    pub(super) fn new(key: &AdvertKey, provider: u32) -> Self {
        let mut bytes = [0; PLACE_BYTES + 4];
        bytes[..PLACE_BYTES].copy_from_slice(&Position::of_key(key).as_bytes()[..PLACE_BYTES]);
        bytes[PLACE_BYTES..].copy_from_slice(&provider.to_be_bytes());
        Self(bytes)
    }

    /// The same key, of another provider.
    pub(super) fn with_provider(mut self, provider: u32) -> Self {
        self.0[PLACE_BYTES..].copy_from_slice(&provider.to_be_bytes());
        self
    }

    /// The one behind it; the first behind the last.
    pub(super) fn next(mut self) -> Self {
        for byte in self.0.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        self
    }

    pub(super) fn provider(&self) -> u32 {
        let (_, provider) = self.0.split_last_chunk().expect("four bytes and more");
        u32::from_be_bytes(*provider)
    }
}

/// A record. Times are in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// When the provider said so last.
    pub(super) said: u32,
    /// When it is void.
    pub(super) expires: u32,
    /// The front of the key's rank: of one provider's records, the highest go first.
    pub(super) rank: u16,
}

pub(super) type RecordBytes = [u8; 10];

impl Record {
    pub(super) fn to_bytes(self) -> RecordBytes {
        let mut bytes = [0; 10];
        bytes[..4].copy_from_slice(&self.said.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.expires.to_le_bytes());
        bytes[8..].copy_from_slice(&self.rank.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &RecordBytes) -> Self {
        let [a, b, c, d, e, f, g, h, i, j] = *bytes;
        Self {
            said: u32::from_le_bytes([a, b, c, d]),
            expires: u32::from_le_bytes([e, f, g, h]),
            rank: u16::from_le_bytes([i, j]),
        }
    }
}

/// Who gave records.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct ProviderRow {
    pub(super) peer: PeerKey,
    pub(super) addresses: List<Address, PROVIDER_ADDRESSES_MAX>,
    /// How many records there are of it.
    pub(super) records: u64,
    /// When it said something last.
    pub(super) said: u32,
}
