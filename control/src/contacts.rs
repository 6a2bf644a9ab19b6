//! Whom to dial while there are too few neighbours, and when again.
//!
//! Owns: the peers and addresses that this node knows from its configuration, from an earlier
//! run, and from the LAN, each with its own pause, which grows to five minutes and never
//! ends: a node finds its team again after any outage. Refuses: dialling (the plane's).

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use rand::Rng;

use super::peers::PeerContact;

/// The pause after the first failure.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// The most contacts of configuration and earlier runs; more are not used.
const CONTACTS_MAX: usize = 512;
/// The most contacts from the LAN, where anybody can make them up.
const ANNOUNCED_MAX: usize = 256;
/// The most addresses of one contact.
const ADDRESSES_MAX: usize = 8;

/// Somebody to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Who, if that is known.
    pub peer: Option<PeerId>,
    /// Where.
    pub addresses: Vec<Multiaddr>,
    /// Whether the configuration names it: then it is dialled even if it is not a member.
    pub configured: bool,
}

struct Contact {
    target: Target,
    /// Whom the last dial led to. It is not asked for again by name if it was not at first:
    /// somebody else may be there by now.
    found: Option<PeerId>,
    announced: bool,
    failures: u32,
    due: Instant,
    dialling: Option<ConnectionId>,
}

/// All of them.
pub(super) struct Contacts {
    local: PeerId,
    contacts: Vec<Contact>,
    dialling: HashMap<ConnectionId, usize>,
}

/// The peer that `address` ends with.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last()? {
        Part::P2p(peer) => Some(peer),
        _ => None,
    }
}

impl Contacts {
    /// All are due at `now`.
    pub(super) fn new(
        local: PeerId,
        bootstrap: &[Multiaddr],
        known: &[PeerContact],
        now: Instant,
    ) -> Self {
        let bootstrap = bootstrap.iter().map(|address| Target {
            peer: peer_of(address),
            addresses: vec![address.clone()],
            configured: true,
        });
        let known = known.iter().map(|contact| Target {
            peer: Some(contact.peer),
            addresses: contact
                .addresses
                .iter()
                .take(ADDRESSES_MAX)
                .cloned()
                .collect(),
            configured: false,
        });
        let mut contacts = Self {
            local,
            contacts: Vec::new(),
            dialling: HashMap::new(),
        };
        for target in bootstrap.chain(known).take(CONTACTS_MAX) {
            contacts.add(target, false, now);
        }
        contacts
    }

    /// Somebody was announced on the LAN.
    pub(super) fn announced(&mut self, peer: PeerId, address: Multiaddr, now: Instant) {
        let known = self.contacts.iter_mut();
        let known = known.filter(|c| c.announced && c.target.peer == Some(peer));
        if let Some(contact) = known.last() {
            let addresses = &mut contact.target.addresses;
            if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
            return;
        }
        let announced = self.contacts.iter().filter(|c| c.announced);
        if announced.count() < ANNOUNCED_MAX {
            let target = Target {
                peer: Some(peer),
                addresses: vec![address],
                configured: false,
            };
            self.add(target, true, now);
        }
    }

    /// The LAN has not heard of this for a while.
    pub(super) fn expired(&mut self, peer: PeerId, address: &Multiaddr) {
        for contact in &mut self.contacts {
            if contact.announced && contact.target.peer == Some(peer) {
                contact.target.addresses.retain(|known| known != address);
            }
        }
        // A dial under way names a place in the list; those go when it is over.
        if self.dialling.is_empty() {
            self.contacts.retain(|c| !c.target.addresses.is_empty());
        }
    }

    fn add(&mut self, target: Target, announced: bool, now: Instant) {
        if target.peer == Some(self.local) || target.addresses.is_empty() {
            return;
        }
        self.contacts.push(Contact {
            found: target.peer,
            target,
            announced,
            failures: 0,
            due: now,
            dialling: None,
        });
    }

    /// Whom to dial now, at most `room` of them. The plane says which connection each
    /// becomes with [`Self::dialling`], or that it became none with [`Self::failed_at`].
    pub(super) fn due(
        &self,
        now: Instant,
        connected: &HashSet<PeerId>,
        room: usize,
    ) -> Vec<(usize, Target)> {
        let due = self.contacts.iter().enumerate().filter(|(_, contact)| {
            let there = contact.found.is_some_and(|peer| connected.contains(&peer));
            let idle = contact.dialling.is_none() && !contact.target.addresses.is_empty();
            idle && !there && contact.due <= now
        });
        due.take(room)
            .map(|(place, contact)| (place, contact.target.clone()))
            .collect()
    }

    /// How many are being dialled.
    pub(super) fn under_way(&self) -> usize {
        self.dialling.len()
    }

    /// The contact at `place` is being dialled.
    pub(super) fn dialling(&mut self, place: usize, connection: ConnectionId) {
        self.contacts[place].dialling = Some(connection);
        self.dialling.insert(connection, place);
    }

    /// A dial came through, and to whom.
    pub(super) fn succeeded(&mut self, connection: ConnectionId, peer: PeerId, now: Instant) {
        let Some(place) = self.dialling.remove(&connection) else {
            return;
        };
        let contact = &mut self.contacts[place];
        contact.dialling = None;
        contact.due = now + PAUSE_FIRST;
        contact.found = Some(peer);
    }

