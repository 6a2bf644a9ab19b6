//! What is remembered of a receive between runs of the program.
//!
//! Owns: the state in the index, and what it says about bytes that are found in the
//! destination: whether they are right, and for whom they came. Refuses: to read them.

use std::ops::Range;
use std::sync::atomic::Ordering;

use bincode::{Decode, Encode};
use shoal_protocol::codec;
use shoal_protocol::have::{RANGES_MAX, RangeSet};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::Snapshot;

use super::plan::Plan;
use super::{Receive, ReceiveError, ReceiveRequest, lock};
use crate::destination::Destination;
use crate::index::{AbsolutePath, DestinationRow, ReceiveRow, View};

/// The most bytes that the state of a receive takes in the index: two full have-maps.
const STATE_BYTES_MAX: usize = 4 << 20;

/// A snapshot whose files may stand in the destination, because shoal wrote them.
pub(super) struct Base {
    pub(super) snapshot: Snapshot,
    pub(super) inside: Option<ManifestPath>,
    /// Whether it is the one that is being received.
    pub(super) ours: bool,
}

/// What an interrupted receive left.
pub(super) struct Resumed {
    pub(super) held: RangeSet,
    pub(super) offered: RangeSet,
    /// Whether all that it wrote came under its audience.
    pub(super) pure: bool,
    /// Whether the machine was started anew since, so that the power may have gone.
    pub(super) rebooted: bool,
}

/// What the index keeps of a receive.
#[derive(Encode, Decode)]
struct State {
    bases: Vec<(SnapshotId, Option<ManifestPath>)>,
    held: RangeSet,
    offered: RangeSet,
    pure: bool,
    /// Which start of the machine it last wrote in.
    boot: Vec<u8>,
}

/// What the index knows of a destination: the snapshots that were written there, and how
/// far an interrupted receive of this request came.
pub(super) fn remembered(
    view: &View,
    dest: &AbsolutePath,
    request: &ReceiveRequest,
    boot: &str,
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
            boot: Vec::new(),
        });
        ids.extend(state.bases);
        if row.snapshot == request.snapshot && row.inside == request.inside {
            resumed = Some(Resumed {
                held: state.held,
                offered: state.offered,
                pure: state.pure,
                rebooted: boot.is_empty() || boot.as_bytes() != state.boot,
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
                ours: id == request.snapshot && inside == request.inside,
                inside,
            });
        }
    }
    Ok((bases, resumed))
}

impl Receive {
    /// How far the interrupted receive came: by its have-map, or, where that is older, by
    /// what lies in the staging area.
    pub(super) fn percent(
        &self,
        destination: &Destination,
        plan: &Plan,
        span: &Range<u64>,
    ) -> Option<u8> {
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
            boot: self.boot.clone().into_bytes(),
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
}
