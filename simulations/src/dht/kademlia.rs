//! A model of Kademlia's routing, with libp2p's constants.
//!
//! Owns: who lies where, the routing table of each (up to 20 random peers of every distance,
//! of which some may be gone), and the iterative lookup. Refuses: how tables come to be as they
//! are: they are drawn as a network in its steady state has them.

use std::collections::BTreeSet;

use shoal_protocol::advert::Position;
use shoal_protocol::peer::PeerKey;

use crate::random::Random;

/// Peers in a bucket, and peers that a lookup looks for (libp2p's `K_VALUE`).
pub const K: usize = 20;
/// Requests that a lookup has open at once (libp2p's `ALPHA_VALUE`).
pub const ALPHA: usize = 3;
/// Distances are told apart by so many leading bits; among ten thousand nobody shares more.
const BITS: u32 = 64;

/// A network of peers, some of which may be gone.
#[derive(Debug)]
pub struct Kademlia {
    /// By position.
    peers: Vec<(Position, PeerKey)>,
    /// The first eight bytes of each position, in the same order.
    places: Vec<u64>,
    is_there: Vec<bool>,
    tables: Vec<Vec<u32>>,
}

/// What a lookup came to.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    /// The closest that answered, closest first.
    pub closest: Vec<usize>,
    /// Requests that were sent.
    pub requests: usize,
    /// Those of them that nobody answered.
    pub unanswered: usize,
    /// How many answers led to the closest peer, one from the other.
    pub hops: usize,
}

/// The leading bytes of a position as a number, which orders as positions do.
pub(super) fn place_of(position: &Position) -> u64 {
    let (front, _) = position.as_bytes().split_first_chunk().expect("32 bytes");
    u64::from_be_bytes(*front)
}

/// A key that follows from a number.
pub(super) fn peer_key(seed: u64, number: u64) -> PeerKey {
    let parts = [seed, number].map(u64::to_le_bytes);
    PeerKey::from_bytes(blake3::derive_key(
        "shoal simulations peer",
        parts.as_flattened(),
    ))
}

impl Kademlia {
    /// So many peers, and whoever else is given. Of the entries of routing tables, a share of
    /// `stale` leads to peers that are not there: so many more peers are drawn, who are gone.
    pub fn new(random: &mut Random, count: usize, stale: f64, more: &[PeerKey]) -> Self {
        let gone = (count as f64 * stale / (1.0 - stale)) as usize;
        let seed = random.number();
        let keys = (0..count + gone).map(|number| (peer_key(seed, number as u64), number < count));
        let more = more.iter().map(|key| (*key, true));
        let placed = keys
            .chain(more)
            .map(|(key, there)| (Position::of_peer(&key), key, there));
        let mut all: Vec<_> = placed.collect();
        all.sort_unstable_by_key(|(position, ..)| *position);
        let mut network = Self {
            places: all
                .iter()
                .map(|(position, ..)| place_of(position))
                .collect(),
            is_there: all.iter().map(|(.., there)| *there).collect(),
            peers: all
                .iter()
                .map(|(position, key, _)| (*position, *key))
                .collect(),
            tables: Vec::new(),
        };
        network.tables = (0..all.len())
            .map(|peer| network.draw_table(random, peer))
            .collect();
        network
    }

    /// For every distance, up to 20 of those who lie at it.
    fn draw_table(&self, random: &mut Random, peer: usize) -> Vec<u32> {
        let mut table = Vec::new();
        if !self.is_there[peer] {
            return table;
        }
        let place = self.places[peer];
        for bits in 0..BITS {
            let first = (place ^ (1 << (63 - bits))) & (u64::MAX << (63 - bits));
            let last = first | (u64::MAX.checked_shr(bits + 1).unwrap_or(0));
            let from = self.places.partition_point(|place| *place < first);
            let to = self.places.partition_point(|place| *place <= last);
            let all = to - from;
            if all <= K {
                table.extend(from as u32..to as u32);
            } else {
                let mut chosen = BTreeSet::new();
                while chosen.len() < K {
                    chosen.insert((from + random.index(all)) as u32);
                }
                table.extend(chosen);
            }
            let within = place & (u64::MAX << (63 - bits));
            let near = self.places.partition_point(|p| *p < within);
            if self.places[near..]
                .iter()
                .take(2)
                .filter(|p| **p >> (63 - bits) == place >> (63 - bits))
                .count()
                < 2
            {
                break;
            }
        }
        table.retain(|other| *other as usize != peer);
        table
    }

    /// How many peers there are, those included that are gone.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The key of a peer.
    pub fn key(&self, peer: usize) -> PeerKey {
        self.peers[peer].1
    }

