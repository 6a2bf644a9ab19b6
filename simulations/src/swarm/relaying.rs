//! Connections between nodes that cannot reach each other.
//!
//! Owns: which pairs need a relay, which of these get through a hole after a while, and what
//! passes a relay: its downlink and its uplink, where it takes turns with what the relay sends
//! itself. Relays are the sources that stand behind no NAT. Refuses: lines between sites; who
//! has NATs has one site here.
//!
//! As in the product, a connection by a relay goes on over the hole when there is one, and a
//! circuit that has carried what it may is made anew.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::connection::ConnectionId;
use super::event::{Event, Piece};
use super::setup::Nat;
use super::world::World;

/// How long it takes until both ends have knocked at the same time.
const HOLE: Duration = Duration::from_secs(2);

/// Through whom a connection goes.
#[derive(Debug)]
pub(super) struct Circuit {
    relay: usize,
    /// From when on it goes through a hole, if there can be one.
    hole_at: Option<Instant>,
    /// Bytes that it may still carry.
    left: u64,
    /// Pieces that wait at the relay.
    waiting: VecDeque<Piece>,
}

/// Whether two nodes can be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Directly,
    /// By a relay first, then through a hole.
    ByHole,
    ByRelay,
}

/// What it takes for one who stands behind `from` to reach one behind `to`. Whoever dials out
/// gets out; a hole needs one NAT at least that gives the same port to all.
pub(super) fn reach(from: Nat, to: Nat) -> Reach {
    match (from, to) {
        (_, Nat::None) => Reach::Directly,
        (Nat::None, _) | (Nat::Home, Nat::Home) => Reach::ByHole,
        (Nat::Home | Nat::Symmetric, _) => Reach::ByRelay,
    }
}

impl World {
    /// What a connection from one node to another goes through; an error if there is no relay
    /// that could carry it.
    pub(super) fn circuit(&mut self, from: usize, to: usize) -> Result<Option<Circuit>, NoRelay> {
        let nat = |node: usize| self.setup.nodes[node].nat;
        let hole_at = match reach(nat(from), nat(to)) {
            Reach::Directly => return Ok(None),
            Reach::ByHole => Some(self.now + HOLE),
            Reach::ByRelay => None,
        };
        let relays = self.setup.nodes.iter().zip(&self.nodes).enumerate();
        let relays = relays
            .filter(|(_, (setup, node))| setup.is_source && setup.nat == Nat::None && node.is_up);
        let relays: Vec<_> = relays.map(|(index, _)| index).collect();
        if relays.is_empty() {
            return Err(NoRelay);
        }
        Ok(Some(Circuit {
            relay: relays[self.random.index(relays.len())],
            hole_at,
            left: self.setup.circuit_bytes,
            waiting: VecDeque::new(),
        }))
    }

    /// The relay that a connection goes through now.
    pub(super) fn relay(&self, id: ConnectionId) -> Option<usize> {
        let circuit = self.connections[id.0].circuit.as_ref()?;
        let has_hole = circuit.hole_at.is_some_and(|at| at <= self.now);
        (!has_hole).then_some(circuit.relay)
    }

    /// A piece that left its sender gets to the relay, and waits for its turn there.
    pub(super) fn reach_relay(&mut self, id: ConnectionId, relay: usize, mut piece: Piece) {
        if !self.nodes[relay].is_up {
            // It is lost; both ends find out.
            return;
        }
        let delay = self.network.delay(self.connections[id.0].server, relay);
        let (first, last) = (piece.first + delay, piece.last + delay);
        let bytes = piece.bytes();
        (piece.first, piece.last) = self.nodes[relay].downlink.pass(first, last, bytes);
        if let Some(circuit) = &mut self.connections[id.0].circuit {
            circuit.waiting.push_back(piece);
        }
        self.nodes[relay].uplink.ready.push_back(id);
        if !self.nodes[relay].uplink.is_busy {
            self.go_on_sending(relay);
        }
    }

