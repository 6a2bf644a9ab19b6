//! Where keys and peers lie in the network.
//!
//! Owns: positions and regions as Kademlia has them (Maymounkov and Mazières, 2002; libp2p
//! hashes keys and peers by SHA-256 first). Refuses: who lies where; that is the atlas's.

use std::fmt;

use sha2::{Digest, Sha256};

use super::key::AdvertKey;
use crate::peer::PeerKey;

/// What stands before an Ed25519 key in the bytes of its PeerId: an identity multihash of 36
/// bytes, with the key's type and length in it (libp2p specs, "Peer Ids and Keys").
const PEER_ID_FRONT: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// A place in Kademlia's space. The order is that of the number that the bytes are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position([u8; 32]);

impl Position {
    /// The first of all.
    pub const FIRST: Self = Self([0; 32]);
    /// The last of all.
    pub const LAST: Self = Self([0xff; 32]);

    /// The position with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Where a key lies.
    pub fn of_key(key: &AdvertKey) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Where a peer lies.
    pub fn of_peer(peer: &PeerKey) -> Self {
        let hash = Sha256::new().chain_update(PEER_ID_FRONT);
        Self(hash.chain_update(peer.as_bytes()).finalize().into())
    }

    /// How far it is to another: the exclusive or, as a big-endian number.
    pub fn distance(&self, other: &Self) -> [u8; 32] {
        std::array::from_fn(|i| self.0[i] ^ other.0[i])
    }

    /// How many bits both have in common from the front on, at most 256.
    pub fn common_bits(&self, other: &Self) -> u32 {
        let distance = self.distance(other);
        let same = distance.iter().take_while(|byte| **byte == 0).count();
        let within = distance.get(same).map_or(0, |byte| byte.leading_zeros());
        same as u32 * 8 + within
    }

    /// Which part of the space lies before it, from 0 to 1.
    pub fn fraction(&self) -> f64 {
        let front = self.0.first_chunk().expect("it has 32 bytes");
        u64::from_be_bytes(*front) as f64 / u64::MAX as f64
    }

    /// The one behind it; nothing behind the last.
    pub fn next(&self) -> Option<Self> {
        let mut bytes = self.0;
        for byte in bytes.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return Some(Self(bytes));
            }
        }
        None
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", data_encoding::HEXLOWER.encode(&self.0[..4]))
    }
}

/// A region of the space: all positions that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    first: Position,
    bits: u32,
}

impl Region {
    /// The whole space.
    pub const ALL: Self = Self {
        first: Position::FIRST,
        bits: 0,
    };

    /// All that begins with the same `bits` (at most 256) bits as `position`.
    pub fn around(position: &Position, bits: u32) -> Self {
        let first = Position(std::array::from_fn(|i| position.0[i] & mask(bits, i)));
        Self { first, bits }
    }

    /// The first position in it.
    pub fn first(&self) -> Position {
        self.first
    }

    /// The last position in it.
    pub fn last(&self) -> Position {
        Position(std::array::from_fn(|i| {
            self.first.0[i] | !mask(self.bits, i)
        }))
    }

    /// How many bits all in it have in common.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Whether a position lies in it.
    pub fn contains(&self, position: &Position) -> bool {
        self.first.common_bits(position) >= self.bits
    }
}

/// The bits of the `i`th byte that lie among the first `bits`.
fn mask(bits: u32, i: usize) -> u8 {
    match bits.saturating_sub(i as u32 * 8) {
        0 => 0,
        left @ 1..8 => !(0xff >> left),
        _ => 0xff,
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.first, self.bits)
    }
}
