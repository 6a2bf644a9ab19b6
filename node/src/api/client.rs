//! The one way to a node's operations: over the socket of the node that runs, or of the node
//! that this process becomes when none does.
//!
//! Owns: the choice between the two, requests, the streams that replies come in. An embedded
//! node is spoken to over its own socket as well, so there is one path to test and any other
//! command finds it.

use std::marker::PhantomData;
use std::path::Path;

use crate::api::errors::ApiError;
use crate::api::types::*;
use crate::config::Config;

/// Whether a command may open the store itself.
#[derive(Debug, Clone)]
pub enum ConnectMode {
    /// Only a node that runs already: `down`, `peers`.
    Running,
    /// The node that runs, else this process becomes one for the length of its command.
    OrEmbed(Box<Config>),
}

/// A connection to a node.
#[derive(Debug)]
pub struct Client(());

/// The reply of a long operation, event by event. Dropping it cancels the operation, which
/// can be gone on with later.
#[derive(Debug)]
pub struct Events<D, I = Never>(PhantomData<(D, I)>);

impl<D, I> Events<D, I> {
    /// The next event. `Done` is the last; errors come as `Err`, also when the node went away.
    /// Nothing after the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Event<D, I>, ApiError>> {
        todo!()
    }
}

/// The bytes of `cat`. Dropping it stops the reading.
#[derive(Debug)]
pub struct Bytes(());

impl Bytes {
    /// The next bytes; nothing at the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<bytes::Bytes, ApiError>> {
        todo!()
    }
}

impl Client {
    /// Reaches the node of this home, or becomes it. Waits a while for one that is just
    /// starting or stopping, then `Busy`, naming who holds the store.
    pub async fn connect(_home: &Path, _mode: ConnectMode) -> Result<Self, ApiError> {
        todo!()
    }

    /// Whether this process is the node.
    pub fn is_embedded(&self) -> bool {
        todo!()
    }

    /// Ends the connection. An embedded node stays until the other commands that use it are
    /// done: `notice` is told how many there are, once, if it has to wait. Then it closes its
    /// store. If the future is dropped the node closes at once, and their operations with it.
    pub async fn finish(self, _notice: impl FnOnce(usize)) -> Result<(), ApiError> {
        todo!()
    }

    /// Keeps a snapshot of a file or folder.
    pub async fn add(&self, _request: &AddRequest) -> Result<Events<Added>, ApiError> {
        todo!()
    }

    /// Makes a ticket. Its item comes when the ticket is good; after that a daemon ends the
    /// reply, and any other node serves for as long as the reply is read.
    pub async fn share(&self, _request: &ShareRequest) -> Result<Events<Served, Shared>, ApiError> {
        todo!()
    }

    /// Fetches an artifact to its place. Its item comes when it is whole; with `linger_s` the
    /// reply goes on, serving, for that time (a daemon ends it and serves on by itself).
    pub async fn get(&self, _request: &GetRequest) -> Result<Events<Served, Got>, ApiError> {
        todo!()
    }

    /// Lists what is in an artifact.
    pub async fn ls(&self, _request: &LsRequest) -> Result<Events<Listed, LsEntry>, ApiError> {
        todo!()
    }

    /// Every snapshot the store knows, newest first.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotInfo>, ApiError> {
        todo!()
    }

    /// The bytes of a file in an artifact.
    pub async fn cat(&self, _request: &CatRequest) -> Result<Bytes, ApiError> {
        todo!()
    }

    /// Sizes.
    pub async fn du(&self, _request: &DuRequest) -> Result<Du, ApiError> {
        todo!()
    }

    /// How two artifacts differ, path by path.
    pub async fn diff(
        &self,
        _request: &DiffRequest,
    ) -> Result<Events<Diffed, Difference>, ApiError> {
        todo!()
    }

    /// Hashes what is held and compares.
    pub async fn verify(
        &self,
        _request: &VerifyRequest,
    ) -> Result<Events<Verified, Problem>, ApiError> {
        todo!()
    }

    /// What the node is and does.
    pub async fn status(&self) -> Result<Status, ApiError> {
        todo!()
    }

    /// Peers the node has met, connected ones first.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, ApiError> {
        todo!()
    }

    /// Checks that only a node can make.
    pub async fn doctor(&self) -> Result<Vec<Check>, ApiError> {
        todo!()
    }

    /// Asks the node to stop, and waits until its store is closed.
    pub async fn shut_down(&self) -> Result<(), ApiError> {
        todo!()
    }
}
