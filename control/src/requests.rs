//! What the control plane asks of the node: who is a member, and what to answer.
//!
//! Owns: the questions. Refuses: the answers.

use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p::PeerId;

use super::names::Protocol;

/// Knows who belongs to the team.
pub trait Membership: Send + Sync + 'static {
    /// Whether `peer` is a member now. Asked for every connection and request, on the task of
    /// the swarm: a lookup in memory. When an answer changes, say so with
    /// [`super::ControlHandle::membership_changed`].
    fn is_member(&self, peer: &PeerId) -> bool;
}

/// Answers the requests of others.
pub trait Requests: Send + Sync + 'static {
    /// The answer to `request`, within [`super::Limits::request`]: then it is dropped and the
    /// peer is told to come back. The request is within the protocol's bound; the answer must
    /// be. Only [`Protocol::Admit`] comes from strangers too; there, `Ok` lets the peer stay
    /// long enough to read the answer, whatever it says.
    fn handle(
        &self,
        peer: PeerId,
        protocol: Protocol,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>>;
}

/// Why there is no answer. The peer is told this much and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be answered for this peer, now or later.
    #[error("refused")]
    Refused,
    /// Too much is going on; come back later.
    #[error("busy")]
    Busy,
}
