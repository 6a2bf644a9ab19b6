//! Begins a receive, or goes on with one that was interrupted.
//!
//! Owns: the finding of the part of the snapshot that is asked for, and the opening of the
//! destination for it. Refuses: to write anything but the staging folder.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, RwLock};

use shoal_protocol::have::RangeSet;
use shoal_protocol::id::PageId;
use shoal_protocol::manifest::{Entry, EntryKind, SnapshotCursor};
use shoal_protocol::paged_list::{Cursor, ReadError};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::Shape;

use super::ledger::Ledger;
use super::plan::{Plan, Stage};
use super::preflight::Preflight;
use super::resume::remembered;
use super::{Place, Receive, ReceiveError, ReceiveRequest};
use crate::Store;
use crate::destination::{Destination, resolve};
use crate::export::Tree;
use crate::index::AbsolutePath;

impl Store {
    /// Begins to receive a snapshot into a destination. Where an earlier receive of the same
    /// was interrupted, this one goes on from it.
    pub fn receive(&self, request: ReceiveRequest) -> Result<Receive, ReceiveError> {
        let view = self.view();
        let row = (view.snapshot(&request.snapshot)?)
            .ok_or(ReceiveError::UnknownSnapshot(request.snapshot))?;
        let disk = &**self.disk();
        let resolved = |path: &Path| resolve(disk, path).map_err(|e| ReceiveError::disk(path, e));
        let dest = resolved(&request.dest)?;
        let home = resolved(self.home().path())?;
        if dest.as_path().starts_with(&home) {
            return Err(ReceiveError::InsideStore {
                dest: request.dest,
                home: home.as_path().to_owned(),
            });
        }
        let boot = disk.boot().unwrap_or_default();
        let (bases, resumed) = remembered(&view, &dest, &request, &boot)?;
        let home_inside = home.as_path().strip_prefix(&dest).ok();
        Ok(Receive {
            store: self.clone(),
            snapshot: row.snapshot,
            home_inside: home_inside.map(Path::to_owned),
            dest,
            bases,
            place: OnceLock::new(),
            plan: Mutex::new(Plan::new(SnapshotCursor::new(&row.snapshot))),
            ledger: Mutex::new(Ledger::default()),
            writing: RwLock::new(()),
            recording: Mutex::new(()),
            moved_aside: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            pure: AtomicBool::new(resumed.as_ref().is_some_and(|resumed| resumed.pure)),
            cancelled: AtomicBool::new(false),
            mixing: Mutex::new(()),
            trouble: Mutex::new(None),
            keeps_files: OnceLock::new(),
            resumed,
            boot,
            request,
        })
    }
}

/// A part of a snapshot.
struct Part {
    shape: Shape,
    span: Range<u64>,
    entries: u64,
}

impl Receive {
    /// Finds the part that is asked for and opens the destination for it. Gives pages where
    /// they are needed first.
    pub(super) fn locate(&self, plan: &mut Plan) -> Result<Option<Vec<PageId>>, ReceiveError> {
        let part = match &self.request.inside {
            None => Part {
                shape: self.snapshot.shape,
                span: 0..self.snapshot.bytes,
                entries: self.snapshot.entries,
            },
            Some(inside) => match self.part(inside) {
                Ok(part) => part.ok_or_else(|| ReceiveError::NoSuchPath(inside.clone()))?,
                Err(ReadError::Missing(page)) => return Ok(Some(vec![page])),
                Err(error) => return Err(error.into()),
            },
        };
        if let Some(inside) = &self.request.inside {
            plan.cursor.seek_path(inside);
        }
        let destination = Destination::open(
            &**self.store.disk(),
            &self.dest,
            part.shape,
            self.request.inside.clone(),
            &self.request.snapshot,
            &format!("process {}", std::process::id()),
        )?;
        plan.staged = destination.staged_indexes()?.into_iter().collect();
        let root = destination.root.clone();
        let root_path = match part.shape {
            Shape::Folder => self.dest.clone(),
            Shape::File => {
                AbsolutePath::new(self.dest.as_path().parent().unwrap_or(Path::new("/")))
                    .expect("the parent of an absolute path is absolute")
            }
        };
        let known = !self.bases.is_empty() || destination.fresh || self.request.force;
        let foreign = part.shape == Shape::Folder && !known;
        let folds_case = destination.folds_case();
        let place = Place {
            resumed_at: self.percent(&destination, plan, &part.span),
            destination,
            root_path,
            tree: Tree::new(root),
            span: part.span,
            entries: part.entries,
        };
        let place = self.place.get_or_init(|| place);
        if foreign {
            return Err(ReceiveError::NotEmpty {
                dest: self.dest.as_path().to_owned(),
                paths: place.destination.standing()?,
            });
        }
        plan.stage = Stage::Preflight(Box::new(Preflight::new(plan.cursor.clone(), folds_case)));
        Ok(None)
    }

    fn part(&self, inside: &ManifestPath) -> Result<Option<Part>, ReadError<crate::StoreError>> {
        let mut cursor = Cursor::<Entry>::new(self.snapshot.manifest);
        cursor.seek_path(inside.clone());
        let Some(first) = cursor.next(&self.store)? else {
            return Ok(None);
        };
        let start = first.position;
        if first.item.path == *inside {
            return Ok(Some(Part {
                shape: match first.item.kind {
                    EntryKind::EmptyDirectory => Shape::Folder,
                    EntryKind::File { .. } | EntryKind::Symlink { .. } => Shape::File,
                },
                span: start..start + first.item.size(),
                entries: 1,
            }));
        }
        if !first.item.path.is_within(inside) {
            return Ok(None);
        }
        cursor.seek_past(inside.clone());
        let (end, behind) = match cursor.next(&self.store)? {
            Some(next) => (next.position, next.index),
            None => (self.snapshot.bytes, self.snapshot.entries),
        };
        Ok(Some(Part {
            shape: Shape::Folder,
            span: start..end,
            entries: behind - first.index,
        }))
    }

    /// Takes back what opening made, if nothing was written since.
    pub(super) fn abandon_if_unwritten(&self) {
        if let (false, None, Some(place)) = (self.has_begun(), &self.resumed, self.place.get()) {
            place.destination.abandon(&**self.store.disk());
        }
    }

    /// Whether the preflight is passed.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Ends the planning of a receive that passed its preflight, and remembers it.
    pub(super) fn begin_walk(&self, plan: &mut Plan) -> Result<(), ReceiveError> {
        if !self.is_resumed() {
            let pure = self.destination().fresh;
            self.pure.store(pure, Ordering::Release);
            let batch = self.store.begin();
            batch.put_receive(self.receive_row(&RangeSet::new(), &RangeSet::new()));
            batch.commit(true)?;
        }
        self.begun.store(true, Ordering::Release);
        plan.stage = Stage::Walk;
        Ok(())
    }
}
