//! What every connection of a node needs: its key, its certificate, its store, and who else is
//! there.

use std::sync::{Arc, PoisonError, RwLock};

use shoal_protocol::access::Address;
use shoal_protocol::peer::PeerKey;
use shoal_store::Store;

use super::crowd::Crowd;
use super::pace::Paces;
use super::tls::{TlsIdentity, TlsSetupError};
use super::traffic::Traffic;
use crate::identity::Identity;
use crate::team::TeamBook;

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
    limits: Limits,
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

impl Endpoint {
    /// The endpoint of the node with this identity and store, without limits; `agent` is the
    /// software and its version, as others may show it.
    pub fn new(identity: Identity, store: Store, agent: &str) -> Result<Self, TlsSetupError> {
        let team = TeamBook::none(&identity);
        Self::of_node(identity, store, agent, Limits::default(), team)
    }

    /// The same, with limits, and for members of a team.
    pub(crate) fn of_node(
        identity: Identity,
        store: Store,
        agent: &str,
        limits: Limits,
        team: TeamBook,
    ) -> Result<Self, TlsSetupError> {
        let tls = TlsIdentity::new(&identity)?;
        Ok(Self {
            inner: Arc::new(Inner {
                identity,
                tls,
                store,
                agent: agent.to_owned(),
                traffic: Traffic::limited(Paces::of(limits.up, limits.down)),
                limits,
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
        } = self.inner.limits;
        whole.limited_part(Paces::of(peer_up, peer_down))
    }

    pub(super) fn tls(&self) -> &TlsIdentity {
        &self.inner.tls
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
