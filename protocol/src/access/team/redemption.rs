//! Redeeming an invitation at its minter.
//!
//! Owns: the guest's proof, good for one connection only, and what the minter remembers of an
//! invitation: how often and how long it is good. Refuses: a clock of its own, and letting
//! anybody in: that is an admission, which the minter signs.

use bincode::{Decode, Encode};
use libp2p_identity::ed25519;

use super::action::MemberName;
use crate::access::presentation::{Binding, Nonce};
use crate::codec::{self, CodecError};
use crate::id::TeamId;
use crate::peer::{PeerKey, Signature};

/// What precedes the bytes of a redemption's proof when they are signed.
pub const REDEMPTION_DOMAIN: &str = "shoal 1 redemption";
/// The longest record of an invitation, in bytes.
pub const INVITATION_RECORD_BYTES_MAX: usize = 256;

/// A guest's proof that it has an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Redemption {
    /// The public key of the invitation.
    pub invitation: PeerKey,
    /// By the invitation's key, under [`REDEMPTION_DOMAIN`].
    pub proof: Signature,
}

/// What is signed, in this order.
#[derive(Encode)]
struct Claim {
    team: TeamId,
    invitation: PeerKey,
    client: PeerKey,
    server: PeerKey,
    nonce: Nonce,
}

/// What a minter remembers of an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InvitationRecord {
    /// Its public key.
    pub invitation: PeerKey,
    /// What it is called in lists; also what a guest is called who gives no name.
    pub name: MemberName,
    /// How many more guests it lets in.
    pub uses_left: u32,
    /// Until when, by the minter's clock, in seconds since 1970.
    pub expires_unix_s: u64,
    /// How long the guests stay members, in seconds; nothing for no end.
    pub stay_s: Option<u64>,
}

/// Why an invitation lets nobody in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedeemError {
    /// Its time is over.
    #[error("the invitation expired {ago_s} s ago: ask for a new one")]
    Expired {
        /// Seconds since its end, by the minter's clock.
        ago_s: u64,
    },
    /// As many came with it as it was made for.
    #[error("the invitation was used as often as it may be: ask for a new one")]
    UsedUp,
}

impl Redemption {
    /// Proves on this connection that one has the invitation. The client of `binding` is the
    /// guest, its server the minter.
    pub fn new(team: &TeamId, invitation: &ed25519::Keypair, binding: &Binding) -> Self {
        let key = PeerKey::of(invitation);
        let bytes = claim_bytes(team, key, binding);
        let proof = Signature::new(invitation, REDEMPTION_DOMAIN, &bytes);
        Self {
            invitation: key,
            proof,
        }
    }

    /// Whether it was made on this connection by somebody who has the invitation. Whether the
    /// invitation is one of the minter's, the minter looks up.
    pub fn is_for(&self, team: &TeamId, binding: &Binding) -> bool {
        let bytes = claim_bytes(team, self.invitation, binding);
        (self.invitation).verifies(REDEMPTION_DOMAIN, &bytes, &self.proof)
    }
}

fn claim_bytes(team: &TeamId, invitation: PeerKey, binding: &Binding) -> Vec<u8> {
    codec::encode(&Claim {
        team: *team,
        invitation,
        client: binding.client,
        server: binding.server,
        nonce: binding.nonce,
    })
}

impl InvitationRecord {
    /// Counts one use at `now_unix_s`. The time is kept to the second: one clock alone has to
    /// do with it. Gives until when the guest is a member.
    ///
    /// A guest whose connection broke comes again; who is a member by then needs no use.
    pub fn redeem(&mut self, now_unix_s: u64) -> Result<Option<u64>, RedeemError> {
        if now_unix_s > self.expires_unix_s {
            let ago_s = now_unix_s - self.expires_unix_s;
            return Err(RedeemError::Expired { ago_s });
        }
        self.uses_left = (self.uses_left.checked_sub(1)).ok_or(RedeemError::UsedUp)?;
        Ok(self.stay_s.map(|stay_s| now_unix_s.saturating_add(stay_s)))
    }

    /// Whether it lets anybody in at `now_unix_s`; if not, it can be forgotten.
    pub const fn is_good(&self, now_unix_s: u64) -> bool {
        self.uses_left > 0 && now_unix_s <= self.expires_unix_s
    }

    /// Its bytes, as they are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The record with these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<_, INVITATION_RECORD_BYTES_MAX>(bytes)
    }
}