    /// A peer has turned out to be a member that takes us for one: pauses are short again.
    pub(super) fn settled(&mut self, peer: PeerId) {
        let theirs = self.contacts.iter_mut();
        for contact in theirs.filter(|c| c.found == Some(peer)) {
            contact.failures = 0;
        }
    }

    /// The peer was there and did not stay: it is not a member, or does not take us for one.
    /// It is dialled again, with growing pauses.
    pub(super) fn refused(&mut self, peer: PeerId, now: Instant, rng: &mut impl Rng) {
        for place in 0..self.contacts.len() {
            if self.contacts[place].found == Some(peer) {
                self.failed_at(place, now, rng);
            }
        }
    }

    /// A dial did not come through.
    pub(super) fn failed(&mut self, connection: ConnectionId, now: Instant, rng: &mut impl Rng) {
        if let Some(place) = self.dialling.remove(&connection) {
            self.failed_at(place, now, rng);
        }
    }

    /// The contact at `place` could not be dialled.
    pub(super) fn failed_at(&mut self, place: usize, now: Instant, rng: &mut impl Rng) {
        let contact = &mut self.contacts[place];
        contact.dialling = None;
        contact.due = now + pause(contact.failures, rng);
        contact.failures = contact.failures.saturating_add(1);
    }
}

/// Between half of the pause and all of it, so that those who lost the same peer at the same
/// time do not come back at the same time.
fn pause(failures: u32, rng: &mut impl Rng) -> Duration {
    let full = PAUSE_FIRST
        .saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(PAUSE_MAX);
    full.mul_f64(rng.random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn one(now: Instant) -> Contacts {
        Contacts::new(PeerId::random(), &[address(1)], &[], now)
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_never_end() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut now = Instant::now();
        let mut contacts = one(now);
        let nobody = HashSet::new();
        let mut pauses = Vec::new();
        for attempt in 0..100 {
            assert_eq!(contacts.due(now, &nobody, 9).len(), 1, "attempt {attempt}");
            let connection = ConnectionId::new_unchecked(attempt);
            contacts.dialling(0, connection);
            assert!(contacts.due(now, &nobody, 9).is_empty(), "it is under way");
            contacts.failed(connection, now, &mut rng);
            let pause = contacts.contacts[0].due - now;
            assert!(contacts.due(now, &nobody, 9).is_empty(), "too early");
            pauses.push(pause);
            now += pause;
        }
        assert!(pauses[0] <= PAUSE_FIRST);
        assert!(
            pauses[20..]
                .iter()
                .all(|p| *p >= PAUSE_MAX / 2 && *p <= PAUSE_MAX)
        );
        assert!(pauses[20..].iter().any(|p| *p != pauses[20]), "jitter");
    }

    #[test]
    fn who_is_there_is_not_dialled() {
        let now = Instant::now();
        let mut contacts = one(now);
        let peer = PeerId::random();
        let connection = ConnectionId::new_unchecked(1);
        contacts.dialling(0, connection);
        contacts.succeeded(connection, peer, now);
        let later = now + PAUSE_MAX;
        assert!(contacts.due(later, &HashSet::from([peer]), 9).is_empty());
        assert_eq!(contacts.due(later, &HashSet::new(), 9).len(), 1);
        assert!(contacts.due(later, &HashSet::new(), 0).is_empty());
    }

    #[test]
    fn a_peer_that_is_there_but_does_not_let_us_in_is_dialled_less_and_less() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut now = Instant::now();
        let mut contacts = one(now);
        let peer = PeerId::random();
        let mut visit = |contacts: &mut Contacts, attempt| {
            let connection = ConnectionId::new_unchecked(attempt);
            contacts.dialling(0, connection);
            contacts.succeeded(connection, peer, now);
            contacts.refused(peer, now, &mut rng);
            let pause = contacts.contacts[0].due - now;
            now += pause;
            pause
        };
        let pauses: Vec<_> = (0..20).map(|i| visit(&mut contacts, i)).collect();
        assert!(pauses[19] >= PAUSE_MAX / 2);
        contacts.settled(peer);
        assert!(visit(&mut contacts, 20) <= PAUSE_FIRST);
    }

    #[test]
    fn the_lan_cannot_fill_the_memory() {
        let now = Instant::now();
        let mut contacts = one(now);
        let peer = PeerId::random();
        for port in 0..100 {
            contacts.announced(peer, address(port), now);
            contacts.announced(PeerId::random(), address(port), now);
        }
        for _ in 0..1000 {
            contacts.announced(PeerId::random(), address(7), now);
        }
        assert_eq!(contacts.contacts.len(), 1 + ANNOUNCED_MAX);
        let most = contacts.contacts.iter().map(|c| c.target.addresses.len());
        assert_eq!(most.max(), Some(ADDRESSES_MAX));
        for port in 0..100 {
            contacts.expired(peer, &address(port));
        }
        assert_eq!(contacts.contacts.len(), ANNOUNCED_MAX);
    }

    #[test]
    fn a_node_does_not_dial_itself() {
        let local = PeerId::random();
        let own = address(1).with(Part::P2p(local));
        let now = Instant::now();
        let contacts = Contacts::new(local, &[own], &[], now);
        assert!(contacts.due(now, &HashSet::new(), 9).is_empty());
    }
}
