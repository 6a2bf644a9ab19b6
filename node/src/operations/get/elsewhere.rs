//! Completing a get through other artifacts that hold the same bytes.
//!
//! Owns: asking where in the team's other artifacts stands what no source of the snapshot can
//! send, reading it there, and handing it to the destination. Refuses: to look while any source
//! can send something; and bytes for anything that did not come by leave of the team: they
//! would be offered on to whoever made a list of ids without having the bytes.
//!
//! What is read is verified twice: against the lists of the artifact that it stands in, and by
//! the destination, against those of the snapshot that is wanted. Lists themselves come from
//! those who have the snapshot.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shoal_protocol::advert::{LOCATE_IDS_MAX, Sought};
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::{Content, Entry, EntryKind, SnapshotCursor, Step};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::Neighbour;
use shoal_store::Store;
use shoal_store::receive::Receive;

use crate::api::{ApiError, ErrorKind};
use crate::data::SwarmOptions;
use crate::finding::Standing;
use crate::node::{Node, blocking};
use crate::plane::Dialled;

/// How long one member may send nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after a look that brought nothing; doubles up to the second.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// One get's search in other artifacts.
pub(super) struct Elsewhere {
    node: Node,
    /// The connections to those who have the snapshot itself.
    swarm: Arc<Dialled>,
    receive: Arc<Receive>,
    /// How patient it is, and how fast it may be.
    options: SwarmOptions,
    moved: Arc<Moved>,
}

/// What moved through other artifacts.
#[derive(Default)]
pub(super) struct Moved {
    bytes: AtomicU64,
    wire_in: AtomicU64,
    wire_out: AtomicU64,
}

impl Moved {
    /// Bytes of the destination.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of sockets, received and sent.
    pub(super) fn wire(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.wire_in), read(&self.wire_out))
    }
}

/// Something that is wanted and can be asked for by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    sought: Sought,
    /// Where it stands in the snapshot that is wanted.
    at: Range<u64>,
}

/// What is to be read from one member in one of its artifacts.
type Visits = BTreeMap<(PeerKey, SnapshotId), (Neighbour, Vec<Stretch>)>;

/// Positions of the snapshot that is wanted, and where the same bytes stand elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    here: Range<u64>,
    there: u64,
}

impl Elsewhere {
    /// What is to be done for a get of this snapshot by a member: nothing if it comes under any
    /// other leave than the team's.
    pub(super) fn of(
        node: &Node,
        swarm: &Arc<Dialled>,
        receive: &Arc<Receive>,
        options: &SwarmOptions,
    ) -> Result<Option<Self>, ApiError> {
        let team = node.team().root();
        let leave = node.store()?.view().audience_peer(receive.audience());
        Ok((team.is_some() && leave == team).then(|| Self {
            node: node.clone(),
            swarm: Arc::clone(swarm),
            receive: Arc::clone(receive),
            options: options.clone(),
            moved: Arc::default(),
        }))
    }

    /// What moves through it.
    pub(super) fn moved(&self) -> Arc<Moved> {
        Arc::clone(&self.moved)
    }

