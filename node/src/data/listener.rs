//! The door: others connect here, prove who they are and what they may read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;

use super::{Admission, Endpoint};

/// How others are let in.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Where to listen; port 0 takes any that is free.
    pub addresses: Vec<SocketAddr>,
    /// The most connections that have not presented a valid grant yet; each costs about
    /// 40 KiB. One more, and the oldest of them is closed.
    pub strangers_max: usize,
    /// The same, of one IP address.
    pub strangers_per_address_max: usize,
    /// The most connections that have; more are told to come back. Each costs up to 1 MiB
    /// while it is sent to.
    pub peers_max: usize,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            strangers_max: 256,
            strangers_per_address_max: 64,
            peers_max: 256,
        }
    }
}

/// A peer that is connected and was let in.
#[derive(Debug, Clone)]
pub struct ConnectedPeer {
    /// Who.
    pub peer: PeerKey,
    /// From where.
    pub address: SocketAddr,
    /// What it calls its software.
    pub agent: String,
    /// Since when.
    pub since: SystemTime,
    /// Socket bytes received from it.
    pub wire_in: u64,
    /// Socket bytes sent to it.
    pub wire_out: u64,
}

/// Accepts and serves connections until it is stopped or dropped.
pub struct Listener {}

impl Listener {
    /// Opens the sockets and begins to serve; fails if none can be opened.
    pub async fn start(
        _endpoint: Endpoint,
        _admission: Arc<dyn Admission>,
        _config: ListenerConfig,
    ) -> io::Result<Self> {
        todo!()
    }

    /// Where it listens, with the ports that were found.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        todo!()
    }

    /// Who is connected and let in.
    pub fn peers(&self) -> Vec<ConnectedPeer> {
        todo!()
    }

    /// Says that more (or less) of a snapshot is offered than before, so that peers that
    /// asked for it are told. Call it after a checkpoint of a receive.
    pub fn offer_changed(&self, _snapshot: &SnapshotId) {
        todo!()
    }

    /// Lets nobody in any more, lets started answers end for a moment, says goodbye.
    pub async fn stop(self) {
        todo!()
    }
}
