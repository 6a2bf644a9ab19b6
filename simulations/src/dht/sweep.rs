//! One node's sweep: the product's `Advert` machine against the model.
//!
//! Owns: carrying out what the machine decides, and counting what it costs. Refuses: the
//! records at the other end; all nodes are alike, so each receives what it sends, and has room
//! for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use shoal_protocol::advert::{Advert, AdvertAck, AdvertConfig, AdvertKey, Input, Output, Position};
use shoal_protocol::peer::PeerKey;

use super::kademlia::{Kademlia, place_of};
use crate::random::Random;

/// A round trip between two peers.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// What a request to find closer peers takes on the wire, headers included,
const FIND_NODE_BYTES: u64 = 150;
/// and its answer: 20 peers, each with its id and two addresses.
const CLOSER_PEERS_BYTES: u64 = 150 + 20 * 100;
/// What a batch takes beyond 16 bytes a key: addresses, framing, headers; and the answer.
const BATCH_BYTES: u64 = 512 + 100;
/// A provider record for one key, as libp2p sends it (`ADD_PROVIDER`), headers included.
const ADD_PROVIDER_BYTES: u64 = 300;

/// What one sweep of one node cost.
#[derive(Debug, Clone, Copy)]
pub struct Swept {
    /// How long it took.
    pub took: Duration,
    /// Lookups.
    pub lookups: u64,
    /// Requests, those of lookups and batches together.
    pub requests: u64,
    /// Records at others: copies of keys.
    pub records: u64,
    /// Bytes, in both directions.
    pub bytes: u64,
    /// The most keys that were in memory.
    pub keys_in_memory: usize,
    /// Requests that the same takes with one lookup a key,
    pub naive_requests: u64,
    /// and its bytes.
    pub naive_bytes: u64,
}

/// The keys of a node, by the place of each. Only a number is kept of a key.
struct Keys(Vec<(u64, u32)>);

fn advert_key(seed: u64, number: u32) -> AdvertKey {
    let mut random = Random::new(seed ^ u64::from(number));
    let parts = [random.number(), random.number()].map(u64::to_le_bytes);
    AdvertKey::from_bytes(*parts.as_flattened().first_chunk().expect("16 bytes"))
}

impl Keys {
    fn new(seed: u64, count: u32) -> Self {
        let place = |number| {
            (
                place_of(&Position::of_key(&advert_key(seed, number))),
                number,
            )
        };
        let mut keys: Vec<_> = (0..count).map(place).collect();
        keys.sort_unstable();
        Self(keys)
    }

