//! Who belongs together: what one root key signs, and what follows from it.
//!
//! Owns: signed operations and how they merge, the standing of nodes, proofs of membership,
//! invitations. Refuses: clocks, disks and sessions; and order, since two admins who work
//! apart must come to the same when they meet (docs/decisions/0007-team-operations.md).
//!
//! It reads from the statement to the state: `action` and `operation` are what is signed;
//! `keep` and `room` say which operations are kept, `ruling` what they give; `state` is the [`Team`],
//! `sync` brings two of them together, `proof` and `door` let a member in, `invitation` and
//! `redemption` a guest.

mod action;
mod door;
mod epoch;
mod invitation;
mod keep;
mod operation;
mod proof;
mod redemption;
mod room;
mod ruling;
mod state;
mod sync;

#[cfg(test)]
mod tests;

pub use action::{
    ACTION_BYTES_MAX, Action, MEMBER_NAME_BYTES_MAX, MemberName, UnknownAction, UnknownActionError,
};
pub use door::Tag;
pub use epoch::{Epoch, EpochSecret};
pub use invitation::{
    INVITATION_ADDRESSES_MAX, INVITATION_CHARS_MAX, Invitation, InvitationError, InvitationSecret,
    TeamName, is_meant_as_invitation,
};
pub use keep::{MEMBER_LEAVES_MAX, MEMBER_OPERATIONS_MAX, Reason};
pub use operation::{Cut, OPERATION_BYTES_MAX, OPERATION_DOMAIN, Operation, SignedOperation};
pub use proof::{MembershipProof, PROOF_OPERATIONS_MAX, ProofError};
pub use redemption::{
    INVITATION_RECORD_BYTES_MAX, InvitationRecord, REDEMPTION_DOMAIN, RedeemError, Redemption,
};
pub use room::{REVOCATIONS_ROOM_BYTES, ROOT_ROOM_BYTES, TEAM_BYTES_MAX};
pub use ruling::Standing;
pub use state::{Member, Merged, Team};
pub use sync::{BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX, Batch, HEADS_MAX, Heads, HeadsError};
