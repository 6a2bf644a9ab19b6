//! Looks whether a snapshot can be written, before anything is.
//!
//! Owns: what would be lost, what collides, and how much room is needed. Refuses: to write.
//!
//! Where the destination is new, only the room is looked at, and no page need be here. Else
//! every entry is compared with what stands in its place. A receive that goes on after an
//! interruption passed this once; what changed since shows when it gets there.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;

use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::manifest::{Entry, EntryKind, SnapshotCursor, Step};
use shoal_protocol::path::ManifestPath;

use super::bytes::Stop;
use super::judge::Verdict;
use super::plan::{Plan, Stage, is_hole};
use super::{Paths, Receive, ReceiveError};
use crate::disk::Root;
use crate::store::RESERVE_BYTES;

/// Room that the index and the file system itself need besides, for each entry.
const ENTRY_ROOM_BYTES: u64 = 600;

/// How far the looking is.
pub(crate) struct Preflight {
    cursor: SnapshotCursor,
    at: u64,
    /// Names that were seen, as a file system that does not tell them apart would have them.
    folded: Option<HashSet<u64>>,
    /// Whether chunks are looked at too, because holes decide whether there is room.
    exact: bool,
    room: Room,
    edited: Paths,
    clashes: Paths,
    colliding: Paths,
    /// The file whose bytes must be compared: an entry that waits for pages.
    waiting: Option<Entry>,
}

/// Bytes that are needed on the way: a new state of a file is written before the old goes.
#[derive(Default)]
struct Room {
    used: u64,
    freed: u64,
    peak: u64,
}

impl Room {
    fn write(&mut self, bytes: u64, replaced: u64) {
        self.used += bytes;
        self.peak = self.peak.max(self.used.saturating_sub(self.freed));
        self.freed += replaced;
    }
}

impl Preflight {
    /// From where the part that is received begins.
    pub(crate) fn new(cursor: SnapshotCursor, folds_case: bool) -> Self {
        Self {
            cursor,
            at: 0,
            folded: folds_case.then(HashSet::new),
            exact: false,
            room: Room::default(),
            edited: Paths::default(),
            clashes: Paths::default(),
            colliding: Paths::default(),
            waiting: None,
        }
    }
}

