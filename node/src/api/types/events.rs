//! The lines of a long operation's reply: how far it is, what a person should know, its end.

use serde::{Deserialize, Serialize};

/// The item type of operations that have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Never {}

/// One line of a long operation's reply. `I` is what it lists or hands over on the way, `D`
/// what it says at its end. The last line is `Done` or `Error`; a reply that ends without
/// either was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event<D, I = Never> {
    /// How far it is; sent a few times a second, each replacing the one before.
    Progress(Progress),
    /// Something a person should know.
    Note(Note),
    /// One result of several, or the result before the operation has ended.
    Item(I),
    /// The end, successful.
    Done(D),
    /// The end, failed. [`crate::api::Events`] hands it on as an `Err`.
    Error(crate::api::ApiError),
}

/// What an operation is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Begun, nothing to count yet.
    #[default]
    Starting,
    /// Reading and cutting local files.
    Adding,
    /// Looking for or reaching a source.
    Connecting,
    /// Reading the manifest, comparing with DEST, checking room.
    Planning,
    /// Bytes are coming in.
    Transferring,
    /// Everything is here; renaming, writing the index, syncing if asked.
    Finishing,
    /// Hashing what is held.
    Verifying,
    /// Answering others.
    Serving,
}

/// How far an operation is. Rates and the time left are the viewer's to compute.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// What it is busy with.
    pub phase: Phase,
    /// Artifact bytes done in this phase: read, or whole and verified at their destination.
    pub bytes_done: u64,
    /// Artifact bytes in all, once known.
    pub bytes_total: Option<u64>,
    /// Of `bytes_done`, those that came from this disk, not the wire: kept from an earlier
    /// attempt or found in another artifact.
    pub bytes_reused: u64,
    /// Files done.
    pub files_done: u64,
    /// Files in all, once known.
    pub files_total: Option<u64>,
    /// Socket bytes received, everything included.
    pub wire_in: u64,
    /// Socket bytes sent, everything included.
    pub wire_out: u64,
    /// Peers connected for this operation.
    pub peers: u32,
    /// Why nothing moves, when nothing does: "waiting for 192.168.1.7:4747".
    pub waiting_for: Option<String>,
    /// Bytes that an earlier, interrupted attempt had left.
    pub resumed_at: Option<u64>,
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is less than what was asked for.
    Warning,
}

/// Something a person should know about an operation that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// How much it matters.
    pub level: Level,
    /// One sentence, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}
