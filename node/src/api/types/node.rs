//! The node itself: who it is, what it does, whom it met, what ails it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;

use super::{Progress, StoreUsage, TeamRole, text};

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
    /// The team that it is or was in; nothing for none.
    #[serde(default)]
    pub team: Option<TeamStatus>,
    /// What goes over the control plane; nothing for a node that is in no team.
    #[serde(default)]
    pub control: Option<ControlStatus>,
    /// How far advertising is; nothing for a node that is in no team.
    #[serde(default)]
    pub advertising: Option<AdvertStatus>,
}

/// A node and its team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamStatus {
    /// What the team is called.
    pub name: String,
    /// What the node is to it.
    pub role: TeamRole,
}

/// What went over the control plane since the node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// Bytes received, without what TLS and headers take.
    pub bytes_in: u64,
    /// Bytes sent, without what TLS and headers take.
    pub bytes_out: u64,
    /// Requests of members.
    pub requests_in: u64,
    /// Requests to members.
    pub requests_out: u64,
    /// Questions of others' lookups in the DHT.
    pub dht_requests_in: u64,
    /// Questions of this node's lookups in the DHT.
    pub dht_requests_out: u64,
}

/// How far advertising is, and what it has done since the node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertStatus {
    /// Keys of what is here, when the sweep began; nothing before the first. Snapshots and
    /// files of 16 MiB and more come on top.
    pub keys: Option<u64>,
    /// About so many of them are advertised, the lowest: what `advert_keys_max` and the room in
    /// the network allow.
    pub keys_listed: Option<u64>,
    /// For how many keys of this node the others have room, as far as they told.
    pub keys_room: Option<u64>,
    /// How much of the sweep is done, in thousandths; 1000 between two sweeps.
    pub done_permille: u32,
    /// How long ago it began, or the last one between two.
    pub began_ago_s: u64,
    /// How long the last one took.
    pub took_ms: Option<u64>,
    /// When the next begins, from now; nothing while one is under way.
    pub next_in_s: Option<u64>,
    /// From the beginning of one to that of the next: the half-life of members, within bounds.
    pub interval_s: u64,
    /// Sweeps that came to their end.
    pub sweeps: u64,
    /// Lookups in the DHT.
    pub lookups: u64,
    /// Batches sent.
    pub batches: u64,
    /// Keys in them: each counts once a copy.
    pub keys_sent: u64,
    /// Keys that others did not take.
    pub keys_refused: u64,
    /// Keys that could not be sent, left to the next sweep.
    pub keys_given_up: u64,
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
