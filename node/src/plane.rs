//! The node's use of the data plane: when it listens, and what others should dial.
//!
//! Owns: the endpoint and the listener while the node is open, the choice of ports, the
//! addresses that tickets name, the peers that were met. Refuses: bytes.

mod addresses;
mod doorman;
mod peers;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::access::Address;
use shoal_protocol::id::SnapshotId;
use shoal_store::Store;

use crate::api::{ApiError, ErrorKind, PeerInfo};
use crate::config::Config;
use crate::data::quic::QuicOptions;
use crate::data::{
    Access, Detour, Endpoint, EndpointOptions, FetchEvent, Limits, Listener, ListenerConfig, Swarm,
    SwarmOptions,
};
use crate::identity::Identity;
use crate::shares::Shares;
use crate::team::TeamBook;
use doorman::Doorman;
pub(crate) use peers::unknown;
use peers::{Met, Peers};

/// Where `up` listens if nothing else is configured.
const PORT: u16 = 4747;
/// The file in a home that remembers the port of the last share, so that its ticket still
/// leads here when the share is made again.
const LAST_PORT: &str = "run/port";

/// Connections to the sources of a snapshot.
pub(crate) struct Dialled {
    swarm: Swarm,
    met: Arc<Met>,
}

impl std::ops::Deref for Dialled {
    type Target = Swarm;

    fn deref(&self) -> &Swarm {
        &self.swarm
    }
}

impl Dialled {
    /// How many of the sources are connected.
    pub(crate) fn connected(&self) -> u32 {
        self.met.connected()
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        let traffic = self.swarm.traffic();
        self.met.left(traffic.received(), traffic.sent());
    }
}

/// A node's data plane.
pub(crate) struct Plane {
    home: PathBuf,
    config: Config,
    shares: Arc<Shares>,
    endpoint: Mutex<Option<Endpoint>>,
    listener: tokio::sync::Mutex<Option<Listener>>,
    peers: Arc<Peers>,
}

impl Plane {
    pub(crate) fn new(
        home: &Path,
        identity: &Identity,
        store: &Store,
        shares: &Arc<Shares>,
        team: &TeamBook,
        config: &Config,
    ) -> Result<Self, ApiError> {
        let agent = concat!("shoal/", env!("CARGO_PKG_VERSION"));
        let limits = Limits {
            up: config.up_max.bytes(),
            down: config.down_max.bytes(),
            peer_up: config.peer_up_max.bytes(),
            peer_down: config.peer_down_max.bytes(),
        };
        let options = EndpointOptions {
            limits,
            ways: config.ways(),
            quic: QuicOptions {
                window_bytes: config.quic_window.bytes(),
                ..QuicOptions::default()
            },
        };
        let (identity, team) = (identity.clone(), team.clone());
        let endpoint = Endpoint::of_node(identity, store.clone(), agent, options, team)?;
        Ok(Self {
            home: home.to_owned(),
            config: config.clone(),
            shares: Arc::clone(shares),
            endpoint: Mutex::new(Some(endpoint)),
            listener: tokio::sync::Mutex::new(None),
            peers: Arc::default(),
        })
    }

