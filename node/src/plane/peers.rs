//! The peers that this node has met since it started.
//!
//! Owns: a bounded table of who was dialled or came, and how that went. Refuses: judgement;
//! dropping a peer that misbehaves is the swarm's.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use shoal_protocol::peer::PeerKey;

use crate::api::{LinkInfo, PeerInfo};
use crate::data::{ConnectedPeer, FetchEvent};
use crate::node::unix_now_s;

/// The most peers that are remembered; the one heard of longest ago makes room.
const PEERS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<HashMap<PeerKey, PeerInfo>>);

/// The peers that one swarm has met.
pub(super) struct Met {
    peers: Arc<Peers>,
    connected: Mutex<BTreeSet<PeerKey>>,
}

impl Met {
    pub(super) fn new(peers: &Arc<Peers>) -> Self {
        Self {
            peers: Arc::clone(peers),
            connected: Mutex::default(),
        }
    }

    /// Takes note of what the swarm tells.
    pub(super) fn heard(&self, event: &FetchEvent) {
        match event {
            FetchEvent::Connected {
                peer,
                address,
                path,
                round_trip,
            } => {
                self.set().insert(*peer);
                let took = path.round_trip.unwrap_or(*round_trip);
                self.peers.update(*peer, |info| {
                    info.connected = true;
                    info.address = address.as_ref().map(ToString::to_string);
                    info.link = Some(LinkInfo {
                        way: path.way.to_string(),
                        why: Some(path.why.to_string()),
                        rtt_us: u64::try_from(took.as_micros()).ok(),
                    });
                });
            }
            FetchEvent::Lost { peer, .. } | FetchEvent::Dropped { peer, .. } => {
                self.set().remove(peer);
                self.peers.update(*peer, |info| info.connected = false);
            }
            FetchEvent::BadChunk { peer, .. } => {
                self.peers.update(*peer, |info| info.chunks_wrong += 1);
            }
            FetchEvent::Connecting { .. }
            | FetchEvent::Waiting(_)
            | FetchEvent::Fetching
            | FetchEvent::Checkpoint => {}
        }
    }

    pub(super) fn connected(&self) -> u32 {
        u32::try_from(self.set().len()).unwrap_or(u32::MAX)
    }

    /// The swarm is over. What it moved is put down to its peer, where there was but one.
    pub(super) fn left(&self, wire_in: u64, wire_out: u64) {
        let connected = std::mem::take(&mut *self.set());
        let alone = connected.len() == 1;
        for peer in connected {
            self.peers.update(peer, |info| {
                info.connected = false;
                if alone {
                    info.wire_in += wire_in;
                    info.wire_out += wire_out;
                }
            });
        }
    }

    fn set(&self) -> MutexGuard<'_, BTreeSet<PeerKey>> {
        self.connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers {
    fn update(&self, peer: PeerKey, change: impl FnOnce(&mut PeerInfo)) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            let oldest = peers.iter().min_by_key(|(_, info)| info.seen_unix_s);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                peers.remove(&oldest);
            }
        }
        let info = peers.entry(peer).or_insert_with(|| unknown(peer));
        info.seen_unix_s = unix_now_s();
        change(info);
    }

    /// Takes note of guests that have left.
    pub(super) fn remember(&self, departed: Vec<ConnectedPeer>) {
        for guest in departed {
            self.update(guest.peer, |info| {
                info.address = guest.address.map(|address| address.to_string());
                info.wire_in += guest.wire_in;
                info.wire_out += guest.wire_out;
            });
        }
    }

    /// Everybody, those who are connected first. `guests` are connected to us now.
    pub(super) fn list(&self, guests: Vec<ConnectedPeer>) -> Vec<PeerInfo> {
        for guest in &guests {
            self.update(guest.peer, |info| {
                info.address = guest.address.map(|address| address.to_string());
            });
        }
        let mut peers = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for guest in guests {
            let info = peers
                .entry(guest.peer)
                .or_insert_with(|| unknown(guest.peer));
            info.connected = true;
            info.link.get_or_insert_with(|| LinkInfo {
                way: guest.way.to_string(),
                why: None,
                rtt_us: None,
            });
            info.wire_in += guest.wire_in;
            info.wire_out += guest.wire_out;
            let since = guest.since.duration_since(UNIX_EPOCH);
            info.seen_unix_s = info.seen_unix_s.max(since.map_or(0, |s| s.as_secs()));
        }
        let mut list: Vec<_> = peers.into_values().collect();
        list.sort_by_key(|info| {
            (
                !info.connected,
                std::cmp::Reverse(info.seen_unix_s),
                info.peer,
            )
        });
        list
    }
}

pub(crate) fn unknown(peer: PeerKey) -> PeerInfo {
    PeerInfo {
        peer,
        address: None,
        connected: false,
        wire_in: 0,
        wire_out: 0,
        chunks_wrong: 0,
        seen_unix_s: 0,
        member: None,
        link: None,
        way: None,
        rtt_us: None,
    }
}
