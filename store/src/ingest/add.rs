//! The steps of an add.
//!
//! Owns: their order: what there is, whether it fits, reading, one durable commit, and only
//! then what history lost by it. Refuses: details.

use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use shoal_protocol::chunking::PROFILE_1;
use shoal_protocol::snapshot::{Shape, Snapshot};

use super::clone::Clones;
use super::locate::Located;
use super::pipeline::{self, Assembled, Replaced};
use super::plan::Plan;
use super::report::{AddError, AddMode, AddRequest, AddWarning, Added};
use super::shelf::Shelf;
use super::walk::{Walk, WalkRules, Walked, WalkedKind, walk};
use super::work::Work;
use super::workers;
use crate::index::{
    AbsolutePath, AudienceId, Coverage, FileRow, Origin, RootId, SnapshotRow, View,
};
use crate::progress::{Phase, Progress};
use crate::{Store, StoreError, history};

/// Memory for the bytes that are worked on.
const BUFFERS_BYTES: u64 = 48 << 20;
const SEGMENT_BYTES_MIN: u64 = 2 << 20;
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

impl Store {
    /// Adds the folder or file at a path. When it returns, the snapshot and all that the
    /// [mode](AddMode) promises survive a power cut. Whatever goes wrong, no snapshot is
    /// recorded and nothing that was there before is lost.
    pub fn add(&self, request: &AddRequest, progress: &dyn Progress) -> Result<Added, AddError> {
        progress.phase(Phase::Walking);
        let located = Located::find(&**self.disk(), &request.path)?;
        let walk = self.walk(&located, request, progress)?;
        progress.phase(Phase::Hashing);
        progress.files(0, Some(walk.entries.len() as u64));
        progress.total_bytes(walk.entries.iter().map(Walked::size).sum());
        Adding {
            store: self,
            request,
            progress,
            located,
            walk,
        }
        .run()
    }

    fn walk(
        &self,
        located: &Located,
        request: &AddRequest,
        progress: &dyn Progress,
    ) -> Result<Walk, AddError> {
        let home = self.home();
        let home_path = home.path();
        let home = home.stat("".as_ref()).map_err(AddError::io(home_path))?;
        let home = home.map(|home| (home.device, home.inode));
        let root = located.root.stat("".as_ref());
        let root = root.map_err(AddError::io(located.root.path()))?;
        let is_home = root.is_some_and(|root| home == Some((root.device, root.inode)));
        if is_home || located.path.as_path().starts_with(home_path) {
            return Err(AddError::InsideStore(request.path.clone()));
        }
        let mut found = match &located.file {
            Some((path, identity)) => Walk {
                entries: vec![Walked {
                    path: path.clone(),
                    kind: WalkedKind::File(*identity),
                }],
                ..Walk::default()
            },
            None => {
                let all = request.all;
                walk(&*located.root, WalkRules { all, home }, progress)?
            }
        };
        if located.followed {
            let target = located.path.as_path().to_owned();
            found.warnings.insert(0, AddWarning::Followed { target });
        }
        Ok(found)
    }
}

/// One add after the walk.
struct Adding<'a> {
    store: &'a Store,
    request: &'a AddRequest,
    progress: &'a dyn Progress,
    located: Located,
    walk: Walk,
}

