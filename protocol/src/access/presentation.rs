//! The proof that a grant is one's own, good for one connection only.
//!
//! Owns: what the holder signs. Refuses: everything that was signed for another client,
//! another server, or another nonce, so that a presented grant cannot be used again.

use std::fmt;

use bincode::{Decode, Encode};
use libp2p_identity::ed25519;

use super::grant::{GrantError, SignedGrant};
use crate::codec;
use crate::id::GrantId;
use crate::peer::{PeerKey, Signature};

/// What precedes the bytes of a proof when they are signed.
pub const PRESENTATION_DOMAIN: &str = "shoal 1 presentation";

/// 32 random bytes, new for each connection, that the other side has to sign.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Nonce(pub [u8; 32]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(…)")
    }
}

/// A grant and its holder's proof for this connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Presentation {
    /// The right.
    pub grant: SignedGrant,
    /// By the holder, under [`PRESENTATION_DOMAIN`], over a [`Binding`].
    pub proof: Signature,
}

/// The connection that a proof is bound to. Both keys are those that the transport
/// authenticated, never ones that a message claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Who presents.
    pub client: PeerKey,
    /// To whom.
    pub server: PeerKey,
    /// From the server's `Hello` on this connection.
    pub nonce: Nonce,
}

/// What is signed, in this order.
#[derive(Encode)]
struct Claim {
    grant: GrantId,
    client: PeerKey,
    server: PeerKey,
    nonce: Nonce,
}

/// Why a presentation admits nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresentationError {
    /// The grant itself gives nothing.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The holder did not sign for this connection.
    #[error("the holder's proof is not for this connection")]
    Proof,
}

impl Presentation {
    /// Proves on this connection that one has the secret of the grant's holder.
    pub fn new(grant: SignedGrant, holder: &ed25519::Keypair, binding: &Binding) -> Self {
        let bytes = claim_bytes(&grant, binding);
        let proof = Signature::new(holder, PRESENTATION_DOMAIN, &bytes);
        Self { grant, proof }
    }

    /// Whether the grant holds at `now_unix_s` and its holder signed for this connection.
    pub fn check(&self, now_unix_s: u64, binding: &Binding) -> Result<(), PresentationError> {
        self.grant.check(now_unix_s)?;
        let holder = self.grant.grant.holder;
        let bytes = claim_bytes(&self.grant, binding);
        let holds = holder.verifies(PRESENTATION_DOMAIN, &bytes, &self.proof);
        holds.then_some(()).ok_or(PresentationError::Proof)
    }
}

fn claim_bytes(grant: &SignedGrant, binding: &Binding) -> Vec<u8> {
    codec::encode(&Claim {
        grant: grant.id(),
        client: binding.client,
        server: binding.server,
        nonce: binding.nonce,
    })
}
