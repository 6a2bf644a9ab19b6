//! Members among themselves, and the guests whom they let in.
//!
//! Owns: the messages by which both ends find out that they are of one team, tell each other
//! what they know of it, and an invitation is redeemed. Refuses: to tell a stranger anything.
//! Whatever is wrong with who knocks, the answer is the same, be there a team here or not.

use bincode::{Decode, Encode};

use super::transfer::Inconsistent;
use crate::access::team::{EpochSecret, MemberName, MembershipProof, Redemption, Tag};

/// Asks to be let in as a member, without naming the team: a server of another team or of
/// none learns nothing from it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Enter {
    /// [`Tag::of_client`] over the server's nonce.
    pub tag: Tag,
    /// Only in the second attempt, after [`NotEnteredReason::Unproven`] with a right tag:
    /// it names people.
    pub proof: Option<MembershipProof>,
}

/// The client is let in; the payload is the server's [`Heads`](crate::access::team::Heads).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entered {
    /// [`Tag::of_server`] over the client's nonce. The client leaves if it is wrong.
    pub tag: Tag,
    /// That the server is a member, in case that the client has not heard of it.
    pub proof: MembershipProof,
}

/// The client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct NotEntered {
    /// Why.
    pub reason: NotEnteredReason,
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum NotEnteredReason {
    /// Not for this client: another team, none, a proof that shows nothing, or revoked.
    NotPermitted,
    /// The client's tag is right, but nothing is known here of its admission: it may come
    /// again with a proof.
    Unproven {
        /// [`Tag::of_server`] over the client's nonce, so that a proof is shown only to who
        /// knows the team.
        tag: Tag,
    },
    /// Too many peers are connected.
    Full {
        /// When to try again, in milliseconds.
        retry_ms: u32,
    },
}

/// What the sender knows of the team; the payload is its
/// [`Heads`](crate::access::team::Heads). The answer is what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct TeamHeads {}

/// Operations that the receiver lacks; the payload is a
/// [`Batch`](crate::access::team::Batch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct TeamOperations {
    /// Whether no more follow for now.
    pub last: bool,
}

/// The discovery secret of an epoch, for members in good standing. The receiver believes it
/// only if it is the one that the epoch in force was begun with.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TeamSecret {
    /// The number of the epoch.
    pub epoch: u64,
    /// Its secret.
    pub secret: EpochSecret,
}

/// A guest redeems an invitation at its minter.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Redeem {
    /// The proof that the guest has the invitation.
    pub redemption: Redemption,
    /// What the guest's node would like to be called.
    pub name: MemberName,
}

/// The guest is a member now. [`TeamOperations`] follow, then the [`TeamSecret`] if there is
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// That it is, for whoever has not heard of it yet.
    pub proof: MembershipProof,
}

/// The guest is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct NotWelcome {
    /// Why.
    pub reason: NotWelcomeReason,
}

/// Why a guest is not let in. All but the first are told only to who proved that it has an
/// invitation of this minter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum NotWelcomeReason {
    /// No such invitation here, or no proof of it.
    NotPermitted,
    /// Its time is over, by the minter's clock.
    Expired,
    /// As many came with it as it was made for.
    UsedUp,
    /// The guest's key was revoked in this team; a new home has a new key.
    Revoked,
    /// The minter cannot let anybody in: it is no admin any more, or the team's state is full.
    Unable,
}

const HEAD_BYTES: usize = 32;
/// The count of an empty batch.
const BATCH_BYTES_MIN: usize = 8;

pub(super) fn check_heads(payload_bytes: usize) -> Result<(), Inconsistent> {
    match payload_bytes % HEAD_BYTES {
        0 => Ok(()),
        _ => Err("heads that are no whole number of ids"),
    }
}

impl TeamOperations {
    pub(super) fn check(payload_bytes: usize) -> Result<(), Inconsistent> {
        match payload_bytes {
            0..BATCH_BYTES_MIN => Err("a batch without its count"),
            _ => Ok(()),
        }
    }
}
