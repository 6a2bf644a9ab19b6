//! One signed statement about a team.
//!
//! Owns: what is signed, its id, its place in its author's chain. Refuses: deciding what it
//! gives, which depends on all the others (`ruling`).

use bincode::{Decode, Encode};
use libp2p_identity::ed25519;

use super::action::Action;
use crate::codec::{self, CodecError};
use crate::id::{OperationId, TeamId};
use crate::peer::{PeerKey, Signature};

/// What precedes the bytes of an operation when they are signed.
pub const OPERATION_DOMAIN: &str = "shoal 1 team operation";
/// The longest operation with its signature, in bytes.
pub const OPERATION_BYTES_MAX: usize = 1024;

/// What somebody says about a team. Those of one author form a chain, so that a revocation
/// can say up to which of them counts; a copied key can make it a tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Operation {
    /// Which team.
    pub team: TeamId,
    /// Who says so, and signs.
    pub author: PeerKey,
    /// How many operations of the author come before this one.
    pub sequence: u64,
    /// The one before this one; nothing for the first.
    pub previous: Option<OperationId>,
    /// When, by the author's clock, in seconds since 1970. For people: nothing depends on it.
    pub when_unix_s: u64,
    /// What it does.
    pub action: Action,
}

/// A place in an author's chain, at which it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Cut {
    /// How many operations come before the one at the place.
    pub sequence: u64,
    /// The one at the place.
    pub operation: OperationId,
}

/// An operation and its author's signature. The team checks it when it is merged.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedOperation {
    /// What is signed.
    pub operation: Operation,
    /// By the author, under [`OPERATION_DOMAIN`].
    pub signature: Signature,
}

impl Operation {
    /// Its id; no signature is part of it.
    pub fn id(&self) -> OperationId {
        OperationId::of(&codec::encode(self))
    }

    /// Whether it is a node's own revocation.
    pub fn is_leave(&self) -> bool {
        matches!(&self.action, Action::Revoke { node, .. } if *node == self.author)
    }
}

impl SignedOperation {
    /// Signs `operation`; `author` must be the keypair of the author that it names.
    pub fn sign(operation: Operation, author: &ed25519::Keypair) -> Self {
        assert_eq!(
            operation.author,
            PeerKey::of(author),
            "signed by its author"
        );
        let signature = Signature::new(author, OPERATION_DOMAIN, &codec::encode(&operation));
        Self {
            operation,
            signature,
        }
    }

    /// The id of what is signed.
    pub fn id(&self) -> OperationId {
        self.operation.id()
    }

    /// Whether the author signed this.
    pub fn is_signed(&self) -> bool {
        let bytes = codec::encode(&self.operation);
        (self.operation.author).verifies(OPERATION_DOMAIN, &bytes, &self.signature)
    }

    /// Its bytes, at most [`OPERATION_BYTES_MAX`].
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The operation with these bytes. Its signature is not checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<_, OPERATION_BYTES_MAX>(bytes)
    }
}
