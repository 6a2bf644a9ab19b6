//! What is said over the local socket: requests, replies, and the events of long operations.
//!
//! Owns: their shape in JSON. Ids travel in their text form. Paths in requests are absolute
//! or are resolved against the `cwd` that comes with them, because a node's working
//! directory is not its client's.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;

/// Serialises a value by its text form.
pub(crate) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// What a command names: a ticket, an id (a unique prefix is enough), an artifact name or a
/// path, as it was typed, with the directory it was typed in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct What {
    /// The text. Words that could be a path or a name are names; `./x` is always a path.
    pub text: String,
    /// Where relative paths start; absolute.
    pub cwd: PathBuf,
}

impl What {
    /// What `text` names when typed in this process's working directory.
    pub fn here(text: impl Into<String>) -> std::io::Result<Self> {
        Ok(Self {
            text: text.into(),
            cwd: std::env::current_dir()?,
        })
    }

    /// Whether the text looks like a ticket, which is a secret.
    pub fn is_ticket(&self) -> bool {
        self.text.trim_start().starts_with("shoal1")
    }
}

/// Tickets are secrets, and debug output ends up in logs.
impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_ticket() {
            "(a ticket)"
        } else {
            &self.text
        })
    }
}

// ---- events -------------------------------------------------------------------------

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

// ---- add, share, get ----------------------------------------------------------------

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
    /// Files written or replaced; 0 if everything was there already.
    pub files_written: u64,
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

// ---- looking ------------------------------------------------------------------------

/// `ls WHAT`, or everything held if no WHAT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LsRequest {
    /// A ticket, an id or a name, with `:path/inside`.
    pub what: What,
    /// Everything beneath, not only the next level.
    pub recursive: bool,
    /// As in [`GetRequest::timeout_s`], where pages have to be fetched.
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
    /// As in [`GetRequest::timeout_s`].
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// One line of `diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The path in the artifact.
    pub path: String,
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
}

impl Diffed {
    /// Whether both sides are the same.
    pub fn is_same(&self) -> bool {
        self.added + self.removed + self.changed == 0
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
    /// As in [`GetRequest::timeout_s`], for repair.
    pub timeout_s: Option<u64>,
}

/// One thing that `verify` found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The snapshot that suffers.
    pub snapshot: Option<String>,
    /// The file in it, or the file of the store.
    pub path: Option<String>,
    /// Bytes that are wrong or gone.
    pub bytes: u64,
    /// One sentence.
    pub message: String,
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

// ---- the node -----------------------------------------------------------------------

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
