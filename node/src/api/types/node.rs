//! The node itself: who it is, what it does, whom it met, what ails it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;

use super::{Progress, StoreUsage, text};

/// How a node introduces itself to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its PeerId.
    #[serde(with = "text")]
    pub peer: PeerKey,
    /// Process id.
    pub pid: u32,
    /// Whether it runs as a daemon (`up`), or for the length of a command.
    pub daemon: bool,
    /// `shoal` version.
    pub version: String,
    /// What its users should know about how it started.
    pub notice: Option<String>,
}

/// What `status` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This node's PeerId.
    #[serde(with = "text")]
    pub peer: PeerKey,
    /// Its home.
    pub home: PathBuf,
    /// Whether it runs as a daemon (`up`), or for the length of a command.
    pub daemon: bool,
    /// Process id.
    pub pid: u32,
    /// `shoal` version.
    pub version: String,
    /// How long it has been running.
    pub uptime_s: u64,
    /// Where its data plane listens; empty if it does not.
    pub listening: Vec<String>,
    /// What the store takes.
    pub store: StoreUsage,
    /// What is being shared.
    pub shares: Vec<ShareInfo>,
    /// Operations that are running.
    pub activities: Vec<Activity>,
    /// Versions whose only bytes are in files that anybody may change, or gone.
    pub at_risk: Vec<Risk>,
    /// Peers connected now.
    pub peers_connected: u32,
    /// Socket bytes received since the node started.
    pub wire_in: u64,
    /// Socket bytes sent since the node started.
    pub wire_out: u64,
}

/// Something this node shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareInfo {
    /// What.
    #[serde(with = "text")]
    pub snapshot: SnapshotId,
    /// Its name or path, for people.
    pub name: Option<String>,
    /// When the last of its tickets ends, in Unix seconds.
    pub expires_unix_s: Option<u64>,
    /// Tickets made for it that have not ended.
    pub tickets: u32,
    /// Socket bytes sent for it since the node started.
    pub wire_out: u64,
}

/// An operation that is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// `get`, `add`, …
    pub operation: String,
    /// What it works on, for people; never a ticket.
    pub subject: String,
    /// How far it is.
    pub progress: Progress,
}

/// A version whose bytes are in danger or lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// The snapshot.
    #[serde(with = "text")]
    pub snapshot: SnapshotId,
    /// Names whose history it is in.
    pub names: Vec<String>,
    /// Bytes that are only in files that anybody may change.
    pub bytes_volatile: u64,
    /// Bytes that are nowhere on this machine.
    pub bytes_lost: u64,
    /// Peers that are known to hold it.
    pub held_by: Vec<String>,
}

/// A peer this node has met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Its PeerId.
    #[serde(with = "text")]
    pub peer: PeerKey,
    /// Where it was reached or came from.
    pub address: Option<String>,
    /// Whether it is connected now.
    pub connected: bool,
    /// Socket bytes received from it.
    pub wire_in: u64,
    /// Socket bytes sent to it.
    pub wire_out: u64,
    /// Chunks from it that were not what they claimed to be.
    pub chunks_wrong: u64,
    /// When it was last heard of, in Unix seconds.
    pub seen_unix_s: u64,
    /// What it is called in the team, if it is a member.
    pub member: Option<String>,
    /// The link that bytes travel over, or did last.
    #[serde(default)]
    pub link: Option<LinkInfo>,
    /// How the control plane reaches it now: `tcp`, `quic` or `relayed`.
    pub way: Option<String>,
    /// How long a question and its answer take there, in microseconds.
    pub rtt_us: Option<u64>,
}

/// The link with a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkInfo {
    /// What carries it: `tcp`, `quic`, `stream` or `relayed`.
    pub way: String,
    /// Why that, if this node chose.
    pub why: Option<String>,
    /// How long a packet there and back took when it was made, in microseconds.
    pub rtt_us: Option<u64>,
}

/// How a check of `doctor` came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, with a limit that may matter.
    Warning,
    /// Will not work.
    Bad,
}

/// One line of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    pub hint: Option<String>,
}