    /// The peer with a key.
    pub fn peer(&self, key: &PeerKey) -> Option<usize> {
        let position = Position::of_peer(key);
        let index = self.peers.partition_point(|(place, _)| *place < position);
        self.peers
            .get(index)
            .is_some_and(|(_, k)| k == key)
            .then_some(index)
    }

    /// Some peer that is there.
    pub fn anybody(&self, random: &mut Random) -> usize {
        loop {
            let peer = random.index(self.len());
            if self.is_there[peer] {
                return peer;
            }
        }
    }

    /// Whether a peer is there.
    pub fn is_there(&self, peer: usize) -> bool {
        self.is_there[peer]
    }

    /// The peers closest to a position, as nobody can know them but the model.
    pub fn truly_closest(&self, target: &Position, count: usize) -> Vec<usize> {
        let place = place_of(target);
        let there = (0..self.len()).filter(|peer| self.is_there[*peer]);
        let mut peers: Vec<_> = there.collect();
        let far = |peer: &usize| self.places[*peer] ^ place;
        if peers.len() > count {
            peers.select_nth_unstable_by_key(count, far);
            peers.truncate(count);
        }
        peers.sort_unstable_by_key(far);
        peers
    }

    /// Those of a peer's table that are closest to a place.
    fn known_to(&self, peer: usize, place: u64) -> Vec<usize> {
        let mut known: Vec<usize> = self.tables[peer].iter().map(|p| *p as usize).collect();
        let far = |peer: &usize| self.places[*peer] ^ place;
        if known.len() > K {
            known.select_nth_unstable_by_key(K, far);
            known.truncate(K);
        }
        known
    }

    /// Asks ever closer peers for closer ones, three at a time, until the 20 closest known have
    /// answered. `lies` says of whom a peer tells instead of the truth.
    pub fn look_up(
        &self,
        from: usize,
        target: &Position,
        lies: impl Fn(usize) -> Option<Vec<usize>>,
    ) -> Lookup {
        let place = place_of(target);
        let far = |peer: usize| self.places[peer] ^ place;
        let mut known: Vec<(u64, usize, usize)> = Vec::new();
        let mut seen = BTreeSet::from([from]);
        let mut answered: BTreeSet<usize> = BTreeSet::new();
        let mut asked = BTreeSet::new();
        let mut lookup = Lookup::default();
        let mut learn = |known: &mut Vec<(u64, usize, usize)>, peers: Vec<usize>, hops: usize| {
            for peer in peers {
                if seen.insert(peer) {
                    let at = known.partition_point(|(distance, ..)| *distance < far(peer));
                    known.insert(at, (far(peer), peer, hops));
                }
            }
        };
        learn(&mut known, self.known_to(from, place), 1);
        loop {
            let live = known
                .iter()
                .filter(|(_, p, _)| !asked.contains(p) || answered.contains(p));
            let next: Vec<_> = live
                .take(K)
                .filter(|(_, p, _)| !asked.contains(p))
                .take(ALPHA)
                .copied()
                .collect();
            if next.is_empty() {
                break;
            }
            for (_, peer, hops) in next {
                asked.insert(peer);
                lookup.requests += 1;
                if !self.is_there[peer] {
                    lookup.unanswered += 1;
                    continue;
                }
                answered.insert(peer);
                let told = lies(peer).unwrap_or_else(|| self.known_to(peer, place));
                learn(&mut known, told, hops + 1);
            }
        }
        let closest = known.iter().filter(|(_, peer, _)| answered.contains(peer));
        let closest: Vec<_> = closest.take(K).collect();
        lookup.hops = closest.first().map_or(0, |(.., hops)| *hops);
        lookup.closest = closest.into_iter().map(|(_, peer, _)| *peer).collect();
        lookup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_finds_the_closest_in_a_few_steps() {
        let mut random = Random::new(3);
        let network = Kademlia::new(&mut random, 2000, 0.0, &[]);
        for number in 0..50 {
            let target = Position::of_peer(&peer_key(99, number));
            let from = network.anybody(&mut random);
            let lookup = network.look_up(from, &target, |_| None);
            let truly: Vec<_> = network.truly_closest(&target, K + 1);
            let hits = lookup
                .closest
                .iter()
                .filter(|peer| truly.contains(peer))
                .count();
            assert!(hits >= K - 1, "{hits} of the closest");
            assert!(lookup.hops <= 6 && lookup.requests < 60, "{lookup:?}");
        }
    }

    #[test]
    fn peers_that_are_gone_are_passed_over() {
        let mut random = Random::new(4);
        let network = Kademlia::new(&mut random, 500, 0.3, &[]);
        let target = Position::of_peer(&peer_key(98, 1));
        let lookup = network.look_up(network.anybody(&mut random), &target, |_| None);
        assert_eq!(lookup.closest.len(), K);
        assert!(lookup.closest.iter().all(|peer| network.is_there(*peer)));
        assert!(lookup.unanswered > 0);
    }
}
