//! The way in for the rest of the node.
//!
//! Owns: starting and stopping, and the queue of commands: while it is full, whoever asks
//! waits. Everything that waits for a peer has a limit in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::command::Command;
use super::config::ControlConfig;
use super::errors::{RequestError, StartError, StreamError};
use super::events::ControlEvent;
use super::names::Protocol;
use super::peers::{ControlPeer, PeerContact, Reachability};
use super::plane::{Environment, Plane};
use super::requests::{Membership, Requests};
use super::streams::DataStream;
use super::traffic::{ControlTraffic, Counters};
use super::transport;

/// Commands that wait; more make their callers wait.
const COMMANDS_MAX: usize = 128;
/// Events that a listener may be behind before it misses the oldest.
const EVENTS_MAX: usize = 256;
/// How long the addresses that are known of a peer have for themselves before others are
/// looked up.
const KNOWN_ALONE: Duration = Duration::from_millis(500);
/// What a wait in this node's own queues may add to a limit in time.
const SLACK: Duration = Duration::from_secs(5);

/// Where the control plane starts.
pub struct ControlPlane;

impl ControlPlane {
    /// Opens the sockets and begins; fails if one of them cannot be opened. Runs until
    /// [`ControlHandle::shutdown`], or until all handles are dropped. Must be called in a
    /// tokio runtime.
    pub fn start(
        keypair: &libp2p_identity::ed25519::Keypair,
        config: ControlConfig,
        membership: Arc<dyn Membership>,
        requests: Arc<dyn Requests>,
    ) -> Result<ControlHandle, StartError> {
        let keypair = Keypair::from(keypair.clone());
        let (incoming, streams) = mpsc::channel(config.limits.streams_waiting_max.max(1));
        let counters = Counters::default();
        let mut swarm =
            transport::swarm(&keypair, &config, membership, incoming, counters.clone())?;
        transport::listen(&mut swarm, &config.listen)?;
        let (commands, orders) = mpsc::channel(COMMANDS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let local = *swarm.local_peer_id();
        let patience = config.limits.request.max(config.limits.lookup) + SLACK;
        let environment = Environment {
            orders,
            events: events.clone(),
            requests,
            counters: counters.clone(),
            now: Instant::now(),
        };
        let task = tokio::spawn(Plane::new(swarm, config, environment).run());
        Ok(ControlHandle {
            local,
            commands,
            events,
            patience,
            counters,
            streams: Arc::new(Mutex::new(Some(streams))),
            task: Arc::new(Mutex::new(Some(task))),
        })
    }
}

/// A running control plane. Clones are the same one.
#[derive(Clone)]
pub struct ControlHandle {
    local: PeerId,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<ControlEvent>,
    patience: Duration,
    counters: Counters,
    streams: Arc<Mutex<Option<mpsc::Receiver<DataStream>>>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl ControlHandle {
    /// Who this node is.
    pub fn local_peer(&self) -> PeerId {
        self.local
    }

    /// What went over the control plane since it started.
    pub fn traffic(&self) -> ControlTraffic {
        self.counters.now()
    }

    /// What happens from now on. Who falls behind by 256 events misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<ControlEvent> {
        self.events.subscribe()
    }

    /// The streams that others open; for the first who asks. While nobody takes them, a few
    /// wait and more are refused.
    pub async fn incoming_streams(&self) -> Option<mpsc::Receiver<DataStream>> {
        self.streams.lock().await.take()
    }

    /// The members closest to `key` in the DHT, at most 20, the closest first; this node is
    /// not among them. `key` is hashed before it is compared. What is found when the time
    /// is over counts; empty if nobody is known, or too many lookups are under way.
    pub async fn closest_peers(&self, key: &[u8]) -> Vec<PeerContact> {
        let key = key.to_vec();
        let found = self.ask(|reply| Command::Closest { key, reply }).await;
        found.flatten().unwrap_or_default()
    }

    /// Where `peer` may be reached, according to the DHT.
    pub async fn find_peer(&self, peer: PeerId) -> Option<PeerContact> {
        let closest = self.closest_peers(&peer.to_bytes()).await;
        closest.into_iter().find(|contact| contact.peer == peer)
    }

    /// Sends a request to a member and waits for the answer. It is dialled if need be, and
    /// looked up if nothing else is known of it.
    pub async fn request(
        &self,
        peer: PeerId,
        protocol: Protocol,
        bytes: Bytes,
    ) -> Result<Bytes, RequestError> {
        let first = self.exchange(peer, Vec::new(), protocol, bytes.clone());
        match first.await {
            // Not found is no reason to stop: the lookup may have connected the two.
            Err(RequestError::Unreachable { .. }) => {
                let found = self.find_peer(peer).await;
                let addresses = found.map_or(Vec::new(), |contact| contact.addresses);
                self.exchange(peer, addresses, protocol, bytes).await
            }
            outcome => outcome,
        }
    }

    /// Presents `bytes` to a peer that may not take this node for a member, or is not known
    /// as one here; it is dialled at `addresses` too. Afterwards, when both ends know of each
    /// other, [`Self::reconnect`].
    pub async fn admit(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        bytes: Bytes,
    ) -> Result<Bytes, RequestError> {
        self.exchange(peer, addresses, Protocol::Admit, bytes).await
    }

