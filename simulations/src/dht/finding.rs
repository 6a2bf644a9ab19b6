//! Finding what was advertised: the product's `Search` machine against the model.
//!
//! Owns: where records are when peers have come and gone since, and what Sybils do. Refuses:
//! time; a search is a matter of seconds, in which nobody comes or goes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use shoal_protocol::advert::{
    AdvertKey, Found as Answer, Hit, Position, Provider, Search, SearchConfig, SearchInput,
    SearchOutput,
};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;

use super::kademlia::{K, Kademlia, Lookup, peer_key};
use crate::random::Random;

/// Records lie at no more than so many of those who are closest now.
const REACH: usize = 4 * K;

/// A network in which something was advertised one interval of sweeps ago, at worst.
#[derive(Debug, Clone, Copy)]
pub struct Finding {
    /// How many peers there are at any time.
    pub peers: usize,
    /// How long ago it was advertised, in half-lives of peers.
    pub half_lives: f64,
    /// The share of dead entries in routing tables.
    pub stale: f64,
    /// Under how many keys it is advertised and looked for: a file's lowest chunks.
    pub keys: usize,
    /// How many Sybils lie as close to the first key as it takes.
    pub sybils: usize,
    /// How many members the searcher is connected to.
    pub met: usize,
}

/// What a search came to.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Whether somebody who has it was named.
    pub is_found: bool,
    /// How many were asked.
    pub asked: usize,
    /// The lookups.
    pub lookups: Vec<Lookup>,
}

impl Finding {
    /// Advertises something, lets peers come and go, and searches for it.
    pub fn run(&self, seed: u64) -> Found {
        let mut random = Random::new(seed);
        let keys: Vec<_> = (0..self.keys as u64)
            .map(|number| content_key(seed, number))
            .collect();
        let provider = peer_key(seed, u64::MAX);
        let sybils = sybils(seed, &keys[0], self.sybils, self.peers);
        let mut more = sybils.clone();
        more.push(provider);
        let network = Kademlia::new(&mut random, self.peers, self.stale, &more);
        let world = World {
            sybils: sybils.iter().filter_map(|key| network.peer(key)).collect(),
            provider,
            network,
        };
        // Where the records are: of those who are closest now, each was there when it was
        // advertised with the probability that a peer lives so long. Who came since has none.
        let lives = 0.5f64.powf(self.half_lives);
        let holders: Vec<BTreeSet<usize>> = keys
            .iter()
            .map(|key| {
                let closest = world.network.truly_closest(&Position::of_key(key), REACH);
                let mut copies = 0;
                let mut holders = BTreeSet::new();
                for peer in closest {
                    // Those who were there then and are gone now lay between: as many as came.
                    let is_old = world.sybils.contains(&peer) || random.happens(lives);
                    copies += usize::from(is_old) + usize::from(!random.happens(lives));
                    if copies > K {
                        break;
                    }
                    if is_old && !world.sybils.contains(&peer) {
                        holders.insert(peer);
                    }
                }
                holders
            })
            .collect();
        self.search(&world, &keys, &holders, &mut random)
    }

    fn search(
        &self,
        world: &World,
        keys: &[AdvertKey],
        holders: &[BTreeSet<usize>],
        random: &mut Random,
    ) -> Found {
        let network = &world.network;
        let from = loop {
            let from = network.anybody(random);
            if !world.sybils.contains(&from) && network.key(from) != world.provider {
                break from;
            }
        };
        let config = SearchConfig {
            me: Some(network.key(from)),
            ..SearchConfig::default()
        };
        let mut machine = Search::new(config, keys.to_vec());
        let mut now = Instant::now();
        let mut found = Found::default();
        let met: Vec<_> = (0..self.met)
            .map(|_| network.key(network.anybody(random)))
            .collect();
        let mut next = vec![SearchInput::Met { peers: met }];
        while let Some(input) = next.pop() {
            machine.handle(now, input);
            now += Duration::from_millis(50);
            while let Some(output) = machine.poll() {
                match output {
                    SearchOutput::Lookup { lookup, target } => {
                        let looked = world.look_up(from, &target);
                        let peers = looked
                            .closest
                            .iter()
                            .map(|peer| network.key(*peer))
                            .collect();
                        found.lookups.push(looked);
                        next.insert(0, SearchInput::Located { lookup, peers });
                    }
                    SearchOutput::Ask { ask, peer, .. } => {
                        found.asked += 1;
                        let peer = network.peer(&peer).filter(|peer| network.is_there(*peer));
                        next.insert(
                            0,
                            match peer {
                                Some(peer) => SearchInput::Answered {
                                    ask,
                                    found: world.answer(peer, holders),
                                },
                                None => SearchInput::AskFailed { ask },
                            },
                        );
                    }
                    SearchOutput::Seen(seen) => {
                        found.is_found |= seen.provider.peer == world.provider;
                    }
                    SearchOutput::Ended(_) => return found,
                }
            }
            if next.is_empty() {
                let Some(at) = machine.next_timeout() else {
                    break;
                };
                now = now.max(at);
                next.push(SearchInput::Timeout);
            }
        }
        found
    }
}

