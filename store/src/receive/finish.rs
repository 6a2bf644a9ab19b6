//! Ends a receive: the last names, the leaving of what the new version has no more, and the
//! word that it is whole.
//!
//! Owns: the order. First what leaves, so that names become free; then files that waited for
//! that; then empty directories; symlinks last, so that nothing is ever written through one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use shoal_protocol::manifest::{Entry, EntryKind, SnapshotCursor, Step, SymlinkTarget};
use shoal_protocol::paged_list::{Change, Diff, ReadError};
use shoal_protocol::path::ManifestPath;

use super::judge::Verdict;
use super::plan::{Plan, Stage};
use super::{Paths, Receive, ReceiveError, Received, lock};
use crate::disk::FileKind;
use crate::export::escapes;
use crate::index::{DestinationRow, FileRow, Origin};

impl Receive {
    /// See [`Receive::finish`].
    pub(super) fn finish_all(&self, sync: bool) -> Result<Received, ReceiveError> {
        let plan = lock(&self.plan);
        let _writers_are_done = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        self.check_whole(&plan)?;
        let mut received = Received::default();
        self.remove_leavers(&mut received)?;
        self.place_late(true)?;
        if plan.others > 0 {
            self.make_others(&mut received)?;
        }
        let destination = self.destination();
        destination.clear_staging()?;
        if sync {
            let synced = destination.root.sync_all();
            synced.map_err(|e| destination.failed(Path::new(""), e))?;
        } else {
            self.sync_names()?;
        }
        self.record_whole()?;
        if sync {
            self.store.sync_unsynced()?;
        }
        received.progress = self.progress();
        received.moved_aside = self.moved_aside.load(Ordering::Relaxed);
        Ok(received)
    }

    fn check_whole(&self, plan: &Plan) -> Result<(), ReceiveError> {
        let through = matches!(plan.stage, Stage::Drain) && lock(&self.ledger).is_idle();
        match self.incomplete() {
            ReceiveError::Incomplete(0) if through => Ok(()),
            error => Err(error),
        }
    }

    /// The error that says how much is missing.
    pub(super) fn incomplete(&self) -> ReceiveError {
        let span = self.span();
        let held = lock(&self.ledger).held.intersect_range(span.clone());
        ReceiveError::Incomplete(span.end - span.start - held.total_bytes())
    }

    /// Removes what earlier versions wrote here and this one has no more, as far as nobody
    /// touched it.
    fn remove_leavers(&self, received: &mut Received) -> Result<(), ReceiveError> {
        let mut emptied = BTreeSet::new();
        let mut kept = Paths::default();
        for base in &self.bases {
            // Where another part stood here, names do not compare: its files stay.
            if base.inside != self.request.inside {
                continue;
            }
            let mut changes = Diff::new(base.snapshot.manifest, self.snapshot.manifest);
            loop {
                let entry = match changes.next(&self.store) {
                    Ok(Some(Change::Removed(placed))) => placed.item,
                    Ok(Some(Change::Added(_) | Change::Changed { .. })) => continue,
                    // Without its pages nobody can say what the earlier version wrote.
                    Ok(None) | Err(ReadError::Missing(_)) => break,
                    Err(error) => return Err(error.into()),
                };
                if self.is_within(&entry) && !self.is_directory_now(&entry)? {
                    self.remove_leaver(&entry, &mut emptied, &mut kept, received)?;
                }
            }
        }
        // Deepest first, so that a directory is empty when its turn comes.
        for dir in emptied.iter().rev() {
            self.place_known().tree.remove_empty(dir);
        }
        if !kept.is_empty() {
            received.warnings.push(format!(
                "left in place, because they were edited: {kept} (the new version has no such files)"
            ));
        }
        Ok(())
    }

    /// Whether the name of a file that leaves is that of a directory by now.
    fn is_directory_now(&self, entry: &Entry) -> Result<bool, ReceiveError> {
        if entry.kind == EntryKind::EmptyDirectory {
            return Ok(false);
        }
        let name = self.destination().name(entry.path.clone());
        let found = self.look(Path::new(name.as_str()))?;
        Ok(found.is_some_and(|found| found.kind == FileKind::Directory))
    }

    fn remove_leaver(
        &self,
        entry: &Entry,
        emptied: &mut BTreeSet<PathBuf>,
        kept: &mut Paths,
        received: &mut Received,
    ) -> Result<(), ReceiveError> {
        let name = self.destination().name(entry.path.clone());
        let path = Path::new(name.as_str());
        if entry.kind == EntryKind::EmptyDirectory {
            emptied.insert(path.to_owned());
            return Ok(());
        }
        let Some(found) = self.look(path)? else {
            // Perhaps the receive that this one goes on from removed it.
            if self.is_resumed() {
                empties(path, emptied);
            }
            return Ok(());
        };
        let ours = match &entry.kind {
            EntryKind::File { size, content, .. } => {
                let known = self.row_at(&name)?;
                let same = |row: &FileRow| row.identity == found && row.content == *content;
                let regular = found.kind == FileKind::Regular;
                known.as_ref().is_some_and(same)
                    || (regular && self.is_torn(&name, known.as_ref(), &found)?)
                    || (regular
                        && found.size == *size
                        && self.holds(&name, *size, content).unwrap_or(false))
            }
            EntryKind::Symlink { target } => {
                found.kind == FileKind::Symlink && self.link_target(&name)? == target.as_str()
            }
            EntryKind::EmptyDirectory => false,
        };
        if !ours {
            kept.push(name.as_str());
            return Ok(());
        }
        self.remove(&name)?;
        received.removed += 1;
        empties(path, emptied);
        Ok(())
    }

