//! Streams of the control plane as a way for bytes.
//!
//! Owns: opening them for the data plane, to members of the team alone, and handing it those
//! that members open. Refuses: letting anybody read: the data plane asks whoever comes by a
//! stream for the same proofs as everybody.

use std::io;

use futures::FutureExt;
use futures::future::BoxFuture;
use shoal_protocol::peer::PeerKey;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::key_of;
use crate::data::{Detour, Detours};
use crate::node::Node;
use crate::team::TeamBook;
use shoal_control::{ControlEvent, ControlHandle, DataStream, Way};

/// Opens streams to members.
pub(super) struct Streams {
    pub(super) handle: ControlHandle,
    pub(super) team: TeamBook,
}

impl Detours for Streams {
    fn leads_to(&self, peer: &PeerKey) -> bool {
        self.team.is_member(peer)
    }

    fn open(&self, peer: PeerKey) -> BoxFuture<'static, io::Result<Detour>> {
        let handle = self.handle.clone();
        async move {
            let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "not a valid key");
            let peer = peer.peer_id().ok_or_else(invalid)?;
            let stream = handle.open_stream(peer).await.map_err(io::Error::other)?;
            detour(stream).ok_or_else(invalid)
        }
        .boxed()
    }

    fn until_direct(&self, peer: PeerKey) -> BoxFuture<'static, ()> {
        let handle = self.handle.clone();
        async move {
            let mut events = handle.events();
            loop {
                let peers = handle.peers().await;
                let mut peers = peers.iter().filter(|near| key_of(&near.peer) == Some(peer));
                if peers.any(|near| near.way != Way::Relayed) {
                    return;
                }
                next_of(&mut events, peer).await;
            }
        }
        .boxed()
    }
}

/// Waits until the control plane tells of a connection with `peer`, or may have done so.
async fn next_of(events: &mut broadcast::Receiver<ControlEvent>, peer: PeerKey) {
    loop {
        match events.recv().await {
            Ok(ControlEvent::Connected { peer: met } | ControlEvent::Direct { peer: met }) => {
                if key_of(&met) == Some(peer) {
                    return;
                }
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn detour(stream: DataStream) -> Option<Detour> {
    Some(Detour {
        peer: key_of(&stream.peer())?,
        is_relayed: stream.is_relayed(),
        io: Box::new(stream),
    })
}

/// Serves members over the streams that they open, until `stop` is cancelled.
pub(super) async fn serve(node: Node, handle: ControlHandle, stop: CancellationToken) {
    let Some(mut streams) = handle.incoming_streams().await else {
        return;
    };
    loop {
        let stream = tokio::select! {
            stream = streams.recv() => stream,
            () = stop.cancelled() => None,
            () = node.stop().cancelled() => None,
        };
        match stream.map(detour) {
            Some(Some(stream)) => node.plane().attend(stream).await,
            // Grants and tickets know Ed25519 keys alone.
            Some(None) => {}
            None => break,
        }
    }
    if let Ok(endpoint) = node.plane().endpoint() {
        endpoint.set_detours(None);
    }
}
