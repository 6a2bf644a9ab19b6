//! Answers who may read what here, for ticket holders and for members of the team.
//!
//! Owns: the rule that a member may read what was added for the team or came by its leave.
//! Refuses: tickets, which the shares know all about.

use std::sync::Arc;

use shoal_protocol::access::{Scope, SignedGrant};
use shoal_protocol::peer::PeerKey;
use shoal_store::Store;
use tokio_util::sync::CancellationToken;

use crate::data::{Admission, Allowed, Traffic};
use crate::shares::Shares;
use crate::team::TeamBook;

/// See the top of this file.
pub(super) struct Doorman {
    pub(super) shares: Arc<Shares>,
    pub(super) team: TeamBook,
    pub(super) store: Store,
}

impl Admission for Doorman {
    fn admit(&self, grant: &SignedGrant, client: PeerKey) -> Option<Allowed> {
        self.shares.admit(grant, client)
    }

    fn admit_member(&self, grant: &SignedGrant, revoked: &CancellationToken) -> Option<Allowed> {
        let Scope::Snapshot(id) = grant.grant.scope;
        let view = self.store.view();
        let row = view.snapshot(&id).ok()??;
        let team = self.team.root()?;
        (view.audience_peer(row.audience) == Some(team)).then(|| Allowed {
            snapshot: row.snapshot,
            revoked: revoked.clone(),
            traffic: Traffic::new(),
        })
    }
}
