//! The members that are connected, as they are shown.
//!
//! Owns: what is known of each. Refuses: strangers, who are not shown.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use super::streams::is_relayed;

/// The longest name of software that is kept of a peer, in bytes.
const AGENT_BYTES_MAX: usize = 64;

/// A peer and where it may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerContact {
    /// Who.
    pub peer: PeerId,
    /// Where; hints, not proven.
    pub addresses: Vec<Multiaddr>,
}

/// How a connection travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// QUIC, directly.
    Quic,
    /// TCP, directly.
    Tcp,
    /// Through another member.
    Relayed,
}

/// A member that is connected.
#[derive(Debug, Clone)]
pub struct ControlPeer {
    /// Who.
    pub peer: PeerId,
    /// Where it says that it listens, as far as that makes sense.
    pub addresses: Vec<Multiaddr>,
    /// The other end of the best connection.
    pub remote: Multiaddr,
    /// How that one travels.
    pub way: Way,
    /// Whether this node dialled.
    pub dialled: bool,
    /// How long a ping took last.
    pub rtt: Option<Duration>,
    /// What it calls its software; nothing until it has said.
    pub agent: Option<String>,
    /// Since when it is connected.
    pub since: SystemTime,
}

/// Whether others reach this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reachability {
    /// Addresses that were configured, or that a member dialled back successfully; those at
    /// relays too.
    pub external: Vec<Multiaddr>,
    /// Members that tried to dial back since the last change of `external`, and could not.
    pub failures: u32,
    /// Whether a NAT is in between: a member sees this node at an address that it does not have.
    pub translated: bool,
}

impl Reachability {
    /// Whether there is an address other than one at a relay.
    pub fn is_direct(&self) -> bool {
        self.external.iter().any(|address| !is_relayed(address))
    }
}

struct Connection {
    peer: PeerId,
    remote: Multiaddr,
    way: Way,
    dialled: bool,
    since: SystemTime,
    /// Whether the peer does not take this node for a member on it.
    is_refused: bool,
}

#[derive(Default)]
struct Facts {
    addresses: Vec<Multiaddr>,
    agent: Option<String>,
    rtt: Option<Duration>,
}

/// What a new connection changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The peer had none before.
    First,
    /// It is the first that is direct.
    Direct,
    /// There were as good ones before.
    Nothing,
}

/// All members that are connected.
#[derive(Default)]
pub(super) struct PeerTable {
    connections: HashMap<ConnectionId, Connection>,
    facts: HashMap<PeerId, Facts>,
}

