//! What every connection of a node needs: its key, its certificate, its store, and who else is
//! there.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use shoal_protocol::access::Address;
use shoal_protocol::peer::PeerKey;
use shoal_store::Store;
use tokio::time::timeout;

use super::crowd::Crowd;
use super::detour::{Detour, Detours};
use super::pace::Paces;
use super::quic::{QuicOptions, QuicSocket};
use super::tls::{TlsIdentity, TlsSetupError};
use super::traffic::Traffic;
use super::way::Ways;
use crate::identity::Identity;
use crate::team::TeamBook;

/// How long connections may take to end when the node closes.
const HANG_UP: Duration = Duration::from_secs(1);

/// One end of the data plane. Clones are the same endpoint.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    tls: TlsIdentity,
    store: Store,
    agent: String,
    traffic: Arc<Traffic>,
    options: EndpointOptions,
    /// Where QUIC is dialled from, once it was.
    quic: Mutex<Option<Arc<QuicSocket>>>,
    detours: RwLock<Option<Arc<dyn Detours>>>,
    crowd: Crowd,
    team: TeamBook,
    listening: RwLock<Vec<Address>>,
}

/// How many bytes a second may go over the network, headers of TCP not counted; 0 for no
/// limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Sent, in all.
    pub up: u64,
    /// Received, in all.
    pub down: u64,
    /// Sent over one connection.
    pub peer_up: u64,
    /// Received over one connection.
    pub peer_down: u64,
}

/// What can be chosen about an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointOptions {
    /// How many bytes may go.
    pub limits: Limits,
    /// What may carry links.
    pub ways: Ways,
    /// How QUIC does.
    pub quic: QuicOptions,
}

impl Endpoint {
    /// The endpoint of the node with this identity and store, without limits; `agent` is the
    /// software and its version, as others may show it.
    pub fn new(identity: Identity, store: Store, agent: &str) -> Result<Self, TlsSetupError> {
        Self::with_options(identity, store, agent, EndpointOptions::default())
    }

    /// The same, with options.
    pub fn with_options(
        identity: Identity,
        store: Store,
        agent: &str,
        options: EndpointOptions,
    ) -> Result<Self, TlsSetupError> {
        let team = TeamBook::none(&identity);
        Self::of_node(identity, store, agent, options, team)
    }

    /// The same, for members of a team.
    pub(crate) fn of_node(
        identity: Identity,
        store: Store,
        agent: &str,
        options: EndpointOptions,
        team: TeamBook,
    ) -> Result<Self, TlsSetupError> {
        let tls = TlsIdentity::new(&identity)?;
        let limits = options.limits;
        Ok(Self {
            inner: Arc::new(Inner {
                identity,
                tls,
                store,
                agent: agent.to_owned(),
                traffic: Traffic::limited(Paces::of(limits.up, limits.down)),
                options,
                quic: Mutex::default(),
                detours: RwLock::default(),
                crowd: Crowd::default(),
                team,
                listening: RwLock::default(),
            }),
        })
    }

    /// Who this node is.
    pub fn peer_key(&self) -> PeerKey {
        self.inner.identity.peer_key()
    }

    /// Its key.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Everything that went through its sockets.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.inner.traffic
    }

    /// Counts the bytes of one connection, which `whole` counts too.
    pub(super) fn connection(&self, whole: &Arc<Traffic>) -> Arc<Traffic> {
        let Limits {
            peer_up, peer_down, ..
        } = self.inner.options.limits;
        whole.limited_part(Paces::of(peer_up, peer_down))
    }

    pub(super) fn tls(&self) -> &TlsIdentity {
        &self.inner.tls
    }

    /// What may carry links.
    pub fn ways(&self) -> Ways {
        self.inner.options.ways
    }

    pub(super) fn quic_options(&self) -> QuicOptions {
        self.inner.options.quic
    }

    /// The socket that QUIC is dialled from. Must be called in a tokio runtime.
    pub(super) fn quic(&self) -> io::Result<Arc<QuicSocket>> {
        let mut quic = self
            .inner
            .quic
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = &*quic {
            return Ok(Arc::clone(socket));
        }
        let socket = QuicSocket::dialling(self.tls(), self.quic_options())?;
        Ok(Arc::clone(quic.insert(Arc::new(socket))))
    }

    /// Lets the other ends of QUIC connections that this node dialled know that they are over,
    /// which no kernel does.
    pub(crate) async fn hang_up(&self) {
        let quic = self.inner.quic.lock();
        let Some(socket) = quic.unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        if timeout(HANG_UP, socket.finish()).await.is_err() {
            socket.close();
        }
    }

    /// Has streams opened by `detours` where nothing else gets through; by nobody, if nothing.
    pub fn set_detours(&self, detours: Option<Arc<dyn Detours>>) {
        let place = &self.inner.detours;
        *place.write().unwrap_or_else(PoisonError::into_inner) = detours;
    }

    pub(super) fn detours(&self) -> Option<Arc<dyn Detours>> {
        let detours = &self.inner.detours;
        let detours = detours.read().unwrap_or_else(PoisonError::into_inner);
        detours.clone().filter(|_| self.ways().stream)
    }

    /// Whether a stream of the control plane may lead to `peer`.
    pub(super) fn has_detour(&self, peer: &PeerKey) -> bool {
        self.detours().is_some_and(|detours| detours.leads_to(peer))
    }

    pub(super) async fn open_detour(&self, peer: PeerKey) -> io::Result<Detour> {
        match self.detours() {
            Some(detours) => detours.open(peer).await,
            None => Err(io::Error::other("there is no control plane")),
        }
    }

    /// Notes where others find this node, so that those whom it dials can tell them.
    pub fn set_listening(&self, addresses: Vec<Address>) {
        let listening = &self.inner.listening;
        *listening.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub(crate) fn listening(&self) -> Vec<Address> {
        let listening = &self.inner.listening;
        listening
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn crowd(&self) -> &Crowd {
        &self.inner.crowd
    }

    /// The team that the node is in, if it is in one.
    pub(crate) fn team(&self) -> &TeamBook {
        &self.inner.team
    }

    pub(crate) fn agent(&self) -> &str {
        &self.inner.agent
    }
}
