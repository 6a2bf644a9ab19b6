//! The sessions of members, and how they end.
//!
//! Owns: the token of everybody who came in as a member, and cancelling it when he is none any
//! more: since somebody said so, or by time alone. Refuses: connections, which look at the
//! token.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use shoal_protocol::access::team::{MembershipProof, Standing};
use shoal_protocol::peer::PeerKey;
use tokio_util::sync::CancellationToken;

use super::book::{State, TeamBook};

/// How often the end of memberships is looked for at least. It finds those that are known by
/// their proofs only, and those that came when the machine's clock was set or it slept.
const LOOK_EVERY_S: u64 = 60;

/// What a member has that came in.
#[derive(Default)]
pub(super) struct Session {
    revoked: CancellationToken,
    /// That it is a member, where nothing was known here of its admission when it came.
    proof: Option<MembershipProof>,
}

/// By member.
pub(super) type Sessions = HashMap<PeerKey, Session>;

impl Session {
    /// Whether whoever has it is a member at `now_unix_s`.
    fn stays(&self, state: &State, node: &PeerKey, now_unix_s: u64) -> bool {
        match &self.proof {
            None => state.is_member(node, now_unix_s),
            Some(proof) => {
                let standing = state.team.check_proof(proof, node, now_unix_s);
                matches!(standing, Ok(Standing::Member | Standing::Admin))
            }
        }
    }
}

impl TeamBook {
    /// The token of a member that comes in, by `proof` if nothing else is known of it. Called
    /// with the state locked: nobody can say meanwhile that it is none.
    pub(super) fn open_session(
        &self,
        node: PeerKey,
        proof: Option<MembershipProof>,
    ) -> CancellationToken {
        let mut sessions = self.sessions();
        let session = sessions.entry(node).or_default();
        session.proof = proof.or(session.proof.take());
        session.revoked.clone()
    }

    /// Whether a member that came in is one now; its sessions end if it is not.
    pub(crate) fn recheck(&self, node: &PeerKey) -> bool {
        let now = self.now_unix_s();
        let stays = self.read(|state| {
            let mut sessions = self.sessions();
            let session = sessions.get(node);
            let stays = session.is_some_and(|session| session.stays(state, node, now));
            if !stays && let Some(session) = sessions.remove(node) {
                session.revoked.cancel();
            }
            stays
        });
        stays.unwrap_or(false)
    }

    /// Cancels the sessions of those who are no members. Called with the state locked.
    pub(super) fn cut_sessions(&self, state: Option<&State>) {
        let now = self.now_unix_s();
        self.sessions().retain(|node, session| {
            let stays = state.is_some_and(|state| session.stays(state, node, now));
            if !stays {
                session.revoked.cancel();
            }
            stays
        });
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        let sessions = self.session_table().lock();
        sessions.unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends sessions when memberships end by time, and tells of it as of a change of the team.
    /// Does so until it is dropped.
    pub(crate) async fn end_in_time(&self) {
        let mut changes = self.changes();
        let mut looked = self.now_unix_s();
        loop {
            let next = self.with_team(|team| team.next_end(looked)).flatten();
            let now = self.now_unix_s();
            let wait = next.map_or(LOOK_EVERY_S, |end| end.saturating_sub(now));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(wait.min(LOOK_EVERY_S))) => {}
                // The book is here, so that something is said of it.
                _ = changes.changed() => {}
            }
            let now = self.now_unix_s();
            self.read(|state| self.cut_sessions(Some(state)));
            if next.is_some_and(|end| end <= now) {
                self.tell_of_change();
            }
            looked = now;
        }
    }
}
