//! One node: its disk, and the machines that it runs.
//!
//! Owns: what is on the disk, what of that is recorded, and what would be left after a power
//! cut. Refuses: to decide anything; what it fetches and serves, the product's machines say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_protocol::fetch::{Company, Fetch, Run, RunId};
use shoal_protocol::have::RangeSet;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::serve::{Serve, ServeConfig};
use shoal_protocol::wire::RequestId;

use super::connection::ConnectionId;
use super::event::Epoch;
use super::meeting::RETRY;
use super::network::{Pipe, Queue};
use super::setup::NodeSetup;

/// Answers that a node has running at once, as in the product.
const ACTIVE_MAX: usize = 16;
/// Runs are planned in this length, as in the product.
pub(super) const RUN_BYTES: u64 = 1 << 20;
/// Bytes of runs that may be outstanding, as in the product.
pub(super) const OUTSTANDING_BYTES_MAX: u64 = 256 << 20;

/// What a node has.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) pipe: Pipe,
    pub(super) room: u64,
    /// What was written.
    pub(super) held: RangeSet,
    /// What of that was recorded: it is offered, and survives a power cut.
    pub(super) recorded: Arc<RangeSet>,
    /// What of it is wrong. Nothing ever should be.
    pub(super) wrong: RangeSet,
}

/// A request that the serving machine knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) connection: ConnectionId,
    pub(super) request: RequestId,
}

/// A node that is somewhere in the swarm.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) key: PeerKey,
    pub(super) setup: NodeSetup,
    pub(super) epoch: Epoch,
    pub(super) is_up: bool,
    pub(super) uplink: Queue,
    pub(super) downlink: Pipe,
    pub(super) disk: Disk,
    pub(super) serve: Serve,
    pub(super) requests: u64,
    pub(super) asked: BTreeMap<RequestId, Asked>,
    /// Those who were let in.
    pub(super) visitors: Vec<ConnectionId>,
    pub(super) fetcher: Option<Fetcher>,
    /// When to ask again for what nobody had.
    pub(super) ask_again: Option<Instant>,
    /// Bytes of chunks that it sent.
    pub(super) sent: u64,
    /// Bytes that it carried for others.
    pub(super) relayed: u64,
    /// When it had everything.
    pub(super) finished: Option<Instant>,
    /// Bytes that came more than once.
    pub(super) repeated: u64,
    /// What it has been asked for since it behaves as it does.
    pub(super) misbehaved: u64,
}

impl Node {
    pub(super) fn new(
        now: Instant,
        index: usize,
        seed: u64,
        setup: &NodeSetup,
        bytes: u64,
    ) -> Self {
        let held = match setup.is_source {
            true => RangeSet::of(0..bytes),
            false => RangeSet::new(),
        };
        Self {
            key: key_of(seed, index),
            setup: setup.clone(),
            epoch: 0,
            is_up: setup.is_source,
            uplink: Queue::new(now, setup.up),
            downlink: Pipe::new(now, setup.down),
            disk: Disk {
                pipe: Pipe::new(now, setup.disk),
                room: setup.room,
                recorded: Arc::new(held.clone()),
                held,
                wrong: RangeSet::new(),
            },
            serve: serve(),
            requests: 0,
            asked: BTreeMap::new(),
            visitors: Vec::new(),
            fetcher: None,
            ask_again: None,
            sent: 0,
            relayed: 0,
            finished: setup.is_source.then_some(now),
            repeated: 0,
            misbehaved: 0,
        }
    }

    /// Whether it lets others in: it has begun to fetch, or has everything.
    pub(super) fn serves(&self) -> bool {
        let fetches = self.fetcher.as_ref().is_some_and(|fetcher| fetcher.is_open);
        self.is_up && (self.finished.is_some() || fetches)
    }
}

/// A machine that answers nobody yet.
pub(super) fn serve() -> Serve {
    Serve::new(ServeConfig {
        active_max: ACTIVE_MAX,
        ..ServeConfig::default()
    })
}

/// The key of a node. The last bytes are its index, the others as good as random.
fn key_of(seed: u64, index: usize) -> PeerKey {
    let parts = [seed, index as u64].map(u64::to_le_bytes);
    let mut key = *blake3::hash(parts.as_flattened()).as_bytes();
    key[24..].copy_from_slice(&(index as u64).to_le_bytes());
    PeerKey::from_bytes(key)
}

/// The index of the node with this key.
pub(super) fn index_of(key: &PeerKey) -> usize {
    let (_, back) = key.as_bytes().split_last_chunk().expect("keys are longer");
    usize::try_from(u64::from_le_bytes(*back)).expect("an index")
}

/// Somebody of whom a fetching node knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contact {
    pub(super) attempts: u32,
    pub(super) pause: Duration,
}

impl Contact {
    /// Nobody has tried it yet.
    pub(super) fn new() -> Self {
        Self {
            attempts: 0,
            pause: RETRY.0,
        }
    }
}

/// A fetch that is under way.
#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) machine: Fetch,
    /// Whether its destination is open, so that it lets others in.
    pub(super) is_open: bool,
    /// Those who let it in.
    pub(super) sessions: BTreeMap<usize, ConnectionId>,
    /// With whom it is in touch,
    pub(super) company: Company,
    /// and how it goes with each of these.
    pub(super) contacts: BTreeMap<usize, Contact>,
    pub(super) plan: VecDeque<Run>,
    pub(super) open_runs: BTreeMap<RunId, Run>,
    pub(super) open_bytes: u64,
    pub(super) is_all_planned: bool,
    /// Bytes since what is here was recorded last,
    pub(super) unrecorded: u64,
    /// and when that was.
    pub(super) recorded_at: Instant,
    pub(super) is_checkpoint_due: bool,
    pub(super) is_recording: bool,
    pub(super) wake_at: Option<Instant>,
    /// Bad chunks by whom they came from.
    pub(super) bad_chunks: BTreeMap<usize, u32>,
}
