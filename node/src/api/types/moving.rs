//! `add`, `share` and `get`: what is asked for, and what was done.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shoal_protocol::id::SnapshotId;

use super::{What, text};

/// `add PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// What to add; relative to `cwd`.
    pub path: PathBuf,
    /// Where relative paths start.
    pub cwd: PathBuf,
    /// `group/name` to record a version under.
    pub name: Option<String>,
    /// What the version says about itself.
    pub message: Option<String>,
    /// Use the files where they are instead of keeping copies.
    pub in_place: bool,
    /// Leave nothing out: neither `.git` nor what ignore files name.
    pub all: bool,
    /// Keep it from the team that the node is in.
    pub private: bool,
}

/// What `add` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The snapshot.
    #[serde(with = "text")]
    pub snapshot: SnapshotId,
    /// `group/name@1f3a9c` of the version recorded, if a name was given.
    pub version: Option<String>,
    /// Files, symlinks and empty directories.
    pub entries: u64,
    /// Sum of the file sizes.
    pub bytes: u64,
    /// Of these, bytes that this store did not hold before.
    pub bytes_new: u64,
    /// Paths that ignore rules left out; the first few, and their number.
    pub left_out: Vec<String>,
    /// Number of paths left out.
    pub left_out_count: u64,
}

/// `share WHAT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareRequest {
    /// A path (added in place first), an id or a name.
    pub what: What,
    /// How long the ticket is good for, in seconds; the configured time if not said.
    pub expires_s: Option<u64>,
    /// The only node that may use the ticket, by its PeerId.
    pub to: Option<String>,
    /// As in [`AddRequest::all`], for a path.
    pub all: bool,
}

/// What `share` hands over as its item, as soon as the ticket is good.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The ticket: one line, a secret unless it is bound to a node.
    pub ticket: String,
    /// What it lets its holder read.
    #[serde(with = "text")]
    pub snapshot: SnapshotId,
    /// Files, symlinks and empty directories.
    pub entries: u64,
    /// Sum of the file sizes.
    pub bytes: u64,
    /// When the ticket ends, in Unix seconds.
    pub expires_unix_s: Option<u64>,
    /// Where the ticket says we can be reached.
    pub addresses: Vec<String>,
    /// Whether a running node serves it on after this reply ends. If not, it is served for
    /// as long as the caller keeps reading the reply.
    pub by_daemon: bool,
}

/// Tickets are secrets, and debug output ends up in logs.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("snapshot", &self.snapshot)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// `get WHAT [DEST]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetRequest {
    /// A ticket, an id or a name.
    pub what: What,
    /// Where it goes, relative to `what.cwd`; `./<its name>` if not said.
    pub dest: Option<PathBuf>,
    /// Replace files that the user edited or that shoal never wrote.
    pub force: bool,
    /// Do not say done before everything is synced to disk.
    pub sync: bool,
    /// Seconds without progress after which to give up; never if not said.
    pub timeout_s: Option<u64>,
    /// Seconds to serve on to others after it is whole.
    pub linger_s: Option<u64>,
    /// The most bytes a second that this get receives; no limit if not said.
    pub down_max: Option<u64>,
}

/// What `get` hands over as its item, when everything is at its place and verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Got {
    /// What was got.
    #[serde(with = "text")]
    pub snapshot: SnapshotId,
    /// Where it is: the folder or the file.
    pub dest: PathBuf,
    /// Files, symlinks and empty directories.
    pub entries: u64,
    /// Sum of the file sizes.
    pub bytes: u64,
    /// Bytes that came from this disk, earlier attempts included.
    pub bytes_reused: u64,
    /// Entries written or replaced; 0 if everything was there already.
    pub files_written: u64,
    /// Files that this version has no more, and that were removed.
    pub files_removed: u64,
    /// Socket bytes received: what moved.
    pub wire_in: u64,
    /// Socket bytes sent.
    pub wire_out: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// How serving ended, after `share` or `get --linger`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Served {
    /// Socket bytes sent for this snapshot since the operation began.
    pub wire_out: u64,
}
