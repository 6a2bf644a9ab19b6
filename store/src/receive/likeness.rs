//! Finds bytes of an earlier version that resemble those that must come from others, so that
//! they can travel as a difference.
//!
//! Owns: for each file the one that it replaces, and how far the walk has come in that one.
//! Every chunk of the new file that the old one has too says where in the old one the walk
//! is; what lies between two of them resembles what lies between them there, and nothing around
//! it is named, since both sides read, hash and index every byte of a base. Refuses: to read
//! any of those bytes, and to promise that they still stand there.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::{EntryKind, SnapshotCursor, Step};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::Snapshot;

use super::run::Slot;
use super::{Receive, ReceiveError, lock};
use crate::StoreError;
use crate::index::{Extent, FileId};

/// The longest stretch that one base is named for: what a peer sends at once.
const PIECE_BYTES: u64 = 512 << 10;
/// What is added around a base whose place is a guess.
const MARGIN: u64 = 64 << 10;
/// The longest base.
pub const LIKENESS_BYTES_MAX: u64 = 1 << 20;
/// The most bases of a run: more are not worth naming.
pub const LIKENESSES_MAX: usize = 256;
/// The most bytes that the bases of a run have together.
const SUM_BYTES_MAX: u64 = 24 << 20;

/// Bytes of an earlier version, all here when the run was given out, that resemble wanted
/// ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    /// Where the wanted bytes begin; they reach up to the next likeness, or the run's end.
    pub position: u64,
    /// The earlier version.
    pub snapshot: SnapshotId,
    /// The positions there; they begin and end where chunks do, at most
    /// [`LIKENESS_BYTES_MAX`] apart.
    pub old: Range<u64>,
}

/// A file of an earlier version that is about to be replaced.
pub(crate) struct OldFile {
    snapshot: Snapshot,
    file: FileId,
    /// Its positions there.
    span: Range<u64>,
}

/// Where in the old file a chunk of the new one would stand.
#[derive(Debug, Clone)]
pub(crate) struct OldPlace {
    position: u64,
    /// Whether the chunk before it stands there too, right before this place.
    sure: bool,
    /// Where the old file goes on as the new one does; known once the walk has come there.
    rejoins: Arc<OnceLock<u64>>,
}

impl OldPlace {
    fn behind_common(position: u64) -> Self {
        Self {
            position,
            sure: true,
            rejoins: Arc::default(),
        }
    }
}

/// How far the walk has come in the old file.
pub(crate) struct Shadow {
    file: Arc<OldFile>,
    /// Where the last chunk that both have ends in the old one.
    begin: u64,
    at: OldPlace,
}

impl Shadow {
    fn new(file: Arc<OldFile>) -> Self {
        let at = OldPlace::behind_common(file.span.start);
        Self {
            file,
            begin: at.position,
            at,
        }
    }

    /// The file.
    pub(crate) fn file(&self) -> &Arc<OldFile> {
        &self.file
    }

    /// Where the next chunk of the new file would stand.
    pub(crate) fn place(&self) -> OldPlace {
        self.at.clone()
    }

    /// Goes on behind a chunk of the new file, which stands in these places.
    pub(crate) fn pass(&mut self, length: u32, extents: &[Extent]) {
        let (length, span) = (u64::from(length), &self.file.span);
        let guess = self.at.position;
        let there = extents.iter().filter_map(|extent| match extent {
            Extent::File { file, offset } if *file == self.file.file => Some(span.start + offset),
            _ => None,
        });
        let nearest = there
            .filter(|start| start + length <= span.end)
            .min_by_key(|start| start.abs_diff(guess));
        match nearest {
            Some(start) => {
                if start > self.begin {
                    // The first to say so is right; nobody else has this gap.
                    let _ = self.at.rejoins.set(start);
                }
                self.begin = start + length;
                self.at = OldPlace::behind_common(self.begin);
            }
            None => {
                self.at.position = (guess + length).min(span.end);
                self.at.sure = false;
            }
        }
    }
}

