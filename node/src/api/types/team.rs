//! What is said about the team.

use serde::{Deserialize, Serialize};
use shoal_protocol::id::TeamId;
use shoal_protocol::peer::PeerKey;

use super::text;

/// What a node is to its team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamRole {
    /// May admit and revoke others.
    Admin,
    /// In.
    Member,
    /// Was in, until its time was over.
    Expired,
    /// Was in, until somebody revoked it.
    Revoked,
    /// Was in, until it left.
    Left,
}

/// The team of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamInfo {
    /// Its id.
    #[serde(with = "text")]
    pub id: TeamId,
    /// What it is called.
    pub name: String,
    /// What this node is to it.
    pub role: TeamRole,
    /// Why this node is in it no more, in words, if that is so.
    pub ended: Option<String>,
    /// How many of the others heard that this node left, if it just did.
    pub told: Option<usize>,
    /// Everybody who was ever let in: those who are in first, then by name.
    pub members: Vec<MemberInfo>,
}

/// One of a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Its PeerId.
    #[serde(with = "text")]
    pub node: PeerKey,
    /// What it is called.
    pub name: String,
    /// What it is to the team.
    pub role: TeamRole,
    /// Whether it is this node.
    pub is_me: bool,
    /// Since when, by the clock of who let it in, in Unix seconds.
    pub since_unix_s: u64,
    /// Until when; nothing for no end.
    pub expires_unix_s: Option<u64>,
    /// Who let it in, by name or PeerId.
    pub admitted_by: String,
}

/// Founds a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamCreateRequest {
    /// What it is called.
    pub name: String,
    /// What this node is called in it.
    pub my_name: String,
}

/// A team that was founded.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamCreated {
    /// Its id.
    #[serde(with = "text")]
    pub id: TeamId,
    /// The secret root key, as text: kept nowhere but where the asker puts it.
    pub root_key: String,
}

/// Without the key.
impl std::fmt::Debug for TeamCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TeamCreated")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Makes an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRequest {
    /// How long it is good for, in seconds.
    pub expires_s: u64,
    /// How many may come with it.
    pub uses: u32,
    /// How long they stay members, in seconds; for ever if not said.
    pub stay_s: Option<u64>,
    /// What a guest is called who says no name.
    pub name: String,
}

/// An invitation that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// The line to paste: a secret.
    pub invitation: String,
    /// Until when it is good, in Unix seconds.
    pub expires_unix_s: u64,
    /// How many may come with it.
    pub uses: u32,
}

/// Without the secret.
impl std::fmt::Debug for Invited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invited")
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}

/// Redeems an invitation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The invitation.
    pub invitation: String,
    /// What this node is to be called; what the invitation says if nothing is said.
    pub my_name: Option<String>,
}

/// Without the secret.
impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest").finish_non_exhaustive()
    }
}

/// Ends a membership, or makes a member an admin.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRequest {
    /// Who: a member's name or PeerId, or the beginning of the latter; this node if nothing is
    /// said.
    pub node: Option<String>,
    /// Whether this node's own membership may end although nobody else can let others in.
    #[serde(default)]
    pub force: bool,
    /// The secret root key, as text, where it is needed.
    pub root_key: Option<String>,
}

/// Without the key.
impl std::fmt::Debug for MemberRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberRequest")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
