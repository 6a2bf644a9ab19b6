//! A NAT in front of one host, of a chosen kind (RFC 4787, RFC 5382).
//!
//! Owns: which outside port stands for which inside address, and who may send to it. Refuses:
//! time: a mapping lasts until the table is full, and then the oldest goes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

use super::packet::{End, Packet, Transport};

/// The first outside port that is given away.
const FIRST_PORT: u16 = 20_000;
/// The most mappings.
const MAPPINGS_MAX: usize = 4096;
/// The most remotes that a mapping remembers it has sent to.
const REMOTES_MAX: usize = 256;

/// What of a remote's address counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Nothing: all remotes are one.
    Any,
    /// Its address.
    Address,
    /// Its address and port.
    AddressAndPort,
}

/// How a NAT behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatKind {
    /// Remotes with the same scope see the same outside port. With [`Scope::Any`] what one
    /// remote sees is true for all, and holes can be punched.
    pub mapping: Scope,
    /// Who may send to an outside port: remotes with the scope of one that was sent to.
    pub filtering: Scope,
}

impl NatKind {
    /// Like most routers of homes: one outside port for all, and only those may answer that
    /// were spoken to.
    pub const HOME: Self = Self {
        mapping: Scope::Any,
        filtering: Scope::AddressAndPort,
    };
    /// Another outside port for each remote ("symmetric"): what one sees is no use to others.
    pub const SYMMETRIC: Self = Self {
        mapping: Scope::AddressAndPort,
        filtering: Scope::AddressAndPort,
    };
}

