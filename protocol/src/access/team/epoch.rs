//! The secret by which members find each other, and the statement that a new one is in force.
//!
//! Owns: the commitment, by which whoever is sent a secret knows that an admin chose it.
//! Refuses: keeping the secret, and using it.

use std::fmt;

use bincode::{Decode, Encode};

use crate::codec;
use crate::id::TeamId;

const COMMITMENT_CONTEXT: &str = "shoal 1 team epoch";

/// A numbered period in which one discovery secret is in force. Of several the greatest
/// number is, and of those with the same number the greatest commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Epoch {
    /// Grows by one with each epoch.
    pub number: u64,
    /// The hash of team, number and secret.
    pub commitment: [u8; 32],
}

/// The 32 random bytes that those in good standing know, and that discovery keys come from.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct EpochSecret([u8; 32]);

impl Epoch {
    /// The epoch with this number and secret.
    pub fn new(team: &TeamId, number: u64, secret: &EpochSecret) -> Self {
        let bytes = codec::encode(&(team, number, secret));
        let commitment = blake3::derive_key(COMMITMENT_CONTEXT, &bytes);
        Self { number, commitment }
    }

    /// Whether `secret` is the one that this epoch of `team` was begun with.
    pub fn is_of(&self, team: &TeamId, secret: &EpochSecret) -> bool {
        Epoch::new(team, self.number, secret) == *self
    }
}

impl EpochSecret {
    /// The secret with these bytes, which must be random.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to keep them or to derive keys from them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochSecret(…)")
    }
}
