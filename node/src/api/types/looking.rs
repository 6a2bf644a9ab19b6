//! `ls`, `cat`, `du`, `diff` and `verify`: what is asked for, and what was found.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shoal_protocol::id::SnapshotId;

use super::{What, text};

/// `ls WHAT`, or everything held if no WHAT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LsRequest {
    /// A ticket, an id or a name, with `:path/inside`.
    pub what: What,
    /// Everything beneath, not only the next level.
    pub recursive: bool,
    /// As in [`GetRequest::timeout_s`](super::GetRequest::timeout_s), where pages have to be fetched.
    pub timeout_s: Option<u64>,
}

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryType {
    /// A regular file.
    File,
    /// A regular file with its executable bit set.
    Executable,
    /// A symlink.
    Symlink,
    /// A directory; of those that hold something, one line stands for all beneath.
    Directory,
}

/// One line of `ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LsEntry {
    /// Its path in the artifact.
    pub path: String,
    /// What it is.
    pub kind: EntryType,
    /// Size of a file; of everything beneath a directory.
    pub bytes: u64,
    /// Where a symlink points.
    pub target: Option<String>,
}

/// How an `ls` ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The snapshot that was listed.
    #[serde(with = "text")]
    pub snapshot: SnapshotId,
    /// Lines listed.
    pub entries: u64,
    /// Sum of the sizes listed.
    pub bytes: u64,
}

/// A snapshot this store knows: a line of `ls` without WHAT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// Its id.
    #[serde(with = "text")]
    pub snapshot: SnapshotId,
    /// Artifact names whose head it is.
    pub names: Vec<String>,
    /// Entries.
    pub entries: u64,
    /// Sum of the file sizes.
    pub bytes: u64,
    /// Bytes of it that are held; less than `bytes` for a partial download.
    pub bytes_held: u64,
    /// Where it was added from or got to.
    pub path: Option<PathBuf>,
    /// Whether its bytes are in the user's own files only.
    pub in_place: bool,
    /// When it was added or got, in Unix seconds.
    pub at_unix_s: u64,
}

/// `cat WHAT:path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatRequest {
    /// A ticket, an id or a name, with `:path/inside` unless it is a lone file.
    pub what: What,
    /// First byte wanted.
    pub offset: u64,
    /// Bytes wanted; to the end if not said.
    pub length: Option<u64>,
    /// As in [`GetRequest::timeout_s`](super::GetRequest::timeout_s).
    pub timeout_s: Option<u64>,
}

/// `du [WHAT]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DuRequest {
    /// As in [`LsRequest::what`]; the whole store if not said.
    pub what: Option<What>,
}

/// One line of `du`: something directly beneath what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuRow {
    /// Its path in the artifact, or a snapshot id.
    pub path: String,
    /// Sum of the file sizes.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// What `du` says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Du {
    /// Lines, in path order.
    pub rows: Vec<DuRow>,
    /// Sum of the file sizes.
    pub bytes: u64,
    /// Of these, bytes that differ from each other: what is left after deduplication.
    pub bytes_distinct: u64,
    /// Entries.
    pub entries: u64,
    /// What the store itself takes on disk; only without WHAT.
    pub store: Option<StoreUsage>,
}

/// What a store takes on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreUsage {
    /// The index.
    pub index_bytes: u64,
    /// Packs: small files, pages, copies.
    pub pack_bytes: u64,
    /// Owned files (reflinked or moved aside).
    pub owned_bytes: u64,
    /// Free room on its file system.
    pub free_bytes: u64,
    /// Snapshots known.
    pub snapshots: u64,
}

/// `diff A B`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffRequest {
    /// The older side: a ticket, an id, a name, or a path, which is read but not added.
    pub a: What,
    /// The newer side.
    pub b: What,
}

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only in the newer side.
    Added,
    /// Only in the older side.
    Removed,
    /// Other bytes.
    Content,
    /// The executable bit, a symlink's target, or the kind of entry.
    Kind,
    /// The same file under another name.
    Renamed,
}

/// One line of `diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The path in the artifact.
    pub path: String,
    /// The path in the older side, where the file was renamed.
    pub path_a: Option<String>,
    /// How it differs.
    pub change: Change,
    /// Size in the older side.
    pub bytes_a: Option<u64>,
    /// Size in the newer side.
    pub bytes_b: Option<u64>,
}

/// How a `diff` ended. Code 3 if anything differs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Diffed {
    /// Paths only in the newer side.
    pub added: u64,
    /// Paths only in the older side.
    pub removed: u64,
    /// Paths in both that differ.
    pub changed: u64,
    /// Files that have another name and are the same.
    pub renamed: u64,
}

impl Diffed {
    /// Whether both sides are the same.
    pub fn is_same(&self) -> bool {
        self.added + self.removed + self.changed + self.renamed == 0
    }
}

/// `verify [WHAT] [--repair]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// An id or a name; everything held if not said.
    pub what: Option<What>,
    /// Fetch again what is damaged, from the peers it is known to come from.
    pub repair: bool,
    /// As in [`GetRequest::timeout_s`](super::GetRequest::timeout_s), for repair.
    pub timeout_s: Option<u64>,
}

/// One thing that `verify` found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The snapshot that suffers.
    pub snapshot: Option<String>,
    /// The file in it, or the file of the store.
    pub path: Option<String>,
    /// Bytes that are wrong, gone, or cannot be looked at.
    pub bytes: u64,
    /// One sentence.
    pub message: String,
    /// Whether the bytes may well be right, and cannot be looked at now.
    pub away: bool,
    /// Whether `--repair` put it right.
    pub repaired: bool,
}

/// How a `verify` ended. Code 6 if anything is damaged and not repaired.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verified {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Problems found.
    pub problems: u64,
    /// Of these, repaired.
    pub repaired: u64,
}
