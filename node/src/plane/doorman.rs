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

    fn remembers(&self, grant: &SignedGrant) -> bool {
        self.shares.remembers(grant)
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

#[cfg(test)]
mod tests {
    use shoal_protocol::access::team::TeamName;
    use shoal_protocol::access::{Grant, Rights};
    use shoal_protocol::id::SnapshotId;
    use shoal_store::StoreOptions;
    use shoal_store::disk::real::RealDisk;
    use shoal_store::ingest::{AddMode, AddRequest};
    use shoal_store::progress::Silent;

    use super::*;
    use crate::identity::Identity;

    #[test]
    fn a_member_reads_what_came_for_the_team_and_is_told_of_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().join("home");
        std::fs::create_dir(&home).expect("a new directory");
        let (alice, member) = (Identity::generate(), Identity::generate());
        let team = TeamBook::load(&home, &alice).expect("a new home");
        let name = TeamName::cut("lab");
        team.create(name.clone(), name).expect("a new team");
        let store = Store::open(RealDisk::shared(), &home, StoreOptions::default());
        let store = store.expect("a new store");
        let add = |name: &str, audience| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).expect("a new file");
            let request = AddRequest {
                path,
                all: true,
                mode: AddMode::InPlace,
                kept: true,
                audience,
            };
            store.add(&request, &Silent).expect("it is there").snapshot
        };
        let shared = add("shared", team.root());
        let private = add("private", None);
        let doorman = Doorman {
            shares: Arc::new(Shares::load(&store, team.me(), false).expect("none yet")),
            team,
            store,
        };
        let is_let_in = |snapshot: SnapshotId| {
            let me = member.peer_key();
            let grant = Grant {
                issuer: me,
                holder: me,
                scope: Scope::Snapshot(snapshot),
                rights: Rights::READ,
                issued_unix_s: 0,
                expires_unix_s: None,
                nonce: [0; 16],
            };
            let grant = SignedGrant::sign(grant, member.keypair());
            let revoked = CancellationToken::new();
            doorman.admit_member(&grant, &revoked).is_some()
        };
        assert!(is_let_in(shared));
        assert!(!is_let_in(private));
        assert!(!is_let_in(SnapshotId::of(b"nobody has this")));
    }
}
