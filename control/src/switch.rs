//! Local discovery that can be turned on and off.
//!
//! Owns: mDNS, from the first time that it is on. Refuses: dialling who was announced.
//!
//! libp2p's mDNS leaves a task per interface behind when it is dropped, so it is made once
//! and then hushed: while it is off it has no addresses to announce, and what it hears is
//! thrown away.

use std::task::{Context, Poll, Waker};

use libp2p::core::Endpoint;
use libp2p::core::transport::{ListenerId, PortUse};
use libp2p::swarm::behaviour::{ExpiredListenAddr, ListenAddresses, NewListenAddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId, mdns};

/// mDNS, on or off.
pub(super) struct Switch {
    local: PeerId,
    on: bool,
    listening: ListenAddresses,
    mdns: Option<mdns::tokio::Behaviour>,
    waker: Option<Waker>,
}

impl Switch {
    pub(super) fn new(local: PeerId) -> Self {
        Self {
            local,
            on: false,
            listening: ListenAddresses::default(),
            mdns: None,
            waker: None,
        }
    }

    /// Turns it on or off. Fails if the interfaces cannot be watched.
    pub(super) fn set(&mut self, on: bool) -> std::io::Result<()> {
        if on == self.on {
            return Ok(());
        }
        if on && self.mdns.is_none() {
            let config = mdns::Config::default();
            self.mdns = Some(mdns::tokio::Behaviour::new(config, self.local)?);
        }
        self.on = on;
        let mdns = self.mdns.as_mut().expect("it was on, or made just now");
        for addr in self.listening.iter() {
            let listener_id = ListenerId::next();
            mdns.on_swarm_event(if on {
                FromSwarm::NewListenAddr(NewListenAddr { listener_id, addr })
            } else {
                FromSwarm::ExpiredListenAddr(ExpiredListenAddr { listener_id, addr })
            });
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }
}

impl NetworkBehaviour for Switch {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = mdns::Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match &mut self.mdns {
            Some(mdns) if self.on => {
                mdns.handle_pending_outbound_connection(connection, peer, addresses, role)
            }
            _ => Ok(Vec::new()),
        }
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
        self.listening.on_swarm_event(&event);
        if let Some(mdns) = self.mdns.as_mut().filter(|_| self.on) {
            mdns.on_swarm_event(event);
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

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.waker = Some(cx.waker().clone());
        let Some(mdns) = &mut self.mdns else {
            return Poll::Pending;
        };
        while let Poll::Ready(action) = mdns.poll(cx) {
            // Its other actions tell the swarm of addresses that anybody could have made up.
            if self.on && matches!(action, ToSwarm::GenerateEvent(_)) {
                return Poll::Ready(action);
            }
        }
        Poll::Pending
    }
}
