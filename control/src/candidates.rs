//! Where a hole might be punched to this node.
//!
//! Owns: telling the rest of the swarm (DCUtR, which names these addresses to a peer, and
//! AutoNAT, which has them tried) what a NAT has made of the sockets that this node listens
//! on. libp2p by itself takes the NAT's address with the port of the socket, which few NATs
//! give. Refuses: judging, which `seen` does.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// The most that are told in one run, since AutoNAT forgets none. A NAT that gives another port
/// for every peer uses this up, and can be punched nowhere.
const TOLD_MAX: usize = 256;

/// The addresses that were told, or wait to be.
#[derive(Default)]
pub(super) struct Candidates {
    told: Vec<Multiaddr>,
    waiting: VecDeque<Multiaddr>,
}

impl Candidates {
    /// A NAT has mapped a socket of this node to `address`.
    pub(super) fn mapped(&mut self, address: Multiaddr) {
        if self.told.len() < TOLD_MAX && !self.told.contains(&address) {
            self.told.push(address.clone());
            self.waiting.push_back(address);
        }
    }
}

impl NetworkBehaviour for Candidates {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

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

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        // The swarm's owner, who filled the queue, polls next.
        match self.waiting.pop_front() {
            Some(address) => Poll::Ready(ToSwarm::NewExternalAddrCandidate(address)),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_once_and_a_nat_cannot_fill_the_memory() {
        let mut candidates = Candidates::default();
        for port in (1..1000u16).chain(1..1000) {
            candidates.mapped(format!("/ip4/198.51.100.2/tcp/{port}").parse().unwrap());
        }
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let mut told = 0;
        while candidates.poll(cx).is_ready() {
            told += 1;
        }
        assert_eq!(told, TOLD_MAX);
    }
}
