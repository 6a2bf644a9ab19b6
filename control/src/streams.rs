//! Raw streams between members, and which connections stay open without any.
//!
//! Owns: opening a stream over the best connection with a peer, handing over those that
//! others open, through a queue of bounded length: one more is refused. Refuses: what is
//! said on them.
//!
//! In the place of libp2p-stream, which opens streams over any connection with the peer, a
//! relayed one although there is a direct one, say.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::errors::StreamError;
use super::names::DATA_PROTOCOL;

/// A stream to or from a member. It ends with its connection: a relayed one at the relay's
/// limits, which shows as an error (or, where the relay was the faster to close, as an end)
/// in the middle of what was to come. So whoever uses it marks the end in the bytes.
#[derive(Debug)]
pub struct DataStream {
    peer: PeerId,
    relayed: bool,
    inner: Compat<Stream>,
}

impl DataStream {
    /// The other end. The connection has authenticated it.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Whether the bytes go through a relay, which has limits.
    pub fn is_relayed(&self) -> bool {
        self.relayed
    }
}

impl AsyncRead for DataStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for DataStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Where the outcome of opening a stream goes.
pub(super) type StreamReply = oneshot::Sender<Result<DataStream, StreamError>>;

/// What the behaviour tells a connection.
#[derive(Debug)]
pub(super) struct Open(StreamReply);

/// The connections that streams can be opened over.
pub(super) struct Streams {
    incoming: mpsc::Sender<DataStream>,
    kept_max: usize,
    kept: HashSet<ConnectionId>,
    /// Direct ones first.
    connections: HashMap<PeerId, Vec<(bool, ConnectionId)>>,
    opening: VecDeque<ToSwarm<(), Open>>,
}

impl Streams {
    /// Streams of others go to `incoming`; `kept_max` connections stay open without streams.
    pub(super) fn new(incoming: mpsc::Sender<DataStream>, kept_max: usize) -> Self {
        Self {
            incoming,
            kept_max,
            kept: HashSet::new(),
            connections: HashMap::new(),
            opening: VecDeque::new(),
        }
    }

    /// Opens a stream to a peer that is connected; gives the reply back if it is not.
    pub(super) fn open(&mut self, peer: PeerId, reply: StreamReply) -> Result<(), StreamReply> {
        let Some((_, connection)) = self.connections.get(&peer).and_then(|all| all.first()) else {
            return Err(reply);
        };
        self.opening.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(*connection),
            event: Open(reply),
        });
        Ok(())
    }

    fn handler(&mut self, peer: PeerId, connection: ConnectionId, relayed: bool) -> Handler {
        // A relayed connection costs the relay; it may go when it is idle.
        let kept = !relayed && self.kept.len() < self.kept_max;
        if kept {
            self.kept.insert(connection);
        }
        Handler {
            peer,
            relayed,
            kept,
            incoming: self.incoming.clone(),
            opening: VecDeque::new(),
        }
    }
}

/// Whether a connection over `address` goes through a relay.
pub(super) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Part::P2pCircuit)
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = ();

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, connection, is_relayed(local)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, connection, is_relayed(address)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let connections = self.connections.entry(established.peer_id).or_default();
                let relayed = established.endpoint.is_relayed();
                connections.push((relayed, established.connection_id));
                connections.sort();
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.kept.remove(&closed.connection_id);
                if let Some(connections) = self.connections.get_mut(&closed.peer_id) {
                    connections.retain(|(_, connection)| *connection != closed.connection_id);
                    if connections.is_empty() {
                        self.connections.remove(&closed.peer_id);
                    }
                }
            }
            FromSwarm::DialFailure(failure) => {
                self.kept.remove(&failure.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.kept.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<(), THandlerInEvent<Self>>> {
        // The swarm's owner, who filled the queue, polls next.
        match self.opening.pop_front() {
            Some(action) => Poll::Ready(action),
            None => Poll::Pending,
        }
    }
}

/// The streams of one connection.
pub(super) struct Handler {
    peer: PeerId,
    relayed: bool,
    kept: bool,
    incoming: mpsc::Sender<DataStream>,
    opening: VecDeque<StreamReply>,
}

impl Handler {
    fn stream(&self, stream: Stream) -> DataStream {
        DataStream {
            peer: self.peer,
            relayed: self.relayed,
            inner: stream.compat(),
        }
    }

    fn hand_over(&self, stream: Stream) {
        if self.incoming.try_send(self.stream(stream)).is_err() {
            tracing::debug!(peer = %self.peer, "nobody takes data streams; one is refused");
        }
    }

    fn error(&self, error: StreamUpgradeError<std::convert::Infallible>) -> StreamError {
        let peer = self.peer;
        match error {
            StreamUpgradeError::Timeout => StreamError::Timeout { peer },
            StreamUpgradeError::NegotiationFailed => StreamError::NotSpoken { peer },
            StreamUpgradeError::Io(error) => StreamError::Broken {
                peer,
                reason: error.to_string(),
            },
            StreamUpgradeError::Apply(impossible) => match impossible {},
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = std::convert::Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = StreamReply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(DATA_PROTOCOL), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.kept
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        match self.opening.pop_front() {
            Some(reply) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(DATA_PROTOCOL), reply),
            }),
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, Open(reply): Open) {
        self.opening.push_back(reply);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => self.hand_over(protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => {
                // Whoever waited may have given up.
                info.send(Ok(self.stream(protocol))).ok();
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                info.send(Err(self.error(error))).ok();
            }
            _ => {}
        }
    }
}