impl Receive {
    /// The file that the one at `name` replaces, if it is known byte by byte.
    pub(super) fn shadow(&self, name: &ManifestPath) -> Result<Option<Shadow>, ReceiveError> {
        let Some(row) = self.row_at(name)? else {
            return Ok(None);
        };
        for base in self.bases.iter().filter(|base| !base.ours) {
            let Some((start, entry)) = self.written(base, name)? else {
                continue;
            };
            let EntryKind::File { size, content, .. } = entry.kind else {
                continue;
            };
            if entry.path == *name && content == row.content && size > 0 {
                return Ok(Some(Shadow::new(Arc::new(OldFile {
                    snapshot: base.snapshot,
                    file: row.id,
                    span: start..start + size,
                }))));
            }
        }
        Ok(None)
    }

    /// What is here that resembles the bytes of an outstanding run, in the order of positions.
    /// Reads pages of earlier versions; what cannot be read is left out.
    pub fn likenesses(&self, run: u64) -> Vec<Likeness> {
        let Some(table) = lock(&self.ledger).run(run).cloned() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut bytes = 0;
        for piece in pieces(table.slots()) {
            match self.likeness(&piece) {
                Ok(Some(likeness)) => {
                    bytes += likeness.old.end - likeness.old.start;
                    if bytes > SUM_BYTES_MAX || found.len() == LIKENESSES_MAX {
                        break;
                    }
                    found.push(likeness);
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "an earlier version cannot be looked at"),
            }
        }
        found
    }

    /// Widens the place of a piece to where chunks of the old file begin and end.
    fn likeness(&self, piece: &Piece<'_>) -> Result<Option<Likeness>, StoreError> {
        let Piece { first, place, .. } = piece;
        let Some(old) = first.target.old.as_ref() else {
            return Ok(None);
        };
        let before = if place.sure { 0 } else { MARGIN };
        let start = place.position.saturating_sub(before).max(old.span.start);
        let around = place.position + piece.bytes + MARGIN;
        let last = match place.rejoins.get() {
            Some(rejoins) if *rejoins > start => *rejoins,
            _ => old.span.end,
        };
        let end = around.min(last);
        if start >= end {
            return Ok(None);
        }
        let mut cursor = SnapshotCursor::new(&old.snapshot);
        cursor.seek(start);
        let mut range: Option<Range<u64>> = None;
        while let Ok(Some(step)) = cursor.next(&self.store) {
            let Step::Chunk {
                position, chunk, ..
            } = step
            else {
                continue;
            };
            let behind = position + u64::from(chunk.length);
            let from = range.as_ref().map_or(position, |range| range.start);
            if position >= end || behind - from > LIKENESS_BYTES_MAX {
                break;
            }
            range = Some(from..behind);
        }
        Ok(range.map(|range| Likeness {
            position: first.position,
            snapshot: old.snapshot.id(),
            old: range,
        }))
    }
}

/// Neighbouring slots of one file that travel together.
struct Piece<'a> {
    first: &'a Slot,
    place: OldPlace,
    bytes: u64,
}

/// Cuts the slots of a run into pieces; those of files that replace nothing are left out.
fn pieces<'a>(slots: impl Iterator<Item = &'a Slot>) -> Vec<Piece<'a>> {
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for slot in slots {
        let Some(place) = slot.old.clone() else {
            continue;
        };
        let length = u64::from(slot.length);
        if let Some(last) = pieces.last_mut()
            && Arc::ptr_eq(&last.first.target, &slot.target)
            && last.first.position + last.bytes == slot.position
            && last.bytes + length <= PIECE_BYTES
        {
            last.bytes += length;
            continue;
        }
        pieces.push(Piece {
            first: slot,
            place,
            bytes: length,
        });
    }
    pieces
}
