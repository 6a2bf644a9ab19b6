//! How much of a team is kept.
//!
//! Owns: the bounds of the state, and who may fill it how far, so that whoever fills it can
//! be revoked. Refuses: to make room by forgetting: what is there stays, what is new waits.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::action::Action;
use super::keep::Operations;
use super::operation::{Operation, SignedOperation};
use crate::id::OperationId;
use crate::peer::PeerKey;

/// The most bytes of operations that are kept.
pub const TEAM_BYTES_MAX: usize = 4 << 20;
/// Of these, what only the root and revocations may fill,
pub const REVOCATIONS_ROOM_BYTES: usize = 1 << 20;
/// and of this what only the root may fill, so that whoever fills the rest can be revoked.
pub const ROOT_ROOM_BYTES: usize = 512 << 10;

/// Those of the `added` operations that do not fit beside the others. The root's are let in
/// first, then revocations, then the rest by sequence.
pub(super) fn without_room(
    root: &PeerKey,
    operations: &Operations,
    added: &BTreeSet<OperationId>,
) -> Vec<OperationId> {
    let others = operations.iter().filter(|(id, _)| !added.contains(*id));
    let mut used = others.map(|(_, signed)| length(signed)).sum::<usize>();
    let mut waiting: Vec<_> = (added.iter())
        .map(|id| {
            let signed = &operations[id];
            let room = room_for(root, &signed.operation);
            (
                Reverse(room),
                signed.operation.sequence,
                *id,
                length(signed),
            )
        })
        .collect();
    waiting.sort();
    let refused = waiting.into_iter().filter(|(room, _, _, bytes)| {
        let fits = used + bytes <= room.0;
        used += if fits { *bytes } else { 0 };
        !fits
    });
    refused.map(|(_, _, id, _)| id).collect()
}

/// Up to how many bytes the state may be filled by this operation.
fn room_for(root: &PeerKey, operation: &Operation) -> usize {
    match operation.action {
        _ if operation.author == *root => TEAM_BYTES_MAX,
        Action::Revoke { .. } => TEAM_BYTES_MAX - ROOT_ROOM_BYTES,
        _ => TEAM_BYTES_MAX - REVOCATIONS_ROOM_BYTES,
    }
}

/// How many bytes an operation has.
pub(super) fn length(signed: &SignedOperation) -> usize {
    signed.to_bytes().len()
}