struct World {
    network: Kademlia,
    sybils: BTreeSet<usize>,
    provider: PeerKey,
}

impl World {
    /// Sybils tell of each other and of nobody else.
    fn look_up(&self, from: usize, target: &AdvertKey) -> Lookup {
        let lies = |peer: usize| {
            let is_sybil = self.sybils.contains(&peer);
            is_sybil.then(|| self.sybils.iter().copied().take(K).collect())
        };
        self.network.look_up(from, &Position::of_key(target), lies)
    }

    /// Who has it, as far as a peer knows. A Sybil names people who do not exist.
    fn answer(&self, peer: usize, holders: &[BTreeSet<usize>]) -> Answer {
        let provider = |peer| Provider {
            peer,
            addresses: List::empty(),
        };
        let hit = |provider| Hit {
            provider,
            age_s: 60,
        };
        let is_sybil = self.sybils.contains(&peer);
        let named: Vec<_> = match is_sybil {
            true => (0..32)
                .map(|n| provider(peer_key(peer as u64 + 7, n)))
                .collect(),
            false => vec![provider(self.provider)],
        };
        let hits = |holders: &BTreeSet<usize>| -> Vec<Hit> {
            match (is_sybil, holders.contains(&peer)) {
                (true, _) => (0..32).map(hit).collect(),
                (false, true) => vec![hit(0)],
                (false, false) => Vec::new(),
            }
        };
        let keys = holders
            .iter()
            .map(|holders| List::new(hits(holders)).expect("few"));
        Answer {
            keys: List::new(keys.collect()).expect("as many as were asked for"),
            providers: List::new(named).expect("few"),
        }
    }
}

fn content_key(seed: u64, number: u64) -> AdvertKey {
    let parts = [seed, number].map(u64::to_le_bytes);
    let hash = blake3::derive_key("shoal simulations content", parts.as_flattened());
    AdvertKey::from_bytes(*hash.first_chunk().expect("32 bytes"))
}

/// Keys of so many peers that lie closer to a key than honest ones are likely to: found by
/// trying, as an attacker has to.
fn sybils(seed: u64, key: &AdvertKey, count: usize, peers: usize) -> Vec<PeerKey> {
    let target = Position::of_key(key);
    let bits = peers.ilog2() + 3;
    let keys = (0u64..).map(|number| peer_key(seed ^ 0x5b11, number));
    let near = keys.filter(|key| Position::of_peer(key).common_bits(&target) >= bits);
    near.take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_found(finding: Finding) -> f64 {
        let found = (0..60).filter(|seed| finding.run(*seed).is_found).count();
        found as f64 / 60.0
    }

    const FINDING: Finding = Finding {
        peers: 300,
        half_lives: 1.0,
        stale: 0.1,
        keys: 1,
        sybils: 0,
        met: 8,
    };

    #[test]
    fn half_the_copies_are_enough() {
        assert_eq!(share_found(FINDING), 1.0);
    }

    #[test]
    fn ten_sybils_hide_nothing_and_forty_do() {
        let with = |sybils| Finding {
            sybils,
            met: 0,
            ..FINDING
        };
        assert!(share_found(with(10)) > 0.9);
        assert!(share_found(with(40)) < 0.2);
    }
}