impl Receive {
    /// Goes on looking. Gives pages where they are needed first.
    pub(super) fn preflight(&self, plan: &mut Plan) -> Result<Option<Vec<PageId>>, ReceiveError> {
        let Stage::Preflight(look) = &mut plan.stage else {
            unreachable!("called in this stage only");
        };
        let simple = self.destination().fresh && look.folded.is_none();
        if self.is_resumed() {
            self.begin_walk(plan)?;
            return Ok(None);
        }
        if simple && !look.exact {
            let span = self.span();
            look.room.write(span.end - span.start, 0);
        } else {
            loop {
                match self.look_at_next(look, plan.zeros) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(Stop::Missing(page)) => return self.missing(look.at, page).map(Some),
                    Err(Stop::Error(error)) => return Err(error),
                }
            }
        }
        self.verdict(look)?;
        let needed =
            look.room.peak + self.place_known().entries * ENTRY_ROOM_BYTES + self.reserve()?;
        let free = self.free()?;
        if needed <= free {
            self.begin_walk(plan)?;
        } else if look.exact {
            return Err(ReceiveError::NoRoom {
                dest: self.dest.as_path().to_owned(),
                needed,
                free,
            });
        } else {
            // Holes take no room: count again, chunk by chunk.
            let folds_case = look.folded.is_some();
            **look = Preflight::new(plan.cursor.clone(), folds_case);
            look.exact = true;
        }
        Ok(None)
    }

    /// Room that the store wants to keep, where it is on the same file system.
    fn reserve(&self) -> Result<u64, ReceiveError> {
        let destination = self.destination();
        let device =
            |root: &dyn Root| io::Result::Ok(root.stat(Path::new(""))?.map(|found| found.device));
        let same = device(&*destination.root)
            .and_then(|here| Ok(here == device(&**self.store.home())?))
            .map_err(|e| destination.failed(Path::new(""), e))?;
        Ok(if same { RESERVE_BYTES } else { 0 })
    }

    fn free(&self) -> Result<u64, ReceiveError> {
        let destination = self.destination();
        (destination.root.file_system())
            .map(|fs| fs.free)
            .map_err(|e| destination.failed(Path::new(""), e))
    }

    fn verdict(&self, look: &mut Preflight) -> Result<(), ReceiveError> {
        let dest = self.dest.as_path().to_owned();
        if !look.edited.is_empty() {
            let paths = std::mem::take(&mut look.edited);
            return Err(ReceiveError::Edited { dest, paths });
        }
        if !look.clashes.is_empty() {
            let paths = std::mem::take(&mut look.clashes);
            return Err(ReceiveError::KindClash { dest, paths });
        }
        if !look.colliding.is_empty() {
            let paths = std::mem::take(&mut look.colliding);
            return Err(ReceiveError::NamesCollide { dest, paths });
        }
        Ok(())
    }

    /// Looks at one entry or chunk. Says whether there are more.
    fn look_at_next(&self, look: &mut Preflight, zeros: ChunkId) -> Result<bool, Stop> {
        if let Some(entry) = look.waiting.take() {
            self.look_at(look, &entry)
                .inspect_err(|_| look.waiting = Some(entry))?;
            return Ok(true);
        }
        match look.cursor.next(&self.store)? {
            Some(Step::Entry {
                position, entry, ..
            }) if self.is_within(&entry) => {
                look.at = position;
                self.look_at(look, &entry)
                    .inspect_err(|_| look.waiting = Some(entry))?;
                Ok(true)
            }
            Some(Step::Chunk {
                chunk, position, ..
            }) => {
                look.at = position;
                if !is_hole(&chunk, zeros) {
                    look.room.write(u64::from(chunk.length), 0);
                }
                Ok(true)
            }
            Some(Step::Entry { .. }) | None => Ok(false),
        }
    }

    fn look_at(&self, look: &mut Preflight, entry: &Entry) -> Result<(), Stop> {
        let name = self.destination().name(entry.path.clone());
        if self.is_reserved(&name) {
            return Err(Stop::Error(ReceiveError::ReservedName(entry.path.clone())));
        }
        let (mut verdict, found) = self.judge(&name, &entry.kind).map_err(Stop::Error)?;
        if verdict == (Verdict::Check { ours: false }) {
            let same = match &entry.kind {
                EntryKind::File { size, content, .. } => self.holds(&name, *size, content)?,
                EntryKind::Symlink { .. } | EntryKind::EmptyDirectory => false,
            };
            verdict = if same { Verdict::Keep } else { Verdict::Edited };
        }
        let replaced = match verdict {
            Verdict::Replace => found.map_or(0, |found| found.allocated),
            _ => 0,
        };
        match verdict {
            Verdict::Free => self.look_above(look, &name)?,
            Verdict::Edited => look.edited.push(name.as_str()),
            Verdict::Clash => look.clashes.push(name.as_str()),
            Verdict::Replace | Verdict::Keep | Verdict::Check { .. } => {}
        }
        let written = matches!(verdict, Verdict::Free | Verdict::Replace);
        if written && look.exact {
            // The chunks that follow are counted one by one.
            look.room.write(0, replaced);
        } else {
            look.cursor.skip_chunks();
            look.room
                .write(if written { entry.size() } else { 0 }, replaced);
        }
        if let Some(folded) = &mut look.folded
            && !folded.insert(fold(&name))
        {
            look.colliding.push(name.as_str());
        }
        Ok(())
    }

    /// Looks whether something that is no directory stands on the way to a new name.
    fn look_above(&self, look: &mut Preflight, name: &ManifestPath) -> Result<(), Stop> {
        let place = self.place_known();
        if place.destination.fresh {
            return Ok(());
        }
        let path = Path::new(name.as_str());
        let obstacle = (place.tree.obstacle(path))
            .map_err(|e| Stop::Error(place.destination.failed(path, e)))?;
        let Some(obstacle) = obstacle.as_ref().and_then(|path| path.to_str()) else {
            return Ok(());
        };
        let obstacle = ManifestPath::new(obstacle).expect("a part of a path is a path");
        if !self.may_remove(&obstacle).map_err(Stop::Error)? {
            look.edited.push(obstacle.as_str());
        }
        Ok(())
    }

    /// Whether what stands at `name`, and is no directory, may go.
    pub(super) fn may_remove(&self, name: &ManifestPath) -> Result<bool, ReceiveError> {
        let (verdict, _) = self.judge(name, &EntryKind::EmptyDirectory)?;
        Ok(matches!(verdict, Verdict::Free | Verdict::Replace))
    }
}

/// The name without what some file systems do not look at: case.
fn fold(name: &ManifestPath) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.as_str().to_lowercase().hash(&mut hasher);
    hasher.finish()
}
