//! Being reachable through others.
//!
//! Owns: which members relay to this node, and when to ask again. Refuses: relaying for
//! others, which is libp2p's behaviour within its limits.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol as Part;
use libp2p::{Multiaddr, PeerId};

use super::peers::Reachability;

/// How many relays a node uses.
const RELAYS_WANTED: usize = 2;
/// The most that are remembered.
const CANDIDATES_MAX: usize = 64;
/// After a relay has refused or gone.
const PAUSE: Duration = Duration::from_secs(30);
/// After so many attempts to dial back failed, a node without an address counts as
/// unreachable. libp2p has each address tried once, and most nodes have one.
const FAILURES_MIN: u32 = 1;

struct Candidate {
    address: Multiaddr,
    again: Instant,
    listener: Option<ListenerId>,
}

/// Relays that this node could use, and those that it does.
pub(super) struct Relays {
    allowed: bool,
    listens: bool,
    candidates: HashMap<PeerId, Candidate>,
}

impl Relays {
    /// `allowed` by configuration; the node `listens` somewhere itself.
    pub(super) fn new(allowed: bool, listens: bool) -> Self {
        Self {
            allowed,
            listens,
            candidates: HashMap::new(),
        }
    }

    /// A member that is connected directly offers to relay; `address` is what it was
    /// dialled at.
    pub(super) fn offered(&mut self, peer: PeerId, address: Multiaddr, now: Instant) {
        if self.candidates.len() >= CANDIDATES_MAX && !self.candidates.contains_key(&peer) {
            return;
        }
        let candidate = self.candidates.entry(peer).or_insert_with(|| Candidate {
            address: address.clone(),
            again: now,
            listener: None,
        });
        candidate.address = address;
    }

    /// It does not offer any more, or is gone.
    pub(super) fn withdrawn(&mut self, peer: PeerId) {
        let in_use = |c: &Candidate| c.listener.is_some();
        if self.candidates.get(&peer).is_some_and(|c| !in_use(c)) {
            self.candidates.remove(&peer);
        }
    }

    /// The addresses to listen on now; say what came of each with [`Self::listening`].
    pub(super) fn wanted(
        &self,
        reachability: &Reachability,
        now: Instant,
    ) -> Vec<(PeerId, Multiaddr)> {
        let is_inside = reachability.translated || reachability.failures >= FAILURES_MIN;
        let unreachable = !reachability.is_direct() && (!self.listens || is_inside);
        if !self.allowed || !unreachable {
            return Vec::new();
        }
        let used = self.candidates.values().filter(|c| c.listener.is_some());
        let missing = RELAYS_WANTED.saturating_sub(used.count());
        let idle = self.candidates.iter();
        let idle = idle.filter(|(_, c)| c.listener.is_none() && c.again <= now);
        let circuit = |(peer, c): (&PeerId, &Candidate)| {
            let relay = c.address.clone().with_p2p(*peer).ok()?;
            Some((*peer, relay.with(Part::P2pCircuit)))
        };
        idle.filter_map(circuit).take(missing).collect()
    }

    /// The node listens at a relay, or failed to.
    pub(super) fn listening(&mut self, peer: PeerId, listener: Option<ListenerId>, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            candidate.listener = listener;
            candidate.again = now + PAUSE;
        }
    }

    /// A listener has ended; whether it was at a relay.
    pub(super) fn closed(&mut self, listener: ListenerId, now: Instant) -> bool {
        let mut used = self.candidates.values_mut();
        let Some(candidate) = used.find(|c| c.listener == Some(listener)) else {
            return false;
        };
        candidate.listener = None;
        candidate.again = now + PAUSE;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_not_reachable_asks_for_relays() {
        let now = Instant::now();
        let peer = PeerId::random();
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let unknown = Reachability::default();
        let tried = Reachability {
            failures: FAILURES_MIN,
            ..Reachability::default()
        };
        let translated = Reachability {
            translated: true,
            ..Reachability::default()
        };
        let direct = Reachability {
            external: vec![address.clone()],
            failures: FAILURES_MIN,
            translated: true,
        };
        let cases = [
            (true, true, &translated, 1),
            (true, true, &unknown, 0),
            (true, true, &tried, 1),
            (true, false, &unknown, 1),
            (true, false, &direct, 0),
            (false, false, &tried, 0),
        ];
        for (allowed, listens, reachability, expected) in cases {
            let mut relays = Relays::new(allowed, listens);
            relays.offered(peer, address.clone(), now);
            let wanted = relays.wanted(reachability, now);
            assert_eq!(
                wanted.len(),
                expected,
                "{allowed} {listens} {reachability:?}"
            );
        }
    }

    #[test]
    fn a_relay_that_ended_is_asked_again_after_a_pause() {
        let now = Instant::now();
        let mut relays = Relays::new(true, false);
        let none = Reachability::default();
        for port in 1..5 {
            let address = format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap();
            relays.offered(PeerId::random(), address, now);
        }
        let wanted = relays.wanted(&none, now);
        assert_eq!(wanted.len(), RELAYS_WANTED);
        let listeners = [ListenerId::next(), ListenerId::next()];
        for ((peer, _), listener) in wanted.iter().zip(listeners) {
            relays.listening(*peer, Some(listener), now);
        }
        assert!(relays.wanted(&none, now).is_empty());
        assert!(relays.closed(listeners[0], now));
        let next = relays.wanted(&none, now);
        assert_eq!(next.len(), 1);
        assert_ne!(next[0].0, wanted[0].0, "another one first");
    }
}
