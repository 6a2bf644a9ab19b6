//! What a batch has collected, before it is written to the tables.
//!
//! Owns: merging several statements about one row. Refuses: locks and disks.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use shoal_protocol::id::{ChunkId, GrantId, PageId, SnapshotId, VersionId};

use super::{
    AbsolutePath, AudienceId, ChunkRow, DestinationRow, Extent, FileId, FileRow, PackSpot,
    ReceiveRow, SnapshotRow,
};

/// Changes to rows; `None` forgets one.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) chunks: HashMap<ChunkId, ChunkChange, ByHash>,
    pub(crate) pages: HashMap<PageId, Option<(PackSpot, u32)>, ByHash>,
    pub(crate) files: Vec<FileRow>,
    pub(crate) forgotten_files: Vec<FileId>,
    pub(crate) snapshots: BTreeMap<SnapshotId, Option<SnapshotRow>>,
    /// Snapshots that are forgotten unless they are kept by then.
    pub(crate) unkept: Vec<SnapshotId>,
    pub(crate) versions: BTreeMap<VersionId, Option<Vec<u8>>>,
    pub(crate) heads: BTreeMap<String, Vec<VersionId>>,
    pub(crate) grants: BTreeMap<GrantId, Option<Vec<u8>>>,
    pub(crate) receives: BTreeMap<AbsolutePath, Option<ReceiveRow>>,
    pub(crate) destinations: BTreeMap<AbsolutePath, Option<DestinationRow>>,
    pub(crate) forgotten_packs: Vec<u32>,
}

/// What changes about a chunk.
#[derive(Debug, Default, Clone)]
pub(crate) struct ChunkChange {
    /// Nothing of what the index has stays.
    pub(crate) forget: bool,
    /// A thread writes, or has written, its bytes to a pack.
    pub(crate) claimed: bool,
    /// Nothing if only audiences or places are taken away or given to a known chunk.
    pub(crate) length: Option<u32>,
    pub(crate) audiences: Vec<AudienceId>,
    pub(crate) extents: Vec<Extent>,
    pub(crate) dropped: Vec<Extent>,
}

impl ChunkChange {
    pub(crate) fn forgotten() -> Self {
        Self {
            forget: true,
            ..Self::default()
        }
    }

    pub(crate) fn add_audience(&mut self, audience: AudienceId) {
        if !self.audiences.contains(&audience) {
            self.audiences.push(audience);
        }
    }

    /// The row after this change; nothing if the chunk is then unknown.
    pub(super) fn apply(
        mut self,
        known: Option<ChunkRow>,
        is_dead: impl Fn(FileId) -> bool,
    ) -> Option<ChunkRow> {
        let known = known.filter(|_| !self.forget);
        let mut row = match (known, self.length) {
            (Some(known), _) => known,
            (None, Some(length)) => ChunkRow {
                length,
                audiences: Vec::new(),
                extents: Vec::new(),
            },
            (None, None) => return None,
        };
        row.audiences.append(&mut self.audiences);
        row.audiences.sort_unstable();
        row.audiences.dedup();
        row.extents.retain(|extent| match extent {
            Extent::File { file, .. } => !is_dead(*file),
            Extent::Pack(_) => true,
        });
        row.extents.retain(|extent| !self.dropped.contains(extent));
        for extent in self.extents {
            if !row.extents.contains(&extent) {
                row.extents.push(extent);
            }
        }
        row.extents.sort_unstable();
        Some(row)
    }
}

impl Changes {
    /// The change of a chunk, made if there is none.
    pub(crate) fn chunk(&mut self, id: &ChunkId) -> &mut ChunkChange {
        self.chunks.entry(*id).or_default()
    }

    /// The pages that are forgotten.
    pub(crate) fn forgotten_pages(&self) -> impl Iterator<Item = PageId> {
        let forgotten = self.pages.iter().filter(|(_, spot)| spot.is_none());
        forgotten.map(|(id, _)| *id)
    }

    /// Bytes that the rows will take in the index, roughly and rather too many.
    pub(crate) fn bytes(&self) -> u64 {
        let coverage = self.snapshots.len() + self.receives.len();
        (self.chunks.len() * 100
            + self.pages.len() * 100
            + self.files.len() * 400
            + coverage * (64 << 10)) as u64
    }
}

/// Hashes ids by taking some of their bytes: they are hashes already.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

pub(crate) type ByHash = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(front) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*front);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
