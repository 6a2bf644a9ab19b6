//! Who may read what: the question that a connection asks the node.
//!
//! Owns: the question. Refuses: the answer, which is in the node's table of grants.

use std::sync::Arc;

use shoal_protocol::access::SignedGrant;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use tokio_util::sync::CancellationToken;

use super::traffic::Traffic;

/// Knows whose grants are honoured here, and for what.
pub trait Admission: Send + Sync + 'static {
    /// What `grant` lets `client` read here; nothing if it is not honoured, or if what it
    /// covers is not here: the client is told the same in both cases. Signature, time,
    /// right to read and the holder's proof were checked before. Called on an async thread:
    /// a lookup in memory, no disk.
    fn admit(&self, grant: &SignedGrant, client: PeerKey) -> Option<Allowed>;

    /// Whether this node knows a grant that it does not honour as good: it made it, or used it,
    /// and does not share what it is for at the moment. Whoever comes before a node that has
    /// just started has said what it shares is not to give up.
    fn remembers(&self, grant: &SignedGrant) -> bool {
        let _ = grant;
        false
    }

    /// The same as [`Self::admit`] for a grant that a member of this node's team gave itself: it says what the
    /// member wants to read, and its membership says whether it may, until `revoked`. One row
    /// of the index may be read.
    fn admit_member(&self, grant: &SignedGrant, revoked: &CancellationToken) -> Option<Allowed> {
        let _ = (grant, revoked);
        None
    }
}

/// What an honoured grant opens.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// The record of the snapshot. What of it is offered stands in the store.
    pub snapshot: Snapshot,
    /// Cancelled when the grant ends before its time; its sessions end on sight.
    pub revoked: CancellationToken,
    /// Counts the payload that is sent for this share.
    pub traffic: Arc<Traffic>,
}
