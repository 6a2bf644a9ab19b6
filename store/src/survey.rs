//! How a snapshot fares, chunk by chunk.
//!
//! Owns: going through the positions that a snapshot should have, and summing up where their
//! bytes are. Refuses: to read bytes; it believes the index, which `verify` keeps honest.

use std::collections::HashMap;
use std::ops::Range;

use shoal_protocol::have::RangeSet;
use shoal_protocol::id::PageId;
use shoal_protocol::manifest::{self, Content, Entry, EntryKind, SnapshotCursor, Step};
use shoal_protocol::paged_list::ReadError;
use shoal_protocol::path::ManifestPath;

use crate::held::{Held, Holdings};
use crate::index::{Coverage, SnapshotRow};
use crate::ingest::PathList;
use crate::progress::Progress;
use crate::{Store, StoreError};

/// The most missing pages that are named.
const PAGES_NAMED_MAX: usize = 4096;

/// Surveys snapshots in one state of the index, and remembers lists that several of them have.
pub(crate) struct Survey<'a> {
    store: &'a Store,
    holdings: Holdings,
    lists: HashMap<PageId, Tally>,
}

/// Bytes by where they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub kept: u64,
    pub volatile: u64,
    pub changed: u64,
    pub gone: u64,
}

/// A file of a snapshot, bytes of which are nowhere on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLoss {
    /// The file.
    pub path: ManifestPath,
    /// How many of its bytes.
    pub bytes: u64,
}

/// What a survey found about a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub tally: Tally,
    /// Files with bytes that are volatile.
    pub volatile: PathList<ManifestPath>,
    /// Files with bytes that are gone, or only in changed files.
    pub gone: PathList<ManifestPath>,
    /// The files with bytes that are gone, and how many.
    pub lost: PathList<FileLoss>,
    /// The positions of bytes that are gone.
    pub missing: RangeSet,
    /// The positions of bytes that are only in changed files.
    pub doubtful: RangeSet,
    /// Pages that are gone; what lies beneath them is not counted.
    pub pages_missing: Vec<PageId>,
}

impl Tally {
    fn add(&mut self, held: Held, bytes: u64) {
        match held {
            Held::Kept => self.kept += bytes,
            Held::Volatile => self.volatile += bytes,
            Held::Changed => self.changed += bytes,
            Held::No => self.gone += bytes,
        }
    }

    fn extend(&mut self, other: Tally) {
        self.kept += other.kept;
        self.volatile += other.volatile;
        self.changed += other.changed;
        self.gone += other.gone;
    }
}

impl<'a> Survey<'a> {
    pub(crate) fn new(store: &'a Store, holdings: Holdings) -> Self {
        Self {
            store,
            holdings,
            lists: HashMap::new(),
        }
    }

    /// Where the bytes are that a snapshot should have at the positions `within`; nothing if
    /// the listener asked to stop.
    pub(crate) fn snapshot(
        &mut self,
        row: &SnapshotRow,
        within: &Coverage,
        progress: &dyn Progress,
    ) -> Result<Option<Findings>, StoreError> {
        let mut findings = Findings::default();
        let mut cursor = SnapshotCursor::new(&row.snapshot);
        let mut file: Option<OpenFile> = None;
        let mut entries = 0;
        loop {
            match cursor.next(self.store) {
                Ok(None) => break,
                Ok(Some(Step::Entry {
                    position, entry, ..
                })) => {
                    self.close(file.take(), &mut findings);
                    entries += 1;
                    if entries % 256 == 0 {
                        progress.files(entries, Some(row.snapshot.entries));
                        if progress.cancelled() {
                            return Ok(None);
                        }
                    }
                    let open = OpenFile::new(entry, position, within);
                    match self.known(&open) {
                        Some(tally) => {
                            findings.count(&open.entry.path, tally);
                            cursor.skip_chunks();
                        }
                        None => file = Some(open),
                    }
                }
                Ok(Some(Step::Chunk {
                    position, chunk, ..
                })) => {
                    let range = position..position + u64::from(chunk.length);
                    if within.covers(&range) {
                        let held = self.holdings.chunk(&chunk.id)?;
                        let file = file.as_mut().expect("chunks follow their file");
                        file.tally.add(held, u64::from(chunk.length));
                        match held {
                            Held::No => findings.missing.insert(range),
                            Held::Changed => findings.doubtful.insert(range),
                            Held::Volatile | Held::Kept => {}
                        }
                    }
                }
                Err(error) => {
                    let page = page_of(error)?;
                    let within_file = file.as_mut().is_some_and(|file| {
                        file.broken = true;
                        !findings.pages_missing.contains(&page)
                    });
                    findings.pages_missing.push(page);
                    if !within_file {
                        break;
                    }
                    cursor.skip_chunks();
                }
            }
        }
        self.close(file, &mut findings);
        if !findings.pages_missing.is_empty() {
            findings.pages_missing = self.pages_missing(row, findings.pages_missing)?;
        }
        Ok(Some(findings))
    }