    async fn exchange(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        protocol: Protocol,
        bytes: Bytes,
    ) -> Result<Bytes, RequestError> {
        let max = protocol.request_bytes_max();
        if bytes.len() > max {
            return Err(RequestError::TooLarge {
                protocol,
                bytes: bytes.len(),
                max,
            });
        }
        self.exchange_unbounded(peer, addresses, protocol, bytes)
            .await
    }

    /// The same, whatever the size of the request.
    pub(super) async fn exchange_unbounded(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        protocol: Protocol,
        bytes: Bytes,
    ) -> Result<Bytes, RequestError> {
        let answer = self.ask(|reply| Command::Request {
            peer,
            addresses,
            protocol,
            bytes,
            reply,
        });
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answer) => answer.unwrap_or(Err(RequestError::Stopped)),
            Err(_) => Err(RequestError::Timeout { peer }),
        }
    }

    /// A raw stream to a member, over a direct connection if there is one. It is dialled if
    /// need be, and looked up if it is not reached at once: what is known of it may be old.
    pub async fn open_stream(&self, peer: PeerId) -> Result<DataStream, StreamError> {
        let mut known = std::pin::pin!(self.stream(peer, Vec::new()));
        let first = tokio::time::timeout(KNOWN_ALONE, &mut known).await;
        let is_dialled = match first {
            Ok(Err(StreamError::Unreachable { .. })) => false,
            Ok(outcome) => return outcome,
            Err(_) => true,
        };
        let found = async {
            let found = self.find_peer(peer).await;
            let addresses = found.map_or(Vec::new(), |contact| contact.addresses);
            self.stream(peer, addresses).await
        };
        let mut found = std::pin::pin!(found);
        tokio::select! {
            known = &mut known, if is_dialled => match known {
                Err(_) => found.await,
                stream => stream,
            },
            outcome = &mut found => match outcome {
                Err(_) if is_dialled => known.await,
                outcome => outcome,
            },
        }
    }

    async fn stream(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<DataStream, StreamError> {
        let stream = self.ask(|reply| Command::Stream {
            peer,
            addresses,
            reply,
        });
        match tokio::time::timeout(self.patience, stream).await {
            Ok(stream) => stream.unwrap_or(Err(StreamError::Stopped)),
            Err(_) => Err(StreamError::Timeout { peer }),
        }
    }

    /// Connects to whoever is at `address`; with `/p2p/…`, to that peer only. The error is a
    /// sentence.
    pub async fn dial(&self, address: Multiaddr) -> Result<PeerId, String> {
        let dialled = self.ask(|reply| Command::Dial { address, reply });
        match tokio::time::timeout(self.patience, dialled).await {
            Ok(dialled) => dialled.unwrap_or_else(|| Err(RequestError::Stopped.to_string())),
            Err(_) => Err("nobody answered in time".to_owned()),
        }
    }

    /// Closes the connections with `peer` on which one end is not a member to the other, and
    /// dials it again, at `addresses` and where it was, if no other is left: who was admitted
    /// becomes a member by that. Which those are is known from [`ControlEvent::Stranger`] and
    /// [`ControlEvent::NotAdmitted`] on.
    pub async fn reconnect(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.tell(Command::Reconnect { peer, addresses }).await;
    }

    /// This node is reachable from elsewhere at `address`. It relays for others from then on.
    pub async fn advertise(&self, address: Multiaddr) {
        self.tell(Command::Advertise { address }).await;
    }

    /// The members that are connected.
    pub async fn peers(&self) -> Vec<ControlPeer> {
        self.ask(Command::Peers).await.unwrap_or_default()
    }

    /// The members that are connected, and those of the routing table, to be given to the
    /// next run in [`ControlConfig::known`].
    pub async fn known_peers(&self) -> Vec<PeerContact> {
        self.ask(Command::Known).await.unwrap_or_default()
    }

    /// Where this node listens, at relays too.
    pub async fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.ask(Command::Listening).await.unwrap_or_default()
    }

    /// Whether others reach this node.
    pub async fn reachability(&self) -> Reachability {
        self.ask(Command::Reachability).await.unwrap_or_default()
    }

    /// Turns discovery on the LAN on or off.
    pub async fn set_mdns(&self, on: bool) -> std::io::Result<()> {
        let done = self.ask(|reply| Command::Mdns { on, reply }).await;
        done.unwrap_or_else(|| Err(std::io::Error::other("the control plane has stopped")))
    }

    /// Somebody is a member now who was not, or not any more who was: the connections of
    /// the latter end on sight.
    pub async fn membership_changed(&self) {
        self.tell(Command::MembershipChanged).await;
    }

    /// Stops, closes all connections and waits for that.
    pub async fn shutdown(&self) {
        self.tell(Command::Stop).await;
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the control plane failed");
        }
    }

    async fn tell(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            tracing::debug!("the control plane has stopped");
        }
    }

    /// Nothing, if the plane has stopped.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}
