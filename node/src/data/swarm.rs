//! The connections to those who serve one snapshot, and what can be had through them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p_identity::ed25519;
use shoal_protocol::access::{SignedGrant, Source, Ticket};
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::snapshot::Snapshot;
use shoal_store::receive::Receive;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Endpoint, FetchError, FetchEvent, Traffic};
use crate::identity::Identity;

/// A right to read a snapshot, the key that proves it, and whom to ask.
#[derive(Clone)]
pub struct Access {
    /// The right.
    pub grant: SignedGrant,
    /// The key pair of the grant's holder.
    pub holder: ed25519::Keypair,
    /// Whom to ask, best first.
    pub sources: Vec<Source>,
}

impl Access {
    /// What `ticket` gives the node with this identity at `now_unix_s`.
    pub fn of_ticket(
        _ticket: &Ticket,
        _identity: &Identity,
        _now_unix_s: u64,
    ) -> Result<Self, FetchError> {
        todo!()
    }

    /// The snapshot that it is for.
    pub fn snapshot(&self) -> SnapshotId {
        todo!()
    }
}

/// How patiently a swarm works.
#[derive(Debug, Clone)]
pub struct SwarmOptions {
    /// Give up after so long without progress; never, if nothing.
    pub timeout: Option<Duration>,
    /// Stops everything that the swarm does. What came is kept.
    pub cancelled: CancellationToken,
}

/// What moved for a fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchOutcome {
    /// Socket bytes received by this swarm.
    pub wire_in: u64,
    /// Socket bytes sent by this swarm.
    pub wire_out: u64,
}

/// Connections to the sources of one snapshot. They are made, and made again, in the
/// background, until it is dropped.
pub struct Swarm {}

impl Swarm {
    /// Begins to connect. `events` is called from async threads and must return quickly.
    pub fn start(
        _endpoint: &Endpoint,
        _access: Access,
        _options: SwarmOptions,
        _events: impl Fn(FetchEvent) + Send + Sync + 'static,
    ) -> Self {
        todo!()
    }

    /// The snapshot's record, from the first source that lets us in.
    pub async fn snapshot(&self) -> Result<Snapshot, FetchError> {
        todo!()
    }

    /// Fetches pages of the snapshot, verifies them and puts them into the store. They are
    /// visible there when this returns.
    pub async fn fetch_pages(&self, _pages: Vec<PageId>) -> Result<(), FetchError> {
        todo!()
    }

    /// Fetches everything that `receive` wants. [`Receive::finish`] is left to the caller,
    /// who also owns what happens after an error; a checkpoint was written by then.
    pub async fn fetch(&self, _receive: Arc<Receive>) -> Result<FetchOutcome, FetchError> {
        todo!()
    }

    /// The bytes at `positions` of the snapshot, verified and in order, with nothing else
    /// fetched than the pages that lead there. Ends behind the last byte or the first error.
    pub fn read(&self, _positions: Range<u64>) -> mpsc::Receiver<Result<Bytes, FetchError>> {
        todo!()
    }

    /// What its sockets moved so far.
    pub fn traffic(&self) -> &Arc<Traffic> {
        todo!()
    }
}
