//! Begins a receive, or goes on with one that was interrupted.
//!
//! Owns: what is remembered of a receive between runs of the program, and the finding of
//! the part of the snapshot that is asked for. Refuses: to write anything but the staging
//! folder.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use bincode::{Decode, Encode};
use shoal_protocol::codec;
use shoal_protocol::have::{RANGES_MAX, RangeSet};
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::manifest::{Entry, EntryKind, SnapshotCursor};
use shoal_protocol::paged_list::{Cursor, ReadError};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::{Shape, Snapshot};

use super::ledger::Ledger;
use super::plan::{Plan, Stage};
use super::preflight::Preflight;
use super::{Place, Receive, ReceiveError, ReceiveRequest, lock};
use crate::Store;
use crate::destination::{Destination, resolve};
use crate::export::Tree;
use crate::index::{AbsolutePath, DestinationRow, ReceiveRow, View};

/// The most bytes that the state of a receive takes in the index: two full have-maps.
const STATE_BYTES_MAX: usize = 4 << 20;

/// A snapshot whose files may stand in the destination, because shoal wrote them.
pub(super) struct Base {
    pub(super) snapshot: Snapshot,
    pub(super) inside: Option<ManifestPath>,
}

/// What an interrupted receive left.
pub(super) struct Resumed {
    pub(super) held: RangeSet,
    pub(super) offered: RangeSet,
    /// Whether all that it wrote came under its audience.
    pure: bool,
}

/// What the index keeps of a receive.
#[derive(Encode, Decode)]
struct State {
    bases: Vec<(SnapshotId, Option<ManifestPath>)>,
    held: RangeSet,
    offered: RangeSet,
    pure: bool,
}

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
        let (bases, resumed) = remembered(&view, &dest, &request)?;
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
            recording: Mutex::new(()),
            moved_aside: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            pure: AtomicBool::new(resumed.as_ref().is_some_and(|resumed| resumed.pure)),
            mixing: Mutex::new(()),
            trouble: Mutex::new(None),
            keeps_files: OnceLock::new(),
            resumed,
            request,
        })
    }
}

/// What the index knows of a destination: the snapshots that were written there, and how
/// far an interrupted receive of this request came.
fn remembered(
    view: &View,
    dest: &AbsolutePath,
    request: &ReceiveRequest,
) -> Result<(Vec<Base>, Option<Resumed>), ReceiveError> {
    let mut ids: Vec<(SnapshotId, Option<ManifestPath>)> = Vec::new();
    let mut resumed = None;
    if let Some(DestinationRow {
        snapshot, inside, ..
    }) = view.destination(dest)?
    {
        ids.push((snapshot, inside));
    }
    if let Some(row) = view.receive(dest)? {
        let state = codec::decode::<State, STATE_BYTES_MAX>(&row.state).unwrap_or(State {
            bases: Vec::new(),
            held: RangeSet::new(),
            offered: RangeSet::new(),
            pure: false,
        });
        ids.extend(state.bases);
        if row.snapshot == request.snapshot && row.inside == request.inside {
            resumed = Some(Resumed {
                held: state.held,
                offered: state.offered,
                pure: state.pure,
            });
        }
        ids.push((row.snapshot, row.inside));
    }
    ids.sort();
    ids.dedup();
    let mut bases = Vec::new();
    for (id, inside) in ids {
        if let Some(row) = view.snapshot(&id)? {
            bases.push(Base {
                snapshot: row.snapshot,
                inside,
            });
        }
    }
    Ok((bases, resumed))
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

    /// How far the interrupted receive came: by its have-map, or, where that is older, by
    /// what lies in the staging area.
    fn percent(&self, destination: &Destination, plan: &Plan, span: &Range<u64>) -> Option<u8> {
        let resumed = self.resumed.as_ref()?;
        let staged: u64 = (plan.staged.iter())
            .filter_map(|index| destination.root.stat(&destination.staged(*index)).ok()?)
            .map(|found| found.allocated.min(found.size))
            .sum();
        let mapped = resumed.held.intersect_range(span.clone()).total_bytes();
        let total = (span.end - span.start).max(1);
        Some((staged.max(mapped).min(total) as u128 * 100 / u128::from(total)) as u8)
    }

    /// The row that a later receive goes on from.
    pub(super) fn receive_row(&self, held: &RangeSet, offered: &RangeSet) -> ReceiveRow {
        let bases = (self.bases.iter())
            .map(|base| (base.snapshot.id(), base.inside.clone()))
            .collect();
        let state = State {
            bases,
            held: held.largest(RANGES_MAX),
            offered: offered.largest(RANGES_MAX),
            pure: self.pure.load(Ordering::Acquire),
        };
        ReceiveRow {
            dest: self.dest.clone(),
            snapshot: self.request.snapshot,
            audience: self.request.audience,
            inside: self.request.inside.clone(),
            at_unix_s: super::record::now_unix_s(),
            state: codec::encode(&state),
        }
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

    /// Whether all that shoal ever wrote to the destination came under this audience, so
    /// that what is found there did too.
    pub(super) fn is_pure(&self) -> bool {
        self.pure.load(Ordering::Acquire)
    }

    /// Notes, before the first such bytes are written, that bytes of another audience are
    /// copied to the destination.
    pub(super) fn mix(&self) -> Result<(), ReceiveError> {
        let _one_at_a_time = lock(&self.mixing);
        if !self.pure.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.record(true)
            .inspect_err(|_| self.pure.store(true, Ordering::Release))
    }

    /// Whether an interrupted receive of the same is gone on with.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    /// The part of the have-map that speaks for `range`: whether it is held, and offered.
    pub(super) fn mapped(&self, range: Range<u64>) -> (bool, bool) {
        self.resumed.as_ref().map_or((false, false), |resumed| {
            (
                resumed.held.contains_range(range.clone()),
                resumed.offered.contains_range(range),
            )
        })
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
