//! What the plane does about what happens in the swarm: connections, sockets, requests.
//!
//! Owns: one function for each kind of event. Refuses: keeping anything.

use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{PeerId, kad, mdns, relay, request_response};

use super::behaviour::BehaviourEvent;
use super::codec::{Answer, Parcel};
use super::errors::StreamError;
use super::events::ControlEvent;
use super::exchange::Asked;
use super::gate::GateEvent;
use super::names::Protocol;
use super::peers::Change;
use super::plane::{Plane, WaitingStream, give};
use super::requests::Refusal;

type Exchanged = request_response::Event<Parcel, Answer>;

impl Plane {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_established(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                tracing::debug!(peer = %peer_id, ?cause, "a connection has ended");
                self.on_closed(peer_id, connection_id, num_established == 0);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => self.on_dial_failed(connection_id, peer_id, &error),
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => {
                tracing::debug!(address = %send_back_addr, %error, "a connection did not come about")
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.set_routable();
                self.tell(ControlEvent::Listening { address });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                tracing::info!(%address, "not listening any more");
                self.set_routable();
                self.tell(ControlEvent::ListeningEnded { address });
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                let relayed = self.relays.closed(listener_id, Instant::now());
                match reason {
                    Err(error) if !relayed => tracing::warn!(%error, "a socket has failed"),
                    reason => tracing::debug!(?reason, relayed, "a listener has ended"),
                }
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a socket that is listened on has trouble");
            }
            SwarmEvent::ExternalAddrConfirmed { .. } | SwarmEvent::ExternalAddrExpired { .. } => {
                self.on_external_addresses();
            }
            _ => {}
        }
    }

    fn on_established(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let now = Instant::now();
        self.contacts.succeeded(connection, peer, now);
        self.seek_neighbours(now);
        if let Some(reply) = self.dials.remove(&connection) {
            give(reply, Ok(peer));
        }
        if self.swarm.behaviour().gate.stranger(connection).is_some() {
            self.end_waiting_streams("it is not a member", |waiting| waiting.peer == peer);
            return;
        }
        tracing::debug!(%peer, address = %endpoint.get_remote_address(), "a member is connected");
        self.reconnecting.remove(&peer);
        match self.peers.connected(peer, connection, endpoint) {
            Change::First => self.tell(ControlEvent::Connected { peer }),
            Change::Direct => self.tell(ControlEvent::Direct { peer }),
            Change::Nothing => {}
        }
        let (theirs, others) = std::mem::take(&mut self.streams)
            .into_iter()
            .partition(|waiting| waiting.peer == peer);
        self.streams = others;
        for WaitingStream { reply, .. } in theirs {
            let streams = &mut self.swarm.behaviour_mut().team().streams;
            if let Err(reply) = streams.open(peer, reply) {
                let reason = "the connection has ended".to_owned();
                give(reply, Err(StreamError::Unreachable { peer, reason }));
            }
        }
    }

    fn on_closed(&mut self, peer: PeerId, connection: ConnectionId, last: bool) {
        if self.peers.disconnected(connection) {
            self.relays.withdrawn(peer);
            self.tell(ControlEvent::Disconnected { peer });
        }
        if last && let Some(addresses) = self.reconnecting.remove(&peer) {
            self.dial_again(peer, addresses);
        }
    }

    fn on_dial_failed(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        error: &libp2p::swarm::DialError,
    ) {
        tracing::debug!(?peer, %error, "cannot connect");
        let now = Instant::now();
        self.contacts.failed(connection, now, &mut self.rng);
        self.seek_neighbours(now);
        if let Some(reply) = self.dials.remove(&connection) {
            give(reply, Err(error.to_string()));
        }
        let in_vain = peer.filter(|peer| !self.swarm.is_connected(peer));
        if let Some(peer) = in_vain {
            self.end_waiting_streams(&error.to_string(), |waiting| {
                waiting.peer == peer && waiting.dial.is_none_or(|dial| dial == connection)
            });
        }
    }

    fn end_waiting_streams(&mut self, reason: &str, which: impl Fn(&WaitingStream) -> bool) {
        let (ended, others) = std::mem::take(&mut self.streams)
            .into_iter()
            .partition(which);
        self.streams = others;
        for WaitingStream { peer, reply, .. } in ended {
            let reason = reason.to_owned();
            give(reply, Err(StreamError::Unreachable { peer, reason }));
        }
    }

    /// Who listens nowhere, not even at a relay, is no use in others' routing tables.
    /// libp2p by itself waits for an external address, which a LAN may never confirm.
    fn set_routable(&mut self) {
        let mode = match self.swarm.listeners().next() {
            Some(_) => kad::Mode::Server,
            None => kad::Mode::Client,
        };
        self.swarm.behaviour_mut().team().kad.set_mode(Some(mode));
    }

    /// What is known of reaching this node from elsewhere has changed.
    pub(super) fn on_external_addresses(&mut self) {
        self.reachability.external = self.swarm.external_addresses().cloned().collect();
        self.reachability.failures = 0;
        // libp2p by itself would offer to relay at an address that is a relay's.
        let status = match self.relaying && self.reachability.is_direct() {
            true => relay::Status::Enable,
            false => relay::Status::Disable,
        };
        let relay = &mut self.swarm.behaviour_mut().team().relay;
        relay.set_status(Some(status));
        tracing::debug!(addresses = ?self.reachability.external, "reachable");
        self.tell(ControlEvent::Reachability);
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Mdns(event) => self.on_mdns_event(event),
            BehaviourEvent::Admit(event) => self.on_exchanged(Protocol::Admit, event),
            BehaviourEvent::Gate(GateEvent::Inner(event)) => self.on_team_event(event),
            BehaviourEvent::Gate(GateEvent::Stranger {
                peer,
                address,
                dialled,
            }) => {
                tracing::debug!(%peer, %address, dialled, "a stranger is connected");
                if dialled {
                    let now = Instant::now();
                    self.contacts.refused(peer, now, &mut self.rng);
                }
                self.tell(ControlEvent::Stranger {
                    peer,
                    address,
                    dialled,
                });
            }
            BehaviourEvent::Doors(impossible) => match impossible {},
            BehaviourEvent::Limits(impossible) => match impossible {},
            BehaviourEvent::Memory(impossible) => match impossible {},
        }
    }

    fn on_mdns_event(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    if self.swarm.behaviour().gate.is_member(&peer) {
                        let now = Instant::now();
                        self.contacts.announced(peer, address.clone(), now);
                    }
                    self.tell(ControlEvent::Announced { peer, address });
                }
            }
            mdns::Event::Expired(gone) => {
                for (peer, address) in gone {
                    self.contacts.expired(peer, &address);
                }
            }
        }
    }

    pub(super) fn on_exchanged(&mut self, protocol: Protocol, event: Exchanged) {
        match event {
            Exchanged::Message {
                peer,
                connection_id,
                message,
            } => match message {
                request_response::Message::Request {
                    request, channel, ..
                } => {
                    self.counters.asked();
                    let asked = Asked {
                        peer,
                        protocol,
                        connection: connection_id,
                        channel,
                    };
                    self.on_request(asked, request);
                }
                request_response::Message::Response {
                    request_id,
                    response,
                } => self.outgoing.answered(protocol, request_id, peer, response),
            },
            Exchanged::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => self.outgoing.failed(protocol, request_id, peer, error),
            Exchanged::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %protocol, %error, "a request came to nothing");
            }
            Exchanged::ResponseSent { .. } => {}
        }
    }

    fn on_request(&mut self, asked: Asked, request: Parcel) {
        let Asked {
            peer,
            protocol,
            connection,
            ..
        } = asked;
        let gate = &self.swarm.behaviour().gate;
        let stranger = gate.stranger(connection);
        let refused = match (protocol, stranger) {
            (Protocol::Admit, Some(origin)) => !self.admissions.ask(origin, Instant::now()),
            (Protocol::Admit, None) => false,
            // The membership may have ended a moment ago.
            _ => !gate.is_member(&peer),
        };
        if refused {
            tracing::debug!(%peer, %protocol, "a request is refused");
            return self.respond(protocol, asked.channel, Err(Refusal::Refused));
        }
        if let Err(asked) = self.incoming.start(asked, request) {
            if let Some(origin) = stranger {
                self.admissions.take_back(origin);
            }
            self.respond(protocol, asked.channel, Err(Refusal::Busy));
        }
    }
}
