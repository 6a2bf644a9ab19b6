//! Members only: what is behind the gate does not exist for anybody else.
//!
//! Owns: who was a member when its connection was made, and the end of the connections of
//! those who are not, or are not any more. Refuses: who is a member ([`Membership`] is asked).
//!
//! The behaviour behind the gate hears of members' connections only, and a stranger's
//! connection has a handler that speaks no protocol: nothing that a stranger sends reaches
//! identify, the DHT, the relay or a request's parser. A connection is either a member's or a
//! stranger's for its whole life; who is admitted connects again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, DialError, DialFailure, FromSwarm,
    NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Sleep;

use super::config::Limits;
use super::doors::Origin;
use super::requests::Membership;

/// The most strangers that this node chose to dial.
const COURTED_MAX: usize = 64;

/// What the gate tells.
#[derive(Debug)]
pub(super) enum GateEvent<E> {
    /// The behaviour behind the gate says something.
    Inner(E),
    /// A stranger is connected.
    Stranger {
        peer: PeerId,
        address: Multiaddr,
        dialled: bool,
    },
}

/// Nobody asked for a connection with this stranger.
#[derive(Debug, thiserror::Error)]
#[error("not a member")]
struct NotAMember;

/// A connection of somebody who is not a member.
struct Stranger {
    peer: PeerId,
    origin: Origin,
    since: Instant,
    until: Instant,
    closing: bool,
}

/// Lets only members through to `inner`.
pub(super) struct Gate<B: NetworkBehaviour> {
    inner: B,
    membership: Arc<dyn Membership>,
    limits: Limits,
    /// What was decided on connections that may still be refused by another behaviour.
    decided: HashMap<ConnectionId, bool>,
    /// The connections that `inner` knows of, by peer.
    members: HashMap<PeerId, Vec<ConnectionId>>,
    strangers: HashMap<ConnectionId, Stranger>,
    /// Strangers that may be dialled, the oldest first.
    courted: VecDeque<PeerId>,
    actions: VecDeque<ToSwarm<GateEvent<B::ToSwarm>, THandlerInEvent<Self>>>,
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(super) fn new(inner: B, membership: Arc<dyn Membership>, limits: Limits) -> Self {
        Self {
            inner,
            membership,
            limits,
            decided: HashMap::new(),
            members: HashMap::new(),
            strangers: HashMap::new(),
            courted: VecDeque::new(),
            actions: VecDeque::new(),
            alarm: None,
        }
    }

    /// What is behind the gate.
    pub(super) fn inner(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Lets `peer` be dialled although it is not a member (yet).
    pub(super) fn court(&mut self, peer: PeerId) {
        self.courted.retain(|known| *known != peer);
        self.courted.push_back(peer);
        if self.courted.len() > COURTED_MAX {
            self.courted.pop_front();
        }
    }

    /// Whether `peer` is let through now.
    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        self.membership.is_member(peer)
    }

    /// The members that are connected.
    pub(super) fn neighbours(&self) -> HashSet<PeerId> {
        self.members.keys().copied().collect()
    }

    /// Where the stranger on `connection` comes from; nothing if it is a member's.
    pub(super) fn stranger(&self, connection: ConnectionId) -> Option<Origin> {
        self.strangers.get(&connection).map(|s| s.origin)
    }

    /// The connections with `peer` that are a stranger's.
    pub(super) fn stranger_connections(&self, peer: PeerId) -> Vec<ConnectionId> {
        let theirs = self.strangers.iter().filter(|(_, s)| s.peer == peer);
        theirs.map(|(connection, _)| *connection).collect()
    }

    /// Gives the stranger on `connection` the time to read an answer.
    pub(super) fn extend(&mut self, connection: ConnectionId) {
        if let Some(stranger) = self.strangers.get_mut(&connection) {
            stranger.until = stranger.since + self.limits.admitting;
        }
    }

    /// Ends the connections of those who are not members any more; who they were.
    pub(super) fn recheck(&mut self) -> Vec<PeerId> {
        let membership = self.membership.clone();
        let gone: Vec<_> = self
            .members
            .keys()
            .filter(|peer| !membership.is_member(peer))
            .copied()
            .collect();
        for peer in &gone {
            self.actions.push_back(ToSwarm::CloseConnection {
                peer_id: *peer,
                connection: CloseConnection::All,
            });
        }
        gone
    }

    fn decide(&mut self, connection: ConnectionId, peer: &PeerId) -> bool {
        let member = self.membership.is_member(peer);
        self.decided.insert(connection, member);
        member
    }