    /// Makes the symlinks, and the empty directories. No entry lies beneath a symlink (a
    /// manifest with such paths is refused), and every file is in its place already.
    fn make_others(&self, received: &mut Received) -> Result<(), ReceiveError> {
        let mut escaping = Paths::default();
        let mut cursor = SnapshotCursor::new(&self.snapshot);
        if let Some(inside) = &self.request.inside {
            cursor.seek_path(inside);
        }
        while let Some(step) = cursor.next(&self.store)? {
            cursor.skip_chunks();
            let Step::Entry { entry, .. } = step else {
                continue;
            };
            if !self.is_within(&entry) {
                break;
            }
            match entry.kind {
                EntryKind::EmptyDirectory => self.make_directory(entry.path)?,
                EntryKind::Symlink { target } => {
                    let name = self.destination().name(entry.path);
                    if escapes(&name, target.as_str()) {
                        escaping.push(format!("{name} -> {}", target.as_str()));
                    }
                    self.make_symlink(&name, target)?;
                }
                EntryKind::File { .. } => {}
            }
        }
        if !escaping.is_empty() {
            received.warnings.push(format!(
                "symlinks that lead out of the artifact, kept as they are: {escaping}"
            ));
        }
        Ok(())
    }

    fn make_directory(&self, path: ManifestPath) -> Result<(), ReceiveError> {
        // An empty directory that is the whole part has no name beneath itself.
        if self.request.inside.as_ref() == Some(&path) {
            return Ok(());
        }
        let place = self.place_known();
        let name = place.destination.name(path);
        let (verdict, _) = self.judge_now(&name, &EntryKind::EmptyDirectory)?;
        match verdict {
            Verdict::Keep => {}
            Verdict::Edited | Verdict::Clash | Verdict::Check { .. } => {
                return Err(self.edited(&name));
            }
            Verdict::Replace => self.remove(&name)?,
            Verdict::Free => self.clear_way(&name)?,
        }
        let path = Path::new(name.as_str());
        (place.tree.ensure(path)).map_err(|e| place.destination.failed(path, e))?;
        lock(&self.ledger).count_entry(verdict != Verdict::Keep);
        Ok(())
    }

    fn make_symlink(&self, name: &ManifestPath, target: SymlinkTarget) -> Result<(), ReceiveError> {
        let place = self.place_known();
        let path = Path::new(name.as_str());
        let failed = |e| place.destination.failed(path, e);
        let text = target.as_str().to_owned();
        let (verdict, found) = self.judge_now(name, &EntryKind::Symlink { target })?;
        match verdict {
            Verdict::Keep => {
                lock(&self.ledger).count_entry(false);
                return Ok(());
            }
            Verdict::Edited | Verdict::Check { .. } => return Err(self.edited(name)),
            Verdict::Clash => return Err(self.clash(name)),
            Verdict::Replace if found.is_some_and(|f| f.kind != FileKind::Directory) => {
                self.remove(name)?;
            }
            Verdict::Replace | Verdict::Free => self.clear_way(name)?,
        }
        place.tree.ensure_parent(path).map_err(failed)?;
        (place.destination.root.symlink(&text, path)).map_err(failed)?;
        lock(&self.ledger).count_entry(true);
        Ok(())
    }

    /// Tells the index that the snapshot is whole, and that what stands here is shoal's.
    fn record_whole(&self) -> Result<(), ReceiveError> {
        let _order = lock(&self.recording);
        let unrecorded = lock(&self.ledger).take_unrecorded();
        let batch = self.store.begin();
        let written = self.put_unrecorded(&batch, &unrecorded).and_then(|()| {
            batch.forget_receive(&self.dest);
            batch.put_destination(DestinationRow {
                dest: self.dest.clone(),
                snapshot: self.request.snapshot,
                inside: self.request.inside.clone(),
                at_unix_s: super::record::now_unix_s(),
            });
            if let Some(row) = self.store.view().snapshot(&self.request.snapshot)? {
                let mut row = self.covered(row, &unrecorded.held, &unrecorded.offered);
                if !row.kept {
                    row.origin = Origin::Received {
                        dest: self.dest.clone(),
                    };
                }
                batch.put_snapshot(row);
            }
            Ok(batch.commit(true)?)
        });
        let mut ledger = lock(&self.ledger);
        match written {
            Ok(()) => ledger.recorded(&unrecorded),
            Err(_) => ledger.unrecorded(unrecorded),
        }
        written
    }
}

/// Notes that the directory of a file that went may be empty now.
fn empties(path: &Path, emptied: &mut BTreeSet<PathBuf>) {
    let dir = path.parent().filter(|dir| *dir != Path::new(""));
    emptied.extend(dir.map(Path::to_owned));
}