/// A remote, as far as it counts.
type Remote = (Option<Ipv4Addr>, Option<u16>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Flow {
    transport: Transport,
    inside: u16,
    remote: Remote,
}

struct Mapping {
    flow: Flow,
    allowed: HashSet<Remote>,
}

pub(super) struct Nat {
    kind: NatKind,
    inside: Ipv4Addr,
    outside: Ipv4Addr,
    next_port: u16,
    ports: HashMap<Flow, u16>,
    mappings: HashMap<(Transport, u16), Mapping>,
    /// Oldest first.
    ages: VecDeque<(Transport, u16)>,
}

impl Nat {
    pub(super) fn new(kind: NatKind, inside: Ipv4Addr, outside: Ipv4Addr) -> Self {
        Self {
            kind,
            inside,
            outside,
            next_port: FIRST_PORT,
            ports: HashMap::new(),
            mappings: HashMap::new(),
            ages: VecDeque::new(),
        }
    }

    pub(super) fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// Makes a packet of the host one of the NAT; whether it may leave.
    pub(super) fn leave(&mut self, bytes: &mut [u8]) -> bool {
        let Some(mut packet) = Packet::parse(bytes) else {
            return false;
        };
        let (from, to) = (packet.end(End::Source), packet.end(End::Destination));
        if *from.ip() != self.inside {
            return false;
        }
        let flow = Flow {
            transport: packet.transport(),
            inside: from.port(),
            remote: seen(self.kind.mapping, to),
        };
        let port = match self.ports.get(&flow) {
            Some(port) => *port,
            None => self.map(flow),
        };
        let mapping = self.mappings.get_mut(&(flow.transport, port));
        let allowed = &mut mapping.expect("it has a port").allowed;
        if allowed.len() < REMOTES_MAX {
            allowed.insert(seen(self.kind.filtering, to));
        }
        packet.set_end(End::Source, SocketAddrV4::new(self.outside, port));
        true
    }

    /// Makes a packet for the NAT one of the host; whether it may come in.
    pub(super) fn enter(&mut self, bytes: &mut [u8]) -> bool {
        let Some(mut packet) = Packet::parse(bytes) else {
            return false;
        };
        let (from, to) = (packet.end(End::Source), packet.end(End::Destination));
        let Some(mapping) = self.mappings.get(&(packet.transport(), to.port())) else {
            return false;
        };
        if !mapping.allowed.contains(&seen(self.kind.filtering, from)) {
            return false;
        }
        let inside = SocketAddrV4::new(self.inside, mapping.flow.inside);
        packet.set_end(End::Destination, inside);
        true
    }

    /// Gives an outside port to a new flow.
    fn map(&mut self, flow: Flow) -> u16 {
        if self.ages.len() >= MAPPINGS_MAX {
            let oldest = self.ages.pop_front().expect("it is full");
            let mapping = self.mappings.remove(&oldest).expect("it has an age");
            self.ports.remove(&mapping.flow);
        }
        let mut port = self.next_port;
        while self.mappings.contains_key(&(flow.transport, port)) {
            port = after(port);
        }
        self.next_port = after(port);
        self.ports.insert(flow, port);
        self.ages.push_back((flow.transport, port));
        let mapping = Mapping {
            flow,
            allowed: HashSet::new(),
        };
        self.mappings.insert((flow.transport, port), mapping);
        port
    }
}

fn after(port: u16) -> u16 {
    port.checked_add(1).unwrap_or(FIRST_PORT)
}

fn seen(scope: Scope, remote: SocketAddrV4) -> Remote {
    match scope {
        Scope::Any => (None, None),
        Scope::Address => (Some(*remote.ip()), None),
        Scope::AddressAndPort => (Some(*remote.ip()), Some(remote.port())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{assert_right, made};
    use super::*;

    const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);
    const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

    fn at(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    /// What a remote sees as the source of a packet from port 4747 of the host.
    fn sent(nat: &mut Nat, to: &str) -> SocketAddrV4 {
        let from = SocketAddrV4::new(INSIDE, 4747);
        let mut bytes = made(Transport::Udp, from, at(to));
        assert!(nat.leave(&mut bytes));
        assert_right(&bytes);
        let source = Packet::parse(&mut bytes).unwrap().end(End::Source);
        assert_eq!(*source.ip(), OUTSIDE);
        source
    }

    fn comes_in(nat: &mut Nat, from: &str, to: SocketAddrV4) -> bool {
        let mut bytes = made(Transport::Udp, at(from), to);
        let comes = nat.enter(&mut bytes);
        if comes {
            assert_right(&bytes);
            let target = Packet::parse(&mut bytes).unwrap().end(End::Destination);
            assert_eq!(target, SocketAddrV4::new(INSIDE, 4747));
        }
        comes
    }

    #[test]
    fn what_remotes_see_follows_from_the_mapping() {
        let others = ["203.0.113.1:1", "203.0.113.1:2", "203.0.113.2:1"];
        for (mapping, same) in [
            (Scope::Any, [true, true]),
            (Scope::Address, [true, false]),
            (Scope::AddressAndPort, [false, false]),
        ] {
            let kind = NatKind {
                mapping,
                filtering: Scope::Any,
            };
            let mut nat = Nat::new(kind, INSIDE, OUTSIDE);
            let seen = others.map(|to| sent(&mut nat, to));
            assert_eq!(
                [seen[1], seen[2]].map(|s| s == seen[0]),
                same,
                "{mapping:?}"
            );
            assert_eq!(sent(&mut nat, others[0]), seen[0], "it stays");
        }
    }

    #[test]
    fn who_may_send_follows_from_the_filtering() {
        let others = ["203.0.113.1:1", "203.0.113.1:2", "203.0.113.2:1"];
        for (filtering, expected) in [
            (Scope::Any, [true, true, true]),
            (Scope::Address, [true, true, false]),
            (Scope::AddressAndPort, [true, false, false]),
        ] {
            let kind = NatKind {
                mapping: Scope::Any,
                filtering,
            };
            let mut nat = Nat::new(kind, INSIDE, OUTSIDE);
            let port = sent(&mut nat, others[0]);
            let come = others.map(|from| comes_in(&mut nat, from, port));
            assert_eq!(come, expected, "{filtering:?}");
        }
    }

    #[test]
    fn two_that_send_to_each_other_punch_through_unless_symmetric() {
        let meet = |kind| {
            let mut a = Nat::new(kind, INSIDE, OUTSIDE);
            let mut b = Nat::new(kind, INSIDE, OUTSIDE);
            let observer = "203.0.113.1:1";
            let (a_seen, b_seen) = (sent(&mut a, observer), sent(&mut b, observer));
            let from_a = sent(&mut a, &b_seen.to_string());
            sent(&mut b, &a_seen.to_string());
            comes_in(&mut b, &from_a.to_string(), b_seen)
        };
        assert!(meet(NatKind::HOME));
        assert!(!meet(NatKind::SYMMETRIC));
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_goes() {
        let mut nat = Nat::new(NatKind::SYMMETRIC, INSIDE, OUTSIDE);
        let first = sent(&mut nat, "203.0.113.1:1");
        for port in 1000..1000 + MAPPINGS_MAX as u16 {
            sent(&mut nat, &format!("203.0.113.2:{port}"));
        }
        assert_eq!(nat.mappings.len(), MAPPINGS_MAX);
        assert_eq!(nat.ports.len(), MAPPINGS_MAX);
        assert!(!comes_in(&mut nat, "203.0.113.1:1", first));
        assert!(comes_in(
            &mut nat,
            "203.0.113.2:1000",
            SocketAddrV4::new(OUTSIDE, first.port() + 1)
        ));
    }
}
