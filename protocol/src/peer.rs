//! Who a node is: an Ed25519 public key, shown as libp2p's PeerId.
//!
//! Owns: the fixed-size form of a key that grants and messages carry, signatures with a
//! domain prefix. Refuses: secret key storage (the node's) and key agreement (TLS's).

use std::fmt;
use std::str::FromStr;

use bincode::{Decode, Encode};
use libp2p_identity::{Keypair, PeerId, PublicKey, ed25519};

/// An Ed25519 public key (RFC 8032), 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct PeerKey([u8; 32]);

/// Why a text or a key does not name a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerKeyError {
    /// Not a base58 PeerId.
    #[error("not a peer id")]
    NotAPeerId,
    /// A PeerId of another key type.
    #[error("the peer id is not of an Ed25519 key")]
    NotEd25519,
}

impl PeerKey {
    /// The key with these bytes. Whether they are a point on the curve shows when a
    /// signature is checked.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half of `keypair`.
    pub fn of(keypair: &ed25519::Keypair) -> Self {
        Self(keypair.public().to_bytes())
    }

    /// The key of a libp2p public key.
    pub fn from_public_key(key: PublicKey) -> Result<Self, PeerKeyError> {
        let key = key
            .try_into_ed25519()
            .map_err(|_| PeerKeyError::NotEd25519)?;
        Ok(Self(key.to_bytes()))
    }

    /// The PeerId that libp2p gives this key; nothing if the bytes are no valid key.
    pub fn peer_id(&self) -> Option<PeerId> {
        let key = ed25519::PublicKey::try_from_bytes(&self.0).ok()?;
        Some(PublicKey::from(key).to_peer_id())
    }

    /// Whether `signature` is this key's over `domain` and `message`.
    pub fn verifies(&self, domain: &str, message: &[u8], signature: &Signature) -> bool {
        ed25519::PublicKey::try_from_bytes(&self.0)
            .is_ok_and(|key| key.verify(&signed_bytes(domain, message), &signature.0))
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Signs `message` under `domain`, which says what kind of thing is signed, so that a
    /// signature over one kind never holds for another.
    pub fn new(keypair: &ed25519::Keypair, domain: &str, message: &[u8]) -> Self {
        let bytes = keypair.sign(&signed_bytes(domain, message));
        Self(bytes.try_into().expect("an Ed25519 signature has 64 bytes"))
    }
}

fn signed_bytes(domain: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(domain.len() + 1 + message.len());
    bytes.extend_from_slice(domain.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(message);
    bytes
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer_id() {
            Some(peer) => peer.fmt(f),
            None => write!(f, "invalid-key-{}", data_encoding::HEXLOWER.encode(&self.0)),
        }
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the base58 PeerId form: for Ed25519 the PeerId is the key itself behind an
/// identity multihash (libp2p specs, "Peer Ids and Keys").
impl FromStr for PeerKey {
    type Err = PeerKeyError;

    fn from_str(text: &str) -> Result<Self, PeerKeyError> {
        let peer: PeerId = text.parse().map_err(|_| PeerKeyError::NotAPeerId)?;
        let multihash = peer.as_ref();
        if multihash.code() != 0 {
            return Err(PeerKeyError::NotEd25519);
        }
        let key = PublicKey::try_decode_protobuf(multihash.digest())
            .map_err(|_| PeerKeyError::NotAPeerId)?;
        Self::from_public_key(key)
    }
}

/// The secret half of a peer's key, as libp2p's TLS wants it.
pub fn libp2p_keypair(keypair: &ed25519::Keypair) -> Keypair {
    Keypair::from(keypair.clone())
}
