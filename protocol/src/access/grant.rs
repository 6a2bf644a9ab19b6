//! A signed right.
//!
//! Owns: what a grant says, its id, its signature, its time. Refuses: deciding whose grants
//! count (the node's), and proving that one is the holder ([`super::presentation`]'s).

use bincode::{Decode, Encode};
use libp2p_identity::ed25519;

use crate::codec;
use crate::id::{GrantId, SnapshotId};
use crate::peer::{PeerKey, Signature};

/// What precedes the bytes of a grant when they are signed.
pub const GRANT_DOMAIN: &str = "shoal 1 grant";

/// How far the clocks of two nodes may be apart, in seconds.
pub const CLOCK_TOLERANCE_S: u64 = 600;

/// Who gives whom what, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Grant {
    /// Who gives the right, and signs.
    pub issuer: PeerKey,
    /// Whose right it is: a node's key, or one made for a ticket.
    pub holder: PeerKey,
    /// What it covers.
    pub scope: Scope,
    /// What may be done with it.
    pub rights: Rights,
    /// From when on, in seconds since 1970.
    pub issued_unix_s: u64,
    /// Until when, in seconds since 1970; nothing for no end.
    pub expires_unix_s: Option<u64>,
    /// Random, so that two grants are never the same.
    pub nonce: [u8; 16],
}

/// What a grant covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Scope {
    /// One snapshot with everything beneath it.
    Snapshot(SnapshotId),
}

/// What may be done, as a set of bits. Bits that this version does not know are kept (they
/// are signed) and give nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Rights(u32);

impl Rights {
    /// To read pages and chunks.
    pub const READ: Rights = Rights(1);

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A grant and its issuer's signature. [`SignedGrant::check`] it before relying on it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedGrant {
    /// What is signed.
    pub grant: Grant,
    /// By the issuer, under [`GRANT_DOMAIN`].
    pub signature: Signature,
}

/// Why a grant gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The issuer did not sign this.
    #[error("the issuer's signature does not match the grant")]
    Signature,
    /// Its time is over.
    #[error("the grant expired {ago_s} s ago")]
    Expired {
        /// Seconds since its end, by the clock that was given.
        ago_s: u64,
    },
    /// Its time has not come, which means that a clock is wrong.
    #[error("the grant begins in {ahead_s} s: is the clock right?")]
    NotYet {
        /// Seconds until its beginning, by the clock that was given.
        ahead_s: u64,
    },
}

impl SignedGrant {
    /// Signs `grant`; `issuer` must be the keypair of the issuer that it names.
    pub fn sign(grant: Grant, issuer: &ed25519::Keypair) -> Self {
        assert_eq!(grant.issuer, PeerKey::of(issuer), "signed by its issuer");
        let signature = Signature::new(issuer, GRANT_DOMAIN, &codec::encode(&grant));
        Self { grant, signature }
    }

    /// The id of what was granted; the signature is not part of it.
    pub fn id(&self) -> GrantId {
        GrantId::of(&codec::encode(&self.grant))
    }

    /// Whether the issuer signed this grant, whatever its time.
    pub fn check_signature(&self) -> Result<(), GrantError> {
        let bytes = codec::encode(&self.grant);
        let holds = (self.grant.issuer).verifies(GRANT_DOMAIN, &bytes, &self.signature);
        holds.then_some(()).ok_or(GrantError::Signature)
    }

    /// Whether it holds at `now_unix_s`, give or take [`CLOCK_TOLERANCE_S`].
    pub fn check(&self, now_unix_s: u64) -> Result<(), GrantError> {
        self.check_signature()?;
        if let Some(end) = self.grant.expires_unix_s
            && now_unix_s > end.saturating_add(CLOCK_TOLERANCE_S)
        {
            let ago_s = now_unix_s - end;
            return Err(GrantError::Expired { ago_s });
        }
        if self.grant.issued_unix_s > now_unix_s.saturating_add(CLOCK_TOLERANCE_S) {
            let ahead_s = self.grant.issued_unix_s - now_unix_s;
            return Err(GrantError::NotYet { ahead_s });
        }
        Ok(())
    }
}