impl PeerTable {
    /// A peer has one more connection.
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) -> Change {
        let remote = endpoint.get_remote_address().clone();
        let way = match endpoint.is_relayed() {
            true => Way::Relayed,
            false if remote.iter().any(|part| part == Part::QuicV1) => Way::Quic,
            false => Way::Tcp,
        };
        let theirs = self.connections.values().filter(|c| c.peer == peer);
        let change = match theirs.map(|c| c.way).min() {
            None => Change::First,
            Some(Way::Relayed) if way != Way::Relayed => Change::Direct,
            Some(_) => Change::Nothing,
        };
        self.connections.insert(
            connection,
            Connection {
                peer,
                remote,
                way,
                dialled: endpoint.is_dialer(),
                since: SystemTime::now(),
                is_refused: false,
            },
        );
        self.facts.entry(peer).or_default();
        change
    }

    /// Whether that was the last connection of a peer.
    pub(super) fn disconnected(&mut self, connection: ConnectionId) -> bool {
        let Some(Connection { peer, .. }) = self.connections.remove(&connection) else {
            return false;
        };
        let last = self.connections.values().all(|c| c.peer != peer);
        if last {
            self.facts.remove(&peer);
        }
        last
    }

    /// A peer does not take this node for a member on `connection`.
    pub(super) fn refused(&mut self, connection: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.is_refused = true;
        }
    }

    /// The connections with `peer` on which it does not take this node for a member, and whether
    /// there are others.
    pub(super) fn refused_by(&self, peer: PeerId) -> (Vec<ConnectionId>, bool) {
        let theirs = self.connections.iter().filter(|(_, c)| c.peer == peer);
        let (refused, others): (Vec<_>, Vec<_>) = theirs.partition(|(_, c)| c.is_refused);
        let refused = refused.into_iter().map(|(connection, _)| *connection);
        (refused.collect(), !others.is_empty())
    }

    /// A peer says what it is.
    pub(super) fn identified(&mut self, peer: PeerId, agent: &str, addresses: Vec<Multiaddr>) {
        if let Some(facts) = self.facts.get_mut(&peer) {
            facts.agent = Some(printable(agent));
            facts.addresses = addresses;
        }
    }

    /// A ping took `rtt`.
    pub(super) fn measured(&mut self, peer: PeerId, rtt: Duration) {
        if let Some(facts) = self.facts.get_mut(&peer) {
            facts.rtt = Some(rtt);
        }
    }

    /// The other end of `connection`, and whether this node dialled it.
    pub(super) fn endpoint(&self, connection: ConnectionId) -> Option<(&Multiaddr, bool)> {
        let connection = self.connections.get(&connection)?;
        Some((&connection.remote, connection.dialled))
    }

    /// Whether one of the connections with `peer` goes this way.
    pub(super) fn has(&self, peer: PeerId, way: Way) -> bool {
        let mut all = self.connections.values();
        all.any(|c| c.peer == peer && c.way == way)
    }

    /// The addresses that this node dialled `peer` at.
    pub(super) fn dialled(&self, peer: PeerId) -> Vec<Multiaddr> {
        let theirs = self.connections.values().filter(|c| c.peer == peer);
        let dialled = theirs.filter(|c| c.dialled && c.way != Way::Relayed);
        dialled.map(|c| c.remote.clone()).collect()
    }

    /// One row a peer, in the order of their ids.
    pub(super) fn rows(&self) -> Vec<ControlPeer> {
        let rows = self.facts.iter().filter_map(|(peer, facts)| {
            let theirs = self.connections.values().filter(|c| c.peer == *peer);
            let best = theirs.clone().min_by_key(|c| (c.way, c.since))?;
            Some(ControlPeer {
                peer: *peer,
                addresses: facts.addresses.clone(),
                remote: best.remote.clone(),
                way: best.way,
                dialled: best.dialled,
                rtt: facts.rtt,
                agent: facts.agent.clone(),
                since: theirs.map(|c| c.since).min()?,
            })
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| row.peer);
        rows
    }
}

/// What a terminal may be shown of a text from outside.
fn printable(text: &str) -> String {
    let mut kept: String = text.chars().filter(|c| !c.is_control()).collect();
    let end = (0..=AGENT_BYTES_MAX.min(kept.len()))
        .rev()
        .find(|end| kept.is_char_boundary(*end));
    kept.truncate(end.unwrap_or(0));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_software_is_short_and_printable() {
        assert_eq!(printable("shoal/0.1\x1b[2J\n"), "shoal/0.1[2J");
        let long = "ä".repeat(100);
        assert_eq!(printable(&long).len(), AGENT_BYTES_MAX);
    }

    #[test]
    fn a_direct_connection_is_shown_before_a_relayed_one() {
        let peer = PeerId::random();
        let mut table = PeerTable::default();
        let [relayed, direct] = [1, 2].map(ConnectionId::new_unchecked);
        let point = |address: &str| ConnectedPoint::Listener {
            local_addr: address.parse().unwrap(),
            send_back_addr: address.parse().unwrap(),
        };
        let through = point("/ip4/10.0.0.1/tcp/1/p2p-circuit");
        assert_eq!(table.connected(peer, relayed, &through), Change::First);
        let point = point("/ip4/10.0.0.2/tcp/1");
        assert_eq!(table.connected(peer, direct, &point), Change::Direct);
        let another = ConnectionId::new_unchecked(3);
        assert_eq!(table.connected(peer, another, &point), Change::Nothing);
        assert!(!table.disconnected(another));
        assert!(table.has(peer, Way::Tcp) && !table.has(peer, Way::Quic));
        assert_eq!(table.rows().len(), 1);
        assert_eq!(table.rows()[0].way, Way::Tcp);
        assert!(!table.disconnected(direct));
        assert_eq!(table.rows()[0].way, Way::Relayed);
        assert!(table.disconnected(relayed));
        assert!(table.rows().is_empty());
    }
}
