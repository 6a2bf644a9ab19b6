//! What the index knows about chunks, files and snapshots.
//!
//! Owns: the typed rows. Refuses: their bytes on disk ([`super::compact`]) and the tables
//! they stand in.

use std::ops::Range;

use bincode::{Decode, Encode};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::Content;
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::Snapshot;

use crate::disk::FileIdentity;
use crate::index::AbsolutePath;

/// Whom a snapshot was received from or added for: a short name for a peer's key, in this
/// store. It limits what may be offered on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct AudienceId(pub u32);

impl AudienceId {
    /// What this node's own user added.
    pub const SELF: Self = Self(0);
}

/// A short name for an absolute directory beneath which files are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RootId(pub u32);

impl RootId {
    /// The store's own directory: owned files stand beneath it, wherever it is moved.
    pub const HOME: Self = Self(0);
}

/// A short name for one state of one file. A file that changed gets a new id, and every
/// extent in its old state is gone with the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// A place in a pack: where a record's bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackSpot {
    /// The pack's number.
    pub pack: u32,
    /// Offset of the bytes (behind the record's header).
    pub offset: u64,
}

/// Where the bytes of a chunk lie on this disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// In a pack.
    Pack(PackSpot),
    /// In a file that stands on its own: [`FileRow::class`] says whose it is.
    File {
        /// Which state of which file.
        file: FileId,
        /// Offset in it.
        offset: u64,
    },
}

/// What is known of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRow {
    /// Length in bytes.
    pub length: u32,
    /// For whom it was added or received, ascending.
    pub audiences: Vec<AudienceId>,
    /// Where it lies, the best place first: packs before files.
    pub extents: Vec<Extent>,
}

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileClass {
    /// The store's own: nobody else writes to it, and it counts as a copy.
    Owned,
    /// The user's: it may change or go at any time, and never counts as a copy.
    External,
}

/// How far the bytes of a file can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileState {
    /// Read and hashed, and safe on the medium (a power cut leaves them as they are).
    Trusted,
    /// Hashed, but not yet known to be on the medium. [`Store::sync_unsynced`] makes it
    /// trusted; a restart of the machine before that makes it suspect.
    ///
    /// [`Store::sync_unsynced`]: crate::Store::sync_unsynced
    Unsynced,
    /// Unsynced when the machine stopped: must be hashed before anything relies on it.
    Suspect,
}

/// What is known of a file that holds chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its short name.
    pub id: FileId,
    /// The directory that `path` starts from.
    pub root: RootId,
    /// Where it stands beneath the root.
    pub path: ManifestPath,
    /// Which state of the file was hashed.
    pub identity: FileIdentity,
    /// What it held.
    pub content: Content,
    /// Whose it is.
    pub class: FileClass,
    /// How far its bytes can be believed.
    pub state: FileState,
    /// Whether the identity was already old when the bytes were read, so that a later
    /// change cannot hide in the same clock tick
    /// ([`FileIdentity::is_settled`]). Bytes of an unsettled file are always hashed.
    pub settled: bool,
}

/// Which positions of a snapshot are meant.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Coverage {
    /// All of them.
    Complete,
    /// These: ascending, disjoint, not touching.
    Ranges(Vec<Range<u64>>),
}

/// How a snapshot came to be here.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Origin {
    /// Added from a path of this machine.
    Added {
        /// The absolute path.
        path: AbsolutePath,
        /// Whether the files at the path are the storage.
        in_place: bool,
    },
    /// Received from peers.
    Received {
        /// The absolute path that it was written to.
        dest: AbsolutePath,
    },
}

/// What is known of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotRow {
    /// The snapshot itself.
    pub snapshot: Snapshot,
    /// Whether it is kept until someone removes it (`add`, a pin), or only as long as its
    /// files stand.
    pub kept: bool,
    /// Whom it was received from or added for.
    pub audience: AudienceId,
    /// How it came here.
    pub origin: Origin,
    /// When, in seconds since the epoch.
    pub at_unix_s: u64,
    /// Which positions are on this disk.
    pub held: Coverage,
    /// Which positions may be offered to others.
    pub offered: Coverage,
}

impl SnapshotRow {
    /// The id of the snapshot.
    pub fn id(&self) -> SnapshotId {
        self.snapshot.id()
    }
}

/// A snapshot that is being written to a destination.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ReceiveRow {
    /// Where it is written to: absolute.
    pub dest: AbsolutePath,
    /// What is written.
    pub snapshot: SnapshotId,
    /// Under whose grant it is received.
    pub audience: AudienceId,
    /// Which part of it; everything if nothing is named.
    pub inside: Option<ManifestPath>,
    /// When it began, in seconds since the epoch.
    pub at_unix_s: u64,
    /// What the receiving code wants to find again.
    pub state: Vec<u8>,
}

/// What shoal last wrote to a destination.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DestinationRow {
    /// Where: absolute.
    pub dest: AbsolutePath,
    /// What was written.
    pub snapshot: SnapshotId,
    /// Which part of it; everything if nothing is named.
    pub inside: Option<ManifestPath>,
    /// When, in seconds since the epoch.
    pub at_unix_s: u64,
}
