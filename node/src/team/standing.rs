//! What this node and others are to the team, and what this node may be to another.
//!
//! Owns: who is in, how a membership ended, and whether that lets the home go elsewhere.
//! Refuses: to change anything.

use shoal_protocol::access::team::Standing;
use shoal_protocol::peer::PeerKey;

use super::book::{State, TeamBook, TeamError};

/// How a node's membership came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It said so itself. For good.
    Left,
    /// Somebody else said so. For good.
    Revoked,
    /// It was let in for a time, which is over; it may be let in again.
    Expired,
}

pub(super) fn in_words(team: &str, how: Ended) -> String {
    match how {
        Ended::Left => format!("this node left team {team}"),
        Ended::Revoked => format!("this node was revoked in team {team}"),
        Ended::Expired => format!("this node was in team {team} for a time, which is over"),
    }
}

impl State {
    pub(super) fn is_member(&self, node: &PeerKey, now_unix_s: u64) -> bool {
        let standing = self.team.standing(node, now_unix_s);
        matches!(standing, Standing::Member | Standing::Admin)
    }

    /// Whether it is one only since clocks may be apart: it may be let in anew.
    pub(super) fn is_nearly_over(&self, node: &PeerKey, now_unix_s: u64) -> bool {
        let end = self.team.stays_until(node);
        self.team.standing(node, now_unix_s) == Standing::Member
            && end.is_some_and(|end| end < now_unix_s)
    }

    /// How the membership of `node` ended, if it did.
    pub(super) fn ended(&self, node: &PeerKey, now_unix_s: u64) -> Option<Ended> {
        match self.team.standing(node, now_unix_s) {
            Standing::Member | Standing::Admin => None,
            Standing::Revoked if self.team.revoked_by(node) == Some(*node) => Some(Ended::Left),
            Standing::Revoked => Some(Ended::Revoked),
            Standing::Stranger => Some(Ended::Expired),
        }
    }

    pub(super) fn check_admin(&self, me: &PeerKey, now_unix_s: u64) -> Result<(), TeamError> {
        match (
            self.team.standing(me, now_unix_s),
            self.ended(me, now_unix_s),
        ) {
            (Standing::Admin, _) => Ok(()),
            (_, Some(ended)) => Err(TeamError::Ended(self.name.to_string(), ended)),
            _ => Err(TeamError::NotAdmin),
        }
    }

    /// Whether `me` may become a member of the team of `root` now, being what it is to this one.
    pub(super) fn lets_go(
        &self,
        me: &PeerKey,
        root: &PeerKey,
        now_unix_s: u64,
    ) -> Result<(), TeamError> {
        let (name, is_same) = (self.name.to_string(), self.team.root() == *root);
        match self.ended(me, now_unix_s) {
            None if is_same && self.is_nearly_over(me, now_unix_s) => Ok(()),
            None => Err(TeamError::Another(name)),
            Some(Ended::Expired) => Ok(()),
            // That others may not have heard of it takes nothing back.
            Some(ended) if is_same => Err(TeamError::Ended(name, ended)),
            Some(Ended::Left | Ended::Revoked) => Ok(()),
        }
    }
}

impl TeamBook {
    /// Whether this node is a member in good standing.
    pub(crate) fn is_in(&self) -> bool {
        self.is_member(&self.me())
    }

    /// An error unless it is.
    pub(crate) fn check_in(&self) -> Result<(), TeamError> {
        let (me, now) = (self.me(), self.now_unix_s());
        let ended = self.read(|state| {
            let ended = state.ended(&me, now)?;
            Some(TeamError::Ended(state.name.to_string(), ended))
        });
        match ended {
            None => Err(TeamError::None),
            Some(None) => Ok(()),
            Some(Some(ended)) => Err(ended),
        }
    }

    /// Waits until it is a member no more. Gives why.
    pub(crate) async fn out(&self) -> TeamError {
        let mut changes = self.changes();
        loop {
            if let Err(out) = self.check_in() {
                return out;
            }
            if changes.changed().await.is_err() {
                // The book is here.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether it may be let into the team of `root`.
    pub(super) fn may_enter(&self, root: &PeerKey) -> Result<(), TeamError> {
        let (me, now) = (self.me(), self.now_unix_s());
        let lets_go = self.read(|state| state.lets_go(&me, root, now));
        lets_go.unwrap_or(Ok(()))
    }

    /// Whether anybody else is a member in good standing.
    pub(crate) fn has_others(&self) -> bool {
        let (me, members) = (self.me(), self.members());
        let mut others = members.iter().filter(|member| member.node != me);
        others.any(|member| self.is_member(&member.node))
    }

    /// Whether without it nobody could let in or revoke others, of whom there are some.
    pub(crate) fn is_last_admin(&self) -> bool {
        let (me, now) = (self.me(), self.now_unix_s());
        let is_last = self.read(|state| {
            let members = state.team.members().into_iter();
            let others = members.filter(|member| member.node != me);
            let others: Vec<_> = others
                .map(|member| state.team.standing(&member.node, now))
                .collect();
            state.team.standing(&me, now) == Standing::Admin
                && others.contains(&Standing::Member)
                && !others.contains(&Standing::Admin)
        });
        is_last.unwrap_or(false)
    }

    /// Whether `node` is a member in good standing.
    pub(crate) fn is_member(&self, node: &PeerKey) -> bool {
        let now = self.now_unix_s();
        self.read(|state| state.is_member(node, now))
            .unwrap_or(false)
    }
}
