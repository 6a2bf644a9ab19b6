//! Finding each other, and who has what: the control plane at work for a node in a team.
//!
//! Owns: the running control plane with its records, and the four things done with it: telling
//! members of the team what is new ([`contact`], [`conversing`]), answering them ([`answering`];
//! where things stand, [`placing`]), announcing what is here ([`advertising`], as often as
//! members come and go: [`churn`]), and searching ([`searching`], [`locating`]). Refuses: libp2p,
//! which is `control`'s; deciding, which the machines of `shoal_protocol::advert` do; and bytes.

mod advertising;
mod answering;
mod churn;
mod contact;
mod conversing;
mod keeping;
mod locating;
mod placing;
mod reading;
mod searching;
mod shown;
mod starting;
mod streams;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_protocol::access::team::EpochSecret;
use shoal_protocol::advert::DiscoveryKey;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use shoal_store::Store;
use shoal_store::providers::ProviderStore;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::api::AdvertStatus;
use crate::team::TeamBook;
use shoal_control::{ControlHandle, ControlPeer, ControlTraffic, PeerId};
use shown::Shown;

pub(crate) use locating::Standing;
pub(crate) use searching::{Searched, Sighting, Until};
pub(crate) use starting::remember_minter;

/// Snapshots that wait to be announced; one more is left to the next sweep.
const ADDED_MAX: usize = 256;
/// How long who leaves waits for somebody to tell it to.
const MEETING: Duration = Duration::from_secs(5);
/// How often records are tidied and written.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// The control plane of a node that is in a team. Ends when it is dropped.
pub(crate) struct Finding {
    handle: ControlHandle,
    team: TeamBook,
    providers: Arc<ProviderStore>,
    added: mpsc::Sender<SnapshotId>,
    new_places: Arc<Notify>,
    shown: Shown,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl Finding {
    /// The members that are connected.
    pub(crate) async fn peers(&self) -> Vec<(PeerKey, ControlPeer)> {
        let peers = self.handle.peers().await.into_iter();
        peers
            .filter_map(|peer| Some((key_of(&peer.peer)?, peer)))
            .collect()
    }

    /// How far advertising is; nothing before there is a team to advertise to.
    pub(crate) fn advertising(&self) -> Option<AdvertStatus> {
        self.shown.status(Instant::now())
    }

    /// What went over the control plane since it started.
    pub(crate) fn traffic(&self) -> ControlTraffic {
        self.handle.traffic()
    }

    /// Has a snapshot announced that is new here.
    pub(crate) fn added(&self, snapshot: SnapshotId) {
        // The next sweep brings what does not fit.
        let _ = self.added.try_send(snapshot);
        self.new_places.notify_one();
    }

    /// Waits until a member is connected, for a while.
    pub(crate) async fn meet_somebody(&self) {
        let mut events = self.handle.events();
        let met = async {
            while self.handle.peers().await.is_empty() {
                let event = events.recv().await;
                if matches!(event, Err(RecvError::Closed)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(MEETING, met).await;
    }

    /// Stops for a node that has left: says so first to who is connected. Gives how many heard.
    pub(crate) async fn part(&self) -> usize {
        let told = contact::farewell(&self.handle, &self.team).await;
        self.close().await;
        told
    }

    /// Stops, and writes down what it knows.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        // Whom it knows is written down while it still knows.
        self.tasks.wait().await;
        self.handle.shutdown().await;
        let providers = Arc::clone(&self.providers);
        let flushed = tokio::task::spawn_blocking(move || providers.flush()).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the provider records are not written");
        }
    }
}

/// The discovery key of the epoch in force, with the number of the epoch.
fn discovery(team: &TeamBook) -> Option<(u64, DiscoveryKey)> {
    let (number, secret) = team.secret()?;
    Some((number, discovery_key(&secret)))
}

fn discovery_key(secret: &EpochSecret) -> DiscoveryKey {
    let key = blake3::derive_key("shoal 1 team discovery", secret.as_bytes());
    DiscoveryKey::from_bytes(key)
}

/// The key of a peer; nothing if it is none of ours.
fn key_of(peer: &PeerId) -> Option<PeerKey> {
    peer.to_string().parse().ok()
}

/// Tidies and writes the records now and then, and forgets those of who is a member no more.
async fn tidy(providers: Arc<ProviderStore>, team: TeamBook, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TIDY_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let (providers, team) = (Arc::clone(&providers), team.clone());
        let tidied = tokio::task::spawn_blocking(move || {
            let members = team.members().into_iter().map(|member| member.node);
            for gone in members.filter(|node| !team.is_member(node)) {
                providers.forget(&gone)?;
            }
            providers.expire(crate::node::unix_now_s())?;
            providers.flush()
        });
        if let Ok(Err(error)) = tidied.await {
            tracing::warn!(%error, "the provider records are not tidied");
        }
    }
}

/// What the tasks share.
#[derive(Clone)]
struct Shared {
    handle: ControlHandle,
    team: TeamBook,
    store: Store,
    stop: CancellationToken,
}