    /// Looks whenever something is stranded, until it is dropped.
    pub(super) async fn run(self) -> Infallible {
        let mut stranded = self.swarm.stranded();
        let mut barren = HashSet::new();
        let mut pause = LOOK_AGAIN.0;
        loop {
            let positions = stranded.borrow_and_update().clone();
            if positions.is_empty() {
                barren.clear();
                (stranded.changed().await).expect("the swarm is held here");
                continue;
            }
            let before = self.moved.bytes();
            if let Err(error) = self.look(&positions, &mut barren).await {
                tracing::debug!(%error, "what is missing is not to be had in other artifacts");
            }
            if self.moved.bytes() > before {
                pause = LOOK_AGAIN.0;
                continue;
            }
            // Members who had nothing to give may have it by then.
            barren.clear();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN.1);
        }
    }

    /// Asks once where `positions` stand, and reads what is told. Places that were of no use are
    /// `barren` from then on.
    async fn look(
        &self,
        positions: &RangeSet,
        barren: &mut HashSet<(PeerKey, SnapshotId)>,
    ) -> Result<(), ApiError> {
        let (store, snapshot) = (self.node.store()?, *self.receive.snapshot());
        let asked = positions.clone();
        let wanted = blocking(move || wanted(&store, &snapshot, &asked)).await?;
        let sought: Vec<_> = wanted.iter().map(|wanted| wanted.sought).collect();
        let finding = self.node.finding().await?;
        let mut standings = Vec::new();
        (finding.locate(&sought, |standing| standings.push(standing))).await;
        standings.retain(|standing| {
            let place = (standing.at.peer, standing.place.snapshot);
            place.1 != snapshot.id() && !barren.contains(&place)
        });
        for (place, (member, stretches)) in visits(positions, &wanted, standings) {
            if let Err(error) = self.visit(member, place.1, stretches).await {
                let (peer, artifact) = place;
                tracing::debug!(%peer, %artifact, %error, "it cannot be read there");
                barren.insert(place);
            }
        }
        Ok(())
    }

    /// Reads stretches of another artifact from one member.
    async fn visit(
        &self,
        member: Neighbour,
        artifact: SnapshotId,
        stretches: Vec<Stretch>,
    ) -> Result<(), ApiError> {
        let options = SwarmOptions {
            timeout: Some(PATIENCE),
            ..self.options.clone()
        };
        let access = self.node.access_as_member(artifact);
        let swarm = self.node.plane().swarm(access, options, |_| {})?;
        let peer = member.peer;
        swarm.meet(vec![member]);
        let mut read = Ok(());
        for stretch in stretches {
            read = self.read(&swarm, peer, stretch).await;
            if read.is_err() {
                break;
            }
        }
        let (received, sent) = (swarm.traffic().received(), swarm.traffic().sent());
        self.moved.wire_in.fetch_add(received, Ordering::Relaxed);
        self.moved.wire_out.fetch_add(sent, Ordering::Relaxed);
        read
    }

    /// Reads one stretch, chunk by chunk, into the destination.
    async fn read(&self, swarm: &Dialled, peer: PeerKey, stretch: Stretch) -> Result<(), ApiError> {
        let mut here = stretch.here.start;
        let length = stretch.here.end - stretch.here.start;
        let end = stretch.there.checked_add(length).ok_or_else(beyond)?;
        let mut chunks = swarm.read(stretch.there..end);
        while let Some(chunk) = chunks.recv().await {
            let (chunk, receive) = (chunk?, Arc::clone(&self.receive));
            let range = here..here + chunk.len() as u64;
            here = range.end;
            blocking(move || Ok::<_, ApiError>(receive.write(range.start, &chunk)?)).await?;
            let bytes = range.end - range.start;
            self.moved.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.swarm.landed(peer, range);
        }
        Ok(())
    }
}

fn beyond() -> ApiError {
    ApiError::new(ErrorKind::Integrity, "a place lies beyond all positions")
}

/// What of `positions` can be asked for: the lists of the files that they lie in, and chunks, as many as
/// one question may name.
fn wanted(
    store: &Store,
    snapshot: &Snapshot,
    positions: &RangeSet,
) -> Result<Vec<Wanted>, ApiError> {
    let mut found: Vec<Wanted> = Vec::new();
    for range in positions.iter() {
        let mut cursor = SnapshotCursor::new(snapshot);
        cursor.seek(range.start);
        while let Some(step) = cursor.next(store)? {
            let wanted = match step {
                Step::Entry { position, .. } if position >= range.end => break,
                Step::Entry {
                    position, entry, ..
                } => list_of(&entry, position),
                Step::Chunk {
                    position, chunk, ..
                } => Some(Wanted {
                    sought: Sought::Chunk(chunk.id),
                    at: position..position + u64::from(chunk.length),
                }),
            };
            let Some(wanted) = wanted else { continue };
            if wanted.at.start >= range.end {
                break;
            }
            // A file in which several ranges lie is met once for each.
            if found.iter().any(|known| known.sought == wanted.sought) {
                continue;
            }
            found.push(wanted);
            if found.len() == LOCATE_IDS_MAX {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// The list of a file of several chunks.
fn list_of(entry: &Entry, position: u64) -> Option<Wanted> {
    match entry.kind {
        EntryKind::File {
            content: Content::List(list),
            size,
            ..
        } => Some(Wanted {
            sought: Sought::Content(list),
            at: position..position + size,
        }),
        _ => None,
    }
}

/// What to read where: each position once, from whoever is told of first.
fn visits(positions: &RangeSet, wanted: &[Wanted], standings: Vec<Standing>) -> Visits {
    let mut left = positions.clone();
    let mut visits = Visits::new();
    for Standing { at, place } in standings {
        let Some(wanted) = wanted.get(usize::from(place.index)) else {
            continue;
        };
        let to_read: Vec<_> = left.within(wanted.at.clone()).collect();
        for here in to_read {
            left.remove(here.clone());
            let there = place.position.saturating_add(here.start - wanted.at.start);
            let visit = visits.entry((at.peer, place.snapshot));
            let (_, stretches) = visit.or_insert_with(|| (at.clone(), Vec::new()));
            match stretches.last_mut() {
                Some(last) if last.continues_at(&here, there) => last.here.end = here.end,
                _ => stretches.push(Stretch { here, there }),
            }
        }
    }
    visits
}

impl Stretch {
    fn continues_at(&self, here: &Range<u64>, there: u64) -> bool {
        let length = self.here.end - self.here.start;
        self.here.end == here.start && self.there.checked_add(length) == Some(there)
    }
}
