//! How much of the door one address may take.
//!
//! Owns: the count of incoming connections by address, from the first byte on, and the count
//! of requests for admission. Refuses: who is a member (the gate's).

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// The longest memory for addresses that asked for admission.
const ADMISSION_ADDRESSES_MAX: usize = 1024;
/// What "a minute" is.
const MINUTE: Duration = Duration::from_secs(60);

/// Where a connection comes from, as coarse as it is counted: one customer of a provider has
/// a whole IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    V4(Ipv4Addr),
    V6([u8; 8]),
    Relayed(Option<PeerId>),
    Unknown,
}

impl Origin {
    /// Of the address that a connection was made from.
    pub(super) fn of(address: &Multiaddr) -> Self {
        let relayed = address.iter().any(|part| part == Part::P2pCircuit);
        let mut parts = address.iter();
        if relayed {
            return Self::Relayed(parts.find_map(|part| match part {
                Part::P2p(relay) => Some(relay),
                _ => None,
            }));
        }
        match parts.next() {
            Some(Part::Ip4(ip)) => Self::V4(ip),
            Some(Part::Ip6(ip)) => match ip.to_ipv4_mapped() {
                Some(ip) => Self::V4(ip),
                None => Self::V6(
                    ip.octets()[..8]
                        .try_into()
                        .expect("an address has 16 bytes"),
                ),
            },
            _ => Self::Unknown,
        }
    }
}

/// An address has as many connections as it may.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from one address")]
struct Crowded;

/// Counts incoming connections by address.
pub(super) struct Doors {
    per_address_max: usize,
    origins: HashMap<ConnectionId, Origin>,
    counts: HashMap<Origin, usize>,
}

impl Doors {
    pub(super) fn new(per_address_max: usize) -> Self {
        Self {
            per_address_max,
            origins: HashMap::new(),
            counts: HashMap::new(),
        }
    }

    fn enter(&mut self, connection: ConnectionId, origin: Origin) -> Result<(), Crowded> {
        let count = self.counts.entry(origin).or_default();
        if *count >= self.per_address_max {
            return Err(Crowded);
        }
        *count += 1;
        self.origins.insert(connection, origin);
        Ok(())
    }

    fn leave(&mut self, connection: ConnectionId) {
        let Some(origin) = self.origins.remove(&connection) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&origin);
            }
        }
    }
}

impl NetworkBehaviour for Doors {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.enter(connection, Origin::of(remote))
            .map_err(ConnectionDenied::new)
    }

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
        match event {
            FromSwarm::ListenFailure(failure) => self.leave(failure.connection_id),
            FromSwarm::ConnectionClosed(closed) => self.leave(closed.connection_id),
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

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// How often each address asked for admission in the minute that runs.
pub(super) struct AdmissionRate {
    per_minute_max: u32,
    asked: HashMap<Origin, (Instant, u32)>,
}

impl AdmissionRate {
    pub(super) fn new(per_minute_max: u32) -> Self {
        Self {
            per_minute_max,
            asked: HashMap::new(),
        }
    }

    /// Counts one more; whether it is within the rate. While more addresses ask than can be
    /// remembered, new ones are refused: a crowd of addresses must not buy a crowd of checks.
    pub(super) fn ask(&mut self, origin: Origin, now: Instant) -> bool {
        let fresh = |since: &Instant| now.duration_since(*since) < MINUTE;
        if self.asked.len() >= ADMISSION_ADDRESSES_MAX && !self.asked.contains_key(&origin) {
            self.asked.retain(|_, (since, _)| fresh(since));
            if self.asked.len() >= ADMISSION_ADDRESSES_MAX {
                return false;
            }
        }
        let (since, count) = self.asked.entry(origin).or_insert((now, 0));
        if !fresh(since) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= self.per_minute_max
    }

    /// What was asked was not looked at.
    pub(super) fn take_back(&mut self, origin: Origin) {
        if let Some((_, count)) = self.asked.get_mut(&origin) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(&text.parse().unwrap())
    }

    #[test]
    fn a_network_of_ipv6_is_one_origin() {
        assert_eq!(
            origin("/ip6/2001:db8:1:2::1/tcp/1"),
            origin("/ip6/2001:db8:1:2:ffff::9/udp/7/quic-v1")
        );
        assert_ne!(
            origin("/ip6/2001:db8:1:2::1/tcp/1"),
            origin("/ip6/2001:db8:1:3::1/tcp/1")
        );
        assert_eq!(
            origin("/ip6/::ffff:10.0.0.1/tcp/1"),
            origin("/ip4/10.0.0.1/tcp/9")
        );
    }

    #[test]
    fn an_address_that_is_crowded_lets_others_pass() {
        let mut doors = Doors::new(2);
        let here = origin("/ip4/10.0.0.1/tcp/1");
        let ids: Vec<_> = (0..4).map(ConnectionId::new_unchecked).collect();
        assert!(doors.enter(ids[0], here).is_ok());
        assert!(doors.enter(ids[1], here).is_ok());
        assert!(doors.enter(ids[2], here).is_err());
        assert!(doors.enter(ids[3], origin("/ip4/10.0.0.2/tcp/1")).is_ok());
        doors.leave(ids[2]);
        assert!(doors.enter(ids[2], here).is_err(), "it held no place");
        doors.leave(ids[0]);
        assert!(doors.enter(ids[2], here).is_ok());
        for id in ids {
            doors.leave(id);
        }
        assert!(doors.counts.is_empty() && doors.origins.is_empty());
    }

    #[test]
    fn an_address_asks_for_admission_a_few_times_a_minute() {
        let mut rate = AdmissionRate::new(2);
        let (here, there) = (origin("/ip4/10.0.0.1/tcp/1"), origin("/ip4/10.0.0.2/tcp/1"));
        let start = Instant::now();
        let asked = [here, here, here, there].map(|origin| rate.ask(origin, start));
        assert_eq!(asked, [true, true, false, true]);
        assert!(rate.ask(here, start + MINUTE));
        assert!(rate.ask(here, start + MINUTE));
        rate.take_back(here);
        let asked = [here, here].map(|origin| rate.ask(origin, start + MINUTE));
        assert_eq!(asked, [true, false], "one of them was not looked at");
    }

    #[test]
    fn a_crowd_of_addresses_is_not_remembered_without_bound() {
        let mut rate = AdmissionRate::new(2);
        let start = Instant::now();
        for i in 0..5000u32 {
            rate.ask(Origin::V4(i.into()), start);
        }
        assert_eq!(rate.asked.len(), ADMISSION_ADDRESSES_MAX);
        assert!(rate.ask(Origin::V4(9999.into()), start + MINUTE));
    }
}
