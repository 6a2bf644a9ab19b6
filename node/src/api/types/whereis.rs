//! Who has something.

use serde::{Deserialize, Serialize};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;

use super::{What, text};

/// Asks who has something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhereisRequest {
    /// A snapshot, an artifact or a path in one, or a chunk.
    pub what: What,
}

/// Who has it, as far as was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereis {
    /// What was looked for, by its id.
    pub id: String,
    /// The snapshot, if it is one.
    pub snapshot: Option<SnapshotText>,
    /// How many bytes it has, if anybody said.
    pub bytes: Option<u64>,
    /// Who has it: this node first, then those who have most.
    pub holders: Vec<Holder>,
    /// Members, by name, who were asked who has it and did not answer in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
}

/// A snapshot id in its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotText(#[serde(with = "text")] pub SnapshotId);

/// Somebody who has something, or is said to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its PeerId.
    #[serde(with = "text")]
    pub peer: PeerKey,
    /// What it is called in the team.
    pub name: Option<String>,
    /// Whether it is this node.
    pub is_me: bool,
    /// Where it was reached, or is said to be.
    pub address: Option<String>,
    /// How many bytes it offers; nothing if it was not reached, or was not asked.
    pub bytes: Option<u64>,
    /// Why it was not reached, if it was asked and did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How it was found: `here`, `told` (it told this node itself), or `dht`.
    pub found: String,
    /// How many seconds ago it said so.
    pub age_s: u32,
}
