//! What the handle asks of the plane.

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

use super::errors::RequestError;
use super::names::Protocol;
use super::peers::{ControlPeer, PeerContact, Reachability};
use super::streams::StreamReply;

/// One question or order. Whoever asked may have gone when the answer comes.
pub(super) enum Command {
    Closest {
        key: Vec<u8>,
        reply: oneshot::Sender<Option<Vec<PeerContact>>>,
    },
    Request {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        protocol: Protocol,
        bytes: Bytes,
        reply: oneshot::Sender<Result<Bytes, RequestError>>,
    },
    Stream {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        reply: StreamReply,
    },
    Dial {
        address: Multiaddr,
        reply: oneshot::Sender<Result<PeerId, String>>,
    },
    Reconnect {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    Advertise {
        address: Multiaddr,
    },
    Peers(oneshot::Sender<Vec<ControlPeer>>),
    Known(oneshot::Sender<Vec<PeerContact>>),
    Listening(oneshot::Sender<Vec<Multiaddr>>),
    Reachability(oneshot::Sender<Reachability>),
    Mdns {
        on: bool,
        reply: oneshot::Sender<std::io::Result<()>>,
    },
    MembershipChanged,
    Stop,
}