impl Adding<'_> {
    fn run(self) -> Result<Added, AddError> {
        let view = self.store.view();
        let work = self.work()?;
        super::room::check(&work, &**self.store.home(), self.rows(&view, work.root_id)?)?;
        let rows = self.rows(&view, work.root_id)?;
        let plan = Plan::new(work.entries, rows, work.segment_bytes);
        let assembled = pipeline::run(&work, plan);
        drop(view);
        let Work {
            shelf,
            problems,
            files_read,
            ..
        } = work;
        let problems = problems.into_inner();
        if let Some(error) = problems
            .unwrap_or_else(PoisonError::into_inner)
            .into_error()
        {
            return Err(error);
        }
        let assembled = assembled?;
        let replaced = self.forget_vanished(&shelf, &assembled)?;
        let snapshot = self.snapshot(&assembled);
        let row = self.row(snapshot, shelf.audience())?;
        shelf.with_batch(|batch| batch.put_snapshot(row));
        self.progress.phase(Phase::Syncing);
        let (counts, lease) = shelf.commit()?;
        drop(lease);
        let replaced = assembled.replaced.into_iter().chain(replaced);
        Ok(Added {
            snapshot: snapshot.id(),
            entries: snapshot.entries,
            bytes: snapshot.bytes,
            bytes_new: counts.new,
            bytes_copied: counts.copied,
            bytes_cloned: counts.cloned,
            files_read: files_read.into_inner(),
            left_out: self.walk.left_out,
            left_out_total: self.walk.left_out_total,
            warnings: self.walk.warnings,
            lost: history::losses(self.store, replaced)?,
        })
    }

    fn work(&self) -> Result<Work<'_>, AddError> {
        let audience = (self.request.audience).map(|team| self.store.begin().audience(&team));
        let shelf = Shelf::new(self.store, audience.unwrap_or(AudienceId::SELF));
        let root_path = AbsolutePath::new(self.located.root.path())
            .ok_or_else(|| AddError::NotAbsolute(self.request.path.clone()))?;
        let keep = self.request.mode == AddMode::Keep;
        Ok(Work {
            root: self.located.root.clone(),
            root_id: shelf.with_batch(|batch| batch.root(&root_path)),
            entries: &self.walk.entries,
            profile: PROFILE_1,
            segment_bytes: (BUFFERS_BYTES / workers() as u64)
                .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
            mode: self.request.mode,
            shelf,
            clones: Clones::new(self.store.home().clone(), keep),
            progress: self.progress,
            files_read: AtomicU64::new(0),
            state: AtomicU8::new(0),
            problems: Mutex::default(),
        })
    }

    /// What the index knows of the files that are added, in manifest order.
    fn rows<'v>(
        &self,
        view: &'v View,
        root: RootId,
    ) -> Result<Box<dyn Iterator<Item = Result<FileRow, StoreError>> + 'v>, StoreError> {
        match &self.located.file {
            Some((path, _)) => Ok(Box::new(view.file_at(root, path).transpose().into_iter())),
            None => view.files(root, None),
        }
    }

    /// Forgets files that are gone or changed. Those that were merely left out this time stay
    /// as they are: snapshots may be living in them.
    fn forget_vanished(
        &self,
        shelf: &Shelf<'_>,
        assembled: &Assembled,
    ) -> Result<Vec<Replaced>, AddError> {
        let mut replaced = Vec::new();
        for row in &assembled.vanished {
            let path = row.path.as_str();
            let now = self.located.root.stat(path.as_ref());
            let now = now.map_err(AddError::io(&self.located.root.path().join(path)))?;
            if now != Some(row.identity) {
                shelf.with_batch(|batch| batch.forget_file(row.id));
                replaced.push(Replaced::of(row));
            }
        }
        Ok(replaced)
    }

    fn snapshot(&self, assembled: &Assembled) -> Snapshot {
        Snapshot {
            profile: PROFILE_1.id,
            shape: match self.located.file {
                Some(_) => Shape::File,
                None => Shape::Folder,
            },
            manifest: assembled.manifest.map(|root| root.page),
            entries: assembled.manifest.map_or(0, |root| root.items),
            bytes: assembled.manifest.map_or(0, |root| root.bytes),
        }
    }

    /// The row of the snapshot, which may be known already: then it is kept if either says so,
    /// and bytes that the store itself holds stay the better origin.
    fn row(&self, snapshot: Snapshot, audience: AudienceId) -> Result<SnapshotRow, StoreError> {
        let known = self.store.view().snapshot(&snapshot.id())?;
        let held_by_store = |row: &SnapshotRow| {
            matches!(
                row.origin,
                Origin::Added {
                    in_place: false,
                    ..
                }
            ) && row.held == Coverage::Complete
        };
        let was_added = |row: &SnapshotRow| matches!(row.origin, Origin::Added { .. });
        let in_place = self.request.mode == AddMode::InPlace;
        let origin = known
            .as_ref()
            .filter(|row| in_place && held_by_store(row))
            .map_or_else(
                || Origin::Added {
                    path: self.located.path.clone(),
                    in_place,
                },
                |row| row.origin.clone(),
            );
        Ok(SnapshotRow {
            snapshot,
            kept: self.request.kept || known.as_ref().is_some_and(|row| row.kept),
            audience: match &known {
                Some(row) if audience == AudienceId::SELF && was_added(row) => row.audience,
                _ => audience,
            },
            origin,
            at_unix_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            held: Coverage::Complete,
            offered: Coverage::Complete,
        })
    }
}