    /// What is known of a list that a file before had too.
    fn known(&self, file: &OpenFile) -> Option<Tally> {
        let list = file.list.filter(|_| file.whole)?;
        self.lists.get(&list).copied()
    }

    fn close(&mut self, file: Option<OpenFile>, findings: &mut Findings) {
        let Some(file) = file else { return };
        findings.count(&file.entry.path, file.tally);
        let all = file.tally.gone + file.tally.changed == 0;
        let reusable = file.whole && !file.broken && all;
        if let Some(list) = file.list.filter(|_| reusable) {
            self.lists.insert(list, file.tally);
        }
    }

    fn pages_missing(
        &self,
        row: &SnapshotRow,
        found: Vec<PageId>,
    ) -> Result<Vec<PageId>, StoreError> {
        match manifest::missing(self.store, &row.snapshot, 0..u64::MAX, PAGES_NAMED_MAX) {
            Ok(pages) if !pages.is_empty() => Ok(pages),
            // A page that is there but damaged stops the search.
            Ok(_) => Ok(found),
            Err(error) => page_of(error).map(|_| found),
        }
    }
}

impl Findings {
    fn count(&mut self, path: &ManifestPath, tally: Tally) {
        self.tally.extend(tally);
        if tally.volatile > 0 {
            self.volatile.push(path.clone());
        }
        if tally.gone + tally.changed > 0 {
            self.gone.push(path.clone());
        }
        if tally.gone > 0 {
            self.lost.push(FileLoss {
                path: path.clone(),
                bytes: tally.gone,
            });
        }
    }
}

/// A file whose chunks come next.
struct OpenFile {
    entry: Entry,
    list: Option<PageId>,
    /// Whether all of it should be held.
    whole: bool,
    /// A page of its list is missing.
    broken: bool,
    tally: Tally,
}

impl OpenFile {
    fn new(entry: Entry, position: u64, within: &Coverage) -> Self {
        Self {
            list: match entry.kind {
                EntryKind::File {
                    content: Content::List(list),
                    ..
                } => Some(list),
                _ => None,
            },
            whole: within.covers(&(position..position + entry.size())),
            broken: false,
            tally: Tally::default(),
            entry,
        }
    }
}

/// The page that is missing or damaged.
pub(crate) fn page_of(error: ReadError<StoreError>) -> Result<PageId, StoreError> {
    match error {
        ReadError::Missing(page) | ReadError::Corrupt { page, .. } => Ok(page),
        ReadError::Source(StoreError::DamagedPage(page)) => Ok(page),
        ReadError::Source(error) => Err(error),
    }
}

impl Coverage {
    /// Whether all positions of `range` are covered.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        let Coverage::Ranges(ranges) = self else {
            return true;
        };
        let behind = ranges.partition_point(|held| held.start <= range.start);
        let before = behind.checked_sub(1).and_then(|at| ranges.get(at));
        range.is_empty() || before.is_some_and(|held| range.end <= held.end)
    }

    /// How many bytes are covered of a snapshot of `bytes`.
    pub fn bytes(&self, bytes: u64) -> u64 {
        match self {
            Coverage::Complete => bytes,
            Coverage::Ranges(ranges) => ranges.iter().map(|range| range.end - range.start).sum(),
        }
    }

    /// The coverage without these positions, of a snapshot of `bytes`.
    pub(crate) fn without(&self, lost: &RangeSet, bytes: u64) -> Self {
        if lost.is_empty() {
            return self.clone();
        }
        Coverage::of(&self.to_set(bytes).subtract(lost), bytes)
    }

    /// The positions that are covered of a snapshot of `bytes`.
    pub(crate) fn to_set(&self, bytes: u64) -> RangeSet {
        let mut set = RangeSet::new();
        match self {
            Coverage::Complete => set.insert(0..bytes),
            Coverage::Ranges(ranges) => ranges.iter().for_each(|r| set.insert(r.clone())),
        }
        set
    }

    /// These positions of a snapshot of `bytes`.
    pub(crate) fn of(set: &RangeSet, bytes: u64) -> Self {
        if set.contains_range(0..bytes) {
            return Coverage::Complete;
        }
        Coverage::Ranges(set.iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_knows_what_it_covers_and_can_lose_it() {
        let mut lost = RangeSet::new();
        lost.insert(10..20);
        let left = Coverage::Complete.without(&lost, 50);
        assert_eq!(left, Coverage::Ranges(vec![0..10, 20..50]));
        for (range, covered) in [
            (0..10, true),
            (0..11, false),
            (20..50, true),
            (49..51, false),
            (15..15, true),
        ] {
            assert_eq!(left.covers(&range), covered, "{range:?}");
            assert!(Coverage::Complete.covers(&range));
        }
    }
}
