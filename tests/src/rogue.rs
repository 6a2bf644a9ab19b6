//! A member of a team whose node is none: it says over the control plane what it likes.
//!
//! Owns: a connection to one node with a member's key, and sending requests over it.
//! Refuses: to answer anything, and to doubt anybody.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use shoal_control::{
    ControlConfig, ControlHandle, ControlPlane, Membership, PeerId, Protocol, Refusal, Requests,
};
use shoal_node::identity::Identity;
use shoal_protocol::access::team::Invitation;
use shoal_protocol::advert::{
    AdvertAck, AdvertBatch, AdvertKey, BATCH_KEYS_MAX, Locate, Located, Refusal as AdvertRefusal,
    TTL_S_MAX,
};
use shoal_protocol::bounded::List;

use crate::guest::Ended;

/// Epochs have numbers below this.
const EPOCHS: u64 = 16;

/// See the top of this file. Clones are the same one.
#[derive(Clone)]
pub struct Rogue {
    handle: ControlHandle,
    peer: PeerId,
}

/// Takes everybody for a member, and answers nothing.
struct Anybody;

impl Membership for Anybody {
    fn is_member(&self, _: &PeerId) -> bool {
        true
    }
}

impl Requests for Anybody {
    fn handle(
        &self,
        _: PeerId,
        _: Protocol,
        _: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        Box::pin(async { Err(Refusal::Refused) })
    }
}

impl Rogue {
    /// Connects to the node that minted `invitation`, whose control plane is `at`, as
    /// `identity`.
    pub async fn connect(
        at: SocketAddr,
        invitation: &Invitation,
        identity: &Identity,
    ) -> Result<Self, Ended> {
        let network = blake3::derive_key("shoal 1 team network", invitation.root.as_bytes());
        let peer = invitation.minter.peer_id();
        let peer = peer.ok_or("a minter without a key")?;
        let address: Multiaddr =
            format!("/ip4/{}/tcp/{}/p2p/{peer}", at.ip(), at.port()).parse()?;
        let config = ControlConfig {
            // Dialled again whenever it is hung up on.
            bootstrap: vec![address.clone()],
            ..ControlConfig::new(network)
        };
        let (anybody, nothing) = (Arc::new(Anybody), Arc::new(Anybody));
        let handle = ControlPlane::start(identity.keypair(), config, anybody, nothing)?;
        handle.dial(address).await?;
        Ok(Self { handle, peer })
    }

    /// The epoch that is in force at the node, which refuses any other; nothing if it does not
    /// answer.
    pub async fn epoch(&self) -> Option<u64> {
        for epoch in 0..EPOCHS {
            let ack = self.send(&keys(epoch, TTL_S_MAX, 1)).await?;
            if ack.refusal != Some(AdvertRefusal::Epoch) {
                return Some(epoch);
            }
        }
        None
    }

    /// Sends a batch; gives what is said to it, if anything is.
    pub async fn send(&self, batch: &AdvertBatch) -> Option<AdvertAck> {
        let answer = self.send_bytes(Protocol::Advert, batch.to_bytes());
        AdvertAck::from_bytes(&answer.await?).ok()
    }

    /// Asks where these stand; gives what is said to it, if anything is.
    pub async fn locate(&self, question: &Locate) -> Option<Located> {
        let answer = self.send_bytes(Protocol::Locate, question.to_bytes());
        Located::from_bytes(&answer.await?, question).ok()
    }

    /// Sends any bytes as a request.
    pub async fn send_bytes(&self, protocol: Protocol, bytes: Vec<u8>) -> Option<Bytes> {
        let answer = self.handle.request(self.peer, protocol, bytes.into());
        answer.await.ok()
    }
}

/// A batch of so many keys that nobody ever had.
pub fn keys(epoch: u64, ttl_s: u32, count: usize) -> AdvertBatch {
    let keys = (0..count.min(BATCH_KEYS_MAX)).map(|_| AdvertKey::from_bytes(rand::random()));
    AdvertBatch {
        epoch,
        addresses: List::empty(),
        ttl_s,
        keys: List::new(keys.collect()).expect("no more than fit"),
    }
}