    /// The endpoint; `Interrupted` once the node has closed.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, ApiError> {
        let endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        endpoint.clone().ok_or_else(ApiError::interrupted)
    }

    /// Socket bytes received and sent since the node started.
    pub(crate) fn wire(&self) -> (u64, u64) {
        self.endpoint().map_or((0, 0), |endpoint| {
            (endpoint.traffic().received(), endpoint.traffic().sent())
        })
    }

    /// Listens, if it does not yet.
    pub(crate) async fn listen(&self, daemon: bool) -> Result<(), ApiError> {
        let mut listener = self.listener.lock().await;
        if listener.is_none() {
            let started = self.start(daemon).await?;
            let dialable = addresses::dialable(&started.addresses(), &self.config.advertise);
            self.endpoint()?.set_listening(dialable);
            *listener = Some(started);
        }
        Ok(())
    }

    async fn start(&self, daemon: bool) -> Result<Listener, ApiError> {
        if !self.config.listen.is_empty() {
            return self
                .try_start(self.config.listen.clone())
                .await
                .map_err(|error| {
                    let wanted: Vec<_> =
                        self.config.listen.iter().map(ToString::to_string).collect();
                    let message = format!("cannot listen on {}: {error}", wanted.join(", "));
                    ApiError::new(ErrorKind::Error, message)
                        .hint("choose other addresses with SHOAL_LISTEN or `listen` in config.toml")
                });
        }
        let wanted = if daemon { Some(PORT) } else { self.last_port() };
        for port in wanted.into_iter().chain([0]) {
            for ip in [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()] {
                if let Ok(listener) = self.try_start(vec![SocketAddr::new(ip, port)]).await {
                    if daemon && port == 0 {
                        tracing::warn!("port {PORT} is taken; listening on another");
                    }
                    self.remember_port(&listener, daemon);
                    return Ok(listener);
                }
            }
        }
        Err(ApiError::new(ErrorKind::Error, "cannot listen on any port")
            .hint("`shoal doctor` looks for the reason"))
    }

    async fn try_start(&self, addresses: Vec<SocketAddr>) -> Result<Listener, std::io::Error> {
        let endpoint = self
            .endpoint()
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::NotConnected))?;
        let config = ListenerConfig {
            addresses,
            strangers_max: self.config.strangers_max.get() as usize,
            peers_max: self.config.connections_max.get() as usize,
            ..ListenerConfig::default()
        };
        let doorman = Doorman {
            shares: Arc::clone(&self.shares),
            team: endpoint.team().clone(),
            store: endpoint.store().clone(),
        };
        Listener::start(endpoint, Arc::new(doorman), config).await
    }

    fn last_port(&self) -> Option<u16> {
        let text = std::fs::read_to_string(self.home.join(LAST_PORT)).ok()?;
        text.trim().parse().ok()
    }

    /// A convenience: a failure only means that the next share has another port.
    fn remember_port(&self, listener: &Listener, daemon: bool) {
        if let (false, [address, ..]) = (daemon, listener.addresses().as_slice()) {
            let text = address.port().to_string();
            if let Err(error) = std::fs::write(self.home.join(LAST_PORT), text) {
                tracing::debug!(%error, "the port is not remembered");
            }
        }
    }

    /// Where it listens; empty if it does not.
    pub(crate) async fn listening(&self) -> Vec<SocketAddr> {
        let listener = self.listener.lock().await;
        listener.as_ref().map_or_else(Vec::new, Listener::addresses)
    }

    /// What others should dial, best first.
    pub(crate) async fn dialable(&self) -> Vec<Address> {
        addresses::dialable(&self.listening().await, &self.config.advertise)
    }

    /// Begins to connect to those who serve what `access` is for.
    pub(crate) fn swarm(
        &self,
        access: Access,
        options: SwarmOptions,
        events: impl Fn(&FetchEvent) + Send + Sync + 'static,
    ) -> Result<Dialled, ApiError> {
        let endpoint = self.endpoint()?;
        let met = Arc::new(Met::new(&self.peers));
        let hears = Arc::clone(&met);
        let swarm = Swarm::start(&endpoint, access, options, move |event| {
            hears.heard(&event);
            events(&event);
        });
        Ok(Dialled { swarm, met })
    }

    /// Serves a member over a stream of the control plane, if this node serves at all.
    pub(crate) async fn attend(&self, stream: Detour) {
        if let Some(listener) = &*self.listener.lock().await {
            listener.attend(stream);
        }
    }

    /// Tells peers that more of a snapshot is offered than before.
    pub(crate) async fn offer_changed(&self, snapshot: &SnapshotId) {
        if let Some(listener) = &*self.listener.lock().await {
            listener.offer_changed(snapshot);
        }
    }

    /// How many peers are connected to us.
    pub(crate) async fn guests(&self) -> u32 {
        let listener = self.listener.lock().await;
        let count = listener
            .as_ref()
            .map_or(0, |listener| listener.peers().len());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The peers that were met, connected ones first.
    pub(crate) async fn peers(&self) -> Vec<PeerInfo> {
        let guests = match &*self.listener.lock().await {
            Some(listener) => {
                self.peers.remember(listener.take_departed());
                listener.peers()
            }
            None => Vec::new(),
        };
        self.peers.list(guests)
    }

    /// Says goodbye to everybody.
    pub(crate) async fn close(&self) {
        if let Some(listener) = self.listener.lock().await.take() {
            listener.stop().await;
        }
        let endpoint = self.endpoint.lock();
        let endpoint = endpoint.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(endpoint) = endpoint {
            endpoint.hang_up().await;
        }
    }
}