    fn load(
        &self,
        seed: u64,
        from: Position,
        to: Position,
        keys_max: usize,
    ) -> (Vec<AdvertKey>, bool) {
        let first = self
            .0
            .partition_point(|(place, _)| *place < place_of(&from));
        let end = self.0.partition_point(|(place, _)| *place <= place_of(&to));
        let mut placed: Vec<_> = (self.0[first..end].iter().take(keys_max + 1))
            .map(|(_, number)| advert_key(seed, *number))
            .map(|key| (Position::of_key(&key), key))
            .filter(|(position, _)| (from..=to).contains(position))
            .collect();
        placed.sort_unstable();
        let is_all = placed.len() <= keys_max;
        placed.truncate(keys_max);
        (placed.into_iter().map(|(_, key)| key).collect(), is_all)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Located(u64, Position),
    Acked(u64, usize),
    Loaded(Position, Position, usize),
}

/// Has one of `network`'s peers sweep so many keys once.
pub fn sweep(network: &Kademlia, seed: u64, keys: u32) -> Swept {
    let mut random = Random::new(seed);
    let me = network.anybody(&mut random);
    let config = AdvertConfig {
        me: Some(network.key(me)),
        seed,
        ..AdvertConfig::default()
    };
    let keys_here = Keys::new(seed, keys);
    let start = Instant::now();
    let mut now = start;
    let mut machine = Advert::new(now, config, None);
    let mut heap: BinaryHeap<Reverse<(Instant, u64, Event)>> = BinaryHeap::new();
    let (mut events, mut find_requests, mut keys_in_memory) = (0, 0, 0);
    let mut next = Input::Timeout;
    loop {
        machine.handle(now, next);
        keys_in_memory = keys_in_memory.max(machine.keys_in_memory());
        while let Some(output) = machine.poll() {
            let (after, event) = match output {
                Output::Lookup { lookup, target } => (
                    4 * ROUND_TRIP,
                    Event::Located(lookup.0, Position::of_key(&target)),
                ),
                Output::Load { from, to, keys_max } => {
                    (Duration::from_millis(5), Event::Loaded(from, to, keys_max))
                }
                Output::Send { batch, keys, .. } => (ROUND_TRIP, Event::Acked(batch.0, keys.len())),
                Output::Limit { keys_max } => {
                    assert!(keys_max >= u64::from(keys), "everybody has room for all");
                    continue;
                }
                Output::Meet | Output::List { .. } | Output::Progress(_) => continue,
            };
            events += 1;
            heap.push(Reverse((now + after, events, event)));
        }
        if machine.sent().sweeps > 0 {
            break;
        }
        let wake = machine.next_timeout();
        let due = heap.peek().map(|Reverse((at, ..))| *at);
        next = match (wake, due) {
            (Some(wake), due) if due.is_none_or(|due| wake < due) => {
                now = now.max(wake);
                Input::Timeout
            }
            _ => {
                let Some(Reverse((at, _, event))) = heap.pop() else {
                    break;
                };
                now = at;
                happen(network, me, seed, &keys_here, event, &mut find_requests)
            }
        };
    }
    let sent = machine.sent();
    let per_lookup = naive_requests_a_lookup(network, &mut random);
    let find_bytes = FIND_NODE_BYTES + CLOSER_PEERS_BYTES;
    let copies = sent.keys / u64::from(keys.max(1));
    let naive = (u64::from(keys) as f64 * per_lookup) as u64;
    Swept {
        took: now - start,
        lookups: sent.lookups,
        requests: find_requests + sent.batches,
        records: sent.keys,
        bytes: find_requests * find_bytes + sent.batches * BATCH_BYTES + sent.keys * 16,
        keys_in_memory,
        naive_requests: naive + u64::from(keys) * copies,
        naive_bytes: naive * find_bytes + u64::from(keys) * copies * ADD_PROVIDER_BYTES,
    }
}

fn happen(
    network: &Kademlia,
    me: usize,
    seed: u64,
    keys: &Keys,
    event: Event,
    find_requests: &mut u64,
) -> Input {
    match event {
        Event::Located(lookup, target) => {
            let found = network.look_up(me, &target, |_| None);
            *find_requests += found.requests as u64;
            let peers: Vec<PeerKey> = found
                .closest
                .iter()
                .map(|peer| network.key(*peer))
                .collect();
            let lookup = shoal_protocol::advert::LookupId(lookup);
            Input::Located { lookup, peers }
        }
        Event::Loaded(from, to, keys_max) => {
            let (keys, is_all) = keys.load(seed, from, to, keys_max);
            Input::Loaded { keys, is_all }
        }
        Event::Acked(batch, count) => Input::Acked {
            batch: shoal_protocol::advert::BatchId(batch),
            ack: AdvertAck {
                accepted: count as u32,
                refusal: None,
                ttl_s: 86_400,
                share: u32::MAX,
            },
        },
    }
}

/// How many requests a lookup takes, of a hundred.
fn naive_requests_a_lookup(network: &Kademlia, random: &mut Random) -> f64 {
    const LOOKUPS: u32 = 100;
    let requests: usize = (0..LOOKUPS)
        .map(|number| {
            let target = Position::of_key(&advert_key(0xface, number));
            network
                .look_up(network.anybody(random), &target, |_| None)
                .requests
        })
        .sum();
    requests as f64 / f64::from(LOOKUPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_brings_every_key_to_twenty_and_looks_up_regions_not_keys() {
        let network = Kademlia::new(&mut Random::new(5), 300, 0.0, &[]);
        let swept = sweep(&network, 5, 20_000);
        assert!(swept.records >= 20 * 20_000 - 20_000, "{swept:?}");
        assert!(swept.lookups < 100, "{swept:?}");
        assert!(swept.bytes * 20 < swept.naive_bytes, "{swept:?}");
    }
}