    /// The uplink of a relay takes the next piece of somebody else's connection; says whether
    /// there was one.
    pub(super) fn pass_on(&mut self, relay: usize, id: ConnectionId) -> bool {
        let connection = &mut self.connections[id.0];
        let is_over = !connection.client_is_there && !connection.server_is_there;
        let is_off = is_over || !self.nodes[relay].is_up;
        let Some(circuit) = connection.circuit.as_mut().filter(|_| !is_off) else {
            return false;
        };
        let Some(mut piece) = circuit.waiting.pop_front() else {
            return false;
        };
        let bytes = piece.bytes();
        circuit.left = circuit.left.saturating_sub(bytes);
        let is_spent = circuit.left == 0;
        let node = &mut self.nodes[relay];
        node.relayed += bytes;
        node.uplink.is_busy = true;
        let first = piece.first.max(self.now);
        (piece.first, piece.last) = node.uplink.pipe.pass(first, piece.last, bytes);
        let free_at = node.uplink.pipe.free_at();
        self.heap.put(free_at, Event::UplinkFree(relay));
        self.reach(id, piece);
        if is_spent {
            self.heap.put(self.now, Event::Silent(id));
        }
        true
    }

    /// A relay is gone, and both ends of what it carried find out after so long.
    pub(super) fn end_circuits(&mut self, relay: usize, after: Duration) {
        for number in 0..self.connections.len() {
            let id = ConnectionId(number);
            if self.relay(id) == Some(relay) {
                self.heap.put(self.now + after, Event::Silent(id));
            }
        }
    }
}

/// Nobody relays.
#[derive(Debug)]
pub(super) struct NoRelay;

#[cfg(test)]
mod tests {
    use super::super::{MIB, NodeSetup, Setup, mbit};
    use super::*;

    /// One source in the open, and these others, whose second half of the bytes comes from each
    /// other: gives the bytes that were relayed, and how long it took.
    fn relayed(nats: [Nat; 2], change: impl FnOnce(&mut Setup)) -> (u64, Duration) {
        let mut setup = Setup::room(1, 64 * MIB, 0, mbit(50.0));
        for nat in nats {
            let mut node = NodeSetup::new(mbit(200.0));
            node.nat = nat;
            setup.nodes.push(node);
        }
        setup.linger = None;
        change(&mut setup);
        let mut world = World::new(setup);
        let outcome = world.run(Duration::from_secs(600)).expect("it ends");
        (outcome.relayed, outcome.wall)
    }

    #[test]
    fn who_can_reach_whom() {
        use Nat::{Home, None, Symmetric};
        for from in [None, Home, Symmetric] {
            assert_eq!(reach(from, None), Reach::Directly);
        }
        assert_eq!(reach(None, Symmetric), Reach::ByHole);
        assert_eq!(reach(Home, Home), Reach::ByHole);
        assert_eq!(reach(Home, Symmetric), Reach::ByRelay);
        assert_eq!(reach(Symmetric, Home), Reach::ByRelay);
        assert_eq!(reach(Symmetric, Symmetric), Reach::ByRelay);
    }

    #[test]
    fn what_needs_no_relay_uses_none_and_a_hole_is_used_when_it_is_there() {
        let (none, _) = relayed([Nat::None; 2], |_| ());
        let (hole, _) = relayed([Nat::Home; 2], |_| ());
        let (all, _) = relayed([Nat::Symmetric; 2], |_| ());
        assert_eq!(none, 0);
        assert!(hole > 0 && hole < all, "{hole} and {all}");
    }

    #[test]
    fn a_circuit_that_is_spent_is_made_anew() {
        let (relayed, _) = relayed([Nat::Symmetric; 2], |setup| setup.circuit_bytes = 2 * MIB);
        assert!(relayed > 8 * MIB, "{relayed}");
    }

    #[test]
    fn a_relay_that_dies_ends_its_circuits_and_they_are_made_anew() {
        use super::super::Fault;
        let back = Some(Duration::from_secs(5));
        for fault in [Fault::Kill(0, back), Fault::PowerCut(0, back)] {
            let at = Duration::from_secs(3);
            let (_, wall) = relayed([Nat::Symmetric; 2], |setup| setup.faults.push((at, fault)));
            assert!(wall > Duration::from_secs(8), "{wall:?}");
        }
    }
}