    fn on_established(&mut self, established: ConnectionEstablished<'_>) {
        let ConnectionEstablished {
            peer_id,
            connection_id,
            endpoint,
            failed_addresses,
            ..
        } = established;
        if self.decided.remove(&connection_id) == Some(true) {
            let others = self.members.entry(peer_id).or_default();
            let other_established = others.len();
            others.push(connection_id);
            let event = FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                failed_addresses,
                other_established,
            });
            return self.inner.on_swarm_event(event);
        }
        let now = Instant::now();
        let address = endpoint.get_remote_address().clone();
        self.make_room(Origin::of(&address));
        self.strangers.insert(
            connection_id,
            Stranger {
                peer: peer_id,
                origin: Origin::of(&address),
                since: now,
                until: now + self.limits.stranger,
                closing: false,
            },
        );
        self.actions
            .push_back(ToSwarm::GenerateEvent(GateEvent::Stranger {
                peer: peer_id,
                address,
                dialled: endpoint.is_dialer(),
            }));
    }

    /// The oldest stranger goes when one more comes: of the same address, if that one has
    /// as many as it may.
    fn make_room(&mut self, origin: Origin) {
        let staying = || self.strangers.iter().filter(|(_, s)| !s.closing);
        let same = || staying().filter(|(_, s)| s.origin == origin);
        let oldest = if same().count() >= self.limits.strangers_per_address_max {
            same().min_by_key(|(_, s)| s.since)
        } else if staying().count() >= self.limits.strangers_max {
            staying().min_by_key(|(_, s)| s.since)
        } else {
            None
        };
        if let Some(connection) = oldest.map(|(connection, _)| *connection) {
            self.close(connection);
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(stranger) = self.strangers.get_mut(&connection) {
            stranger.closing = true;
            self.actions.push_back(ToSwarm::CloseConnection {
                peer_id: stranger.peer,
                connection: CloseConnection::One(connection),
            });
        }
    }

    fn on_closed(&mut self, closed: ConnectionClosed<'_>) {
        self.strangers.remove(&closed.connection_id);
        let Some(connections) = self.members.get_mut(&closed.peer_id) else {
            return;
        };
        let before = connections.len();
        connections.retain(|connection| *connection != closed.connection_id);
        let remaining_established = connections.len();
        if remaining_established == 0 {
            self.members.remove(&closed.peer_id);
        }
        if remaining_established < before {
            let event = FromSwarm::ConnectionClosed(ConnectionClosed {
                remaining_established,
                ..closed
            });
            self.inner.on_swarm_event(event);
        }
    }

    fn close_the_overdue(&mut self, cx: &mut Context<'_>) {
        loop {
            let now = Instant::now();
            let staying = self.strangers.iter().filter(|(_, s)| !s.closing);
            let overdue: Vec<_> = staying
                .clone()
                .filter(|(_, s)| s.until <= now)
                .map(|(connection, _)| *connection)
                .collect();
            let next = staying.map(|(_, s)| s.until).filter(|t| *t > now).min();
            for connection in overdue {
                self.close(connection);
            }
            let Some(next) = next else {
                self.alarm = None;
                return;
            };
            if self.alarm.as_ref().is_none_or(|(at, _)| *at != next) {
                let sleep = Box::pin(tokio::time::sleep_until(next.into()));
                self.alarm = Some((next, sleep));
            }
            let (_, sleep) = self.alarm.as_mut().expect("it was set");
            if sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            self.alarm = None;
        }
    }

    /// A dial came to nothing. `inner` does not know of strangers' connections, and waits for one
    /// that nobody makes where it may not dial because there is such a one. Whoever has become
    /// a member since is dialled anew; of the others `inner` hears that they are denied.
    fn on_dial_failure(&mut self, failure: DialFailure<'_>) {
        self.decided.remove(&failure.connection_id);
        match self.stranger_instead(&failure) {
            Some(peer) if self.is_member(&peer) => {
                let opts = DialOpts::peer_id(peer).condition(PeerCondition::NotDialing);
                let opts = opts.build();
                self.actions.push_back(ToSwarm::Dial { opts });
                self.inner.on_swarm_event(FromSwarm::DialFailure(failure));
            }
            Some(_) => {
                let cause = ConnectionDenied::new(NotAMember);
                let error = &DialError::Denied { cause };
                let failure = DialFailure { error, ..failure };
                self.inner.on_swarm_event(FromSwarm::DialFailure(failure));
            }
            None => self.inner.on_swarm_event(FromSwarm::DialFailure(failure)),
        }
    }

    /// Who was not dialled because it is connected, as a stranger only.
    fn stranger_instead(&self, failure: &DialFailure<'_>) -> Option<PeerId> {
        let DialError::DialPeerConditionFalse(
            PeerCondition::Disconnected | PeerCondition::DisconnectedAndNotDialing,
        ) = failure.error
        else {
            return None;
        };
        let peer = failure.peer_id?;
        let is_stranger = self.strangers.values().any(|s| s.peer == peer);
        (is_stranger && !self.members.contains_key(&peer)).then_some(peer)
    }

    /// Where `inner` means any connection with a peer, one that it knows of.
    fn aim(
        &self,
        action: ToSwarm<B::ToSwarm, THandlerInEvent<B>>,
    ) -> Option<ToSwarm<GateEvent<B::ToSwarm>, THandlerInEvent<Self>>> {
        let ToSwarm::NotifyHandler {
            peer_id,
            handler,
            event,
        } = action
        else {
            return Some(action.map_out(GateEvent::Inner).map_in(Either::Left));
        };
        // libp2p's relay names the wrong peer with the right connection.
        let connection = match handler {
            NotifyHandler::One(connection) => Some(connection),
            NotifyHandler::Any => self.members.get(&peer_id)?.first().copied(),
        }
        .filter(|connection| !self.strangers.contains_key(connection))?;
        Some(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: Either::Left(event),
        })
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = GateEvent<B::ToSwarm>;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.decide(connection, &peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner
            .handle_established_inbound_connection(connection, peer, local, remote)
            .map(Either::Left)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let stranger = peer.filter(|peer| !self.membership.is_member(peer));
        if stranger.is_some_and(|peer| !self.courted.contains(&peer)) {
            return Err(ConnectionDenied::new(NotAMember));
        }
        self.inner
            .handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.decide(connection, &peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner
            .handle_established_outbound_connection(connection, peer, address, role, port_use)
            .map(Either::Left)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(established) => self.on_established(established),
            FromSwarm::ConnectionClosed(closed) => self.on_closed(closed),
            FromSwarm::AddressChange(change) => {
                let known = self.members.get(&change.peer_id);
                if known.is_some_and(|known| known.contains(&change.connection_id)) {
                    self.inner.on_swarm_event(FromSwarm::AddressChange(change));
                }
            }
            FromSwarm::DialFailure(failure) => self.on_dial_failure(failure),
            FromSwarm::ListenFailure(failure) => {
                self.decided.remove(&failure.connection_id);
                self.inner.on_swarm_event(FromSwarm::ListenFailure(failure));
            }
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self
                .inner
                .on_connection_handler_event(peer, connection, event),
            Either::Right(impossible) => match impossible {},
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.close_the_overdue(cx);
        if let Some(action) = self.actions.pop_front() {
            return Poll::Ready(action);
        }
        while let Poll::Ready(action) = self.inner.poll(cx) {
            if let Some(action) = self.aim(action) {
                return Poll::Ready(action);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears why dials came to nothing.
    #[derive(Default)]
    struct Inner {
        denied: Vec<bool>,
    }

    impl NetworkBehaviour for Inner {
        type ConnectionHandler = dummy::ConnectionHandler;
        type ToSwarm = ();

        fn handle_established_inbound_connection(
            &mut self,
            _: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: &Multiaddr,
        ) -> Result<THandler<Self>, ConnectionDenied> {
            Ok(dummy::ConnectionHandler)
        }

        fn handle_established_outbound_connection(
            &mut self,
            _: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: Endpoint,
            _: PortUse,
        ) -> Result<THandler<Self>, ConnectionDenied> {
            Ok(dummy::ConnectionHandler)
        }

        fn on_swarm_event(&mut self, event: FromSwarm) {
            if let FromSwarm::DialFailure(failure) = event {
                let denied = matches!(failure.error, DialError::Denied { .. });
                self.denied.push(denied);
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
            Poll::Pending
        }
    }

    struct Nobody;

    impl Membership for Nobody {
        fn is_member(&self, _: &PeerId) -> bool {
            false
        }
    }

    #[test]
    fn a_stranger_that_is_connected_is_denied_to_whoever_would_wait_for_it() {
        let mut gate = Gate::new(Inner::default(), Arc::new(Nobody), Limits::default());
        let (peer, connection) = (PeerId::random(), ConnectionId::new_unchecked(1));
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let not_dialled = |gate: &mut Gate<Inner>| {
            let error =
                &DialError::DialPeerConditionFalse(PeerCondition::DisconnectedAndNotDialing);
            let failure = DialFailure {
                peer_id: Some(peer),
                error,
                connection_id: ConnectionId::new_unchecked(2),
            };
            gate.on_swarm_event(FromSwarm::DialFailure(failure));
        };
        not_dialled(&mut gate);
        let handler =
            gate.handle_established_inbound_connection(connection, peer, &address, &address);
        assert!(handler.is_ok());
        let endpoint = libp2p::core::ConnectedPoint::Listener {
            local_addr: address.clone(),
            send_back_addr: address,
        };
        let established = ConnectionEstablished {
            peer_id: peer,
            connection_id: connection,
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established: 0,
        };
        gate.on_swarm_event(FromSwarm::ConnectionEstablished(established));
        not_dialled(&mut gate);
        assert_eq!(
            gate.inner.denied,
            [false, true],
            "at first there is no stranger"
        );
    }
}
