#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use shoal_protocol::advert::{
    AdvertAck, AdvertBatch, AdvertKey, FIND_KEYS_MAX, KEY_PROVIDERS_MAX, Refusal, TTL_S_MAX,
};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;

use super::*;
use crate::Store;
use crate::disk::OpenMode;
use crate::disk::faulty::FaultyDisk;
use crate::testing::{cut_everywhere, open as open_store};

const DAY: u32 = 86_400;
const NOW: u64 = 1_800_000_000;

fn peer(number: u64) -> PeerKey {
    PeerKey::from_bytes(blake3::derive_key("a provider", &number.to_le_bytes()))
}

fn key(number: u64) -> AdvertKey {
    let hash = blake3::derive_key("a key", &number.to_le_bytes());
    AdvertKey::from_bytes(*hash.first_chunk().unwrap())
}

fn batch(keys: impl IntoIterator<Item = AdvertKey>, ttl_s: u32, port: u16) -> AdvertBatch {
    AdvertBatch {
        epoch: 1,
        addresses: List::new(vec![format!("10.0.0.1:{port}").parse().unwrap()]).unwrap(),
        ttl_s,
        keys: List::new(keys.into_iter().collect()).unwrap(),
    }
}

struct World {
    disk: FaultyDisk,
    store: Store,
    records: ProviderStore,
    options: ProviderOptions,
}

impl World {
    fn new(options: ProviderOptions) -> Self {
        let disk = FaultyDisk::new();
        let store = open_store(&disk);
        let records = ProviderStore::open(&store, options.clone()).unwrap();
        Self {
            disk,
            store,
            records,
            options,
        }
    }

    fn with_room(records_max: u64) -> Self {
        Self::new(ProviderOptions {
            records_max,
            ..ProviderOptions::default()
        })
    }

    fn reopen(self) -> Self {
        let Self {
            disk,
            store,
            records,
            options,
        } = self;
        drop(records);
        store.close().unwrap();
        let store = open_store(&disk);
        let records = ProviderStore::open(&store, options.clone()).unwrap();
        Self {
            disk,
            store,
            records,
            options,
        }
    }

    fn accept(&self, from: u64, keys: std::ops::Range<u64>, now: u64) -> AdvertAck {
        let batch = batch(keys.map(key), DAY, 1 + from as u16);
        self.records.accept(peer(from), &batch, now).unwrap()
    }

    /// Who has a key, newest first, and since how long.
    fn who(&self, number: u64, now: u64) -> Vec<(PeerKey, u32)> {
        let found = self.records.find(&[key(number)], now).unwrap();
        let provider = |index: u16| found.providers[usize::from(index)].peer;
        let hits = found.keys[0].iter();
        hits.map(|hit| (provider(hit.provider), hit.age_s))
            .collect()
    }

    fn count(&self, of: u64, keys: std::ops::Range<u64>, now: u64) -> usize {
        let has = |number: &u64| {
            self.who(*number, now)
                .iter()
                .any(|(who, _)| *who == peer(of))
        };
        keys.filter(has).count()
    }
}

#[test]
fn what_was_accepted_is_found_newest_first() {
    let world = World::with_room(1000);
    let ack = world.accept(1, 0..10, NOW);
    assert_eq!(
        (ack.accepted, ack.refusal, ack.ttl_s, ack.share),
        (10, None, DAY, 250)
    );
    world.accept(2, 5..15, NOW + 60);
    assert_eq!(world.who(3, NOW + 100), [(peer(1), 100)]);
    assert_eq!(world.who(7, NOW + 100), [(peer(2), 40), (peer(1), 100)]);
    assert_eq!(world.who(99, NOW), []);
    assert_eq!(
        (world.records.records(), world.records.providers()),
        (20, 2)
    );
    let found = world.records.find(&[key(7), key(99), key(3)], NOW).unwrap();
    assert_eq!(
        found.keys.iter().map(|hits| hits.len()).collect::<Vec<_>>(),
        [2, 0, 1]
    );
    assert_eq!(found.providers.len(), 2);
    assert_eq!(found.providers[0].addresses[0].as_str(), "10.0.0.1:3");
    let many: Vec<_> = (0..100).map(key).collect();
    assert_eq!(
        world.records.find(&many, NOW).unwrap().keys.len(),
        FIND_KEYS_MAX
    );
}

#[test]
fn a_repetition_renews_and_brings_new_addresses() {
    let world = World::with_room(1000);
    world.accept(1, 0..10, NOW);
    let again = batch((0..10).map(key), DAY, 77);
    world.records.accept(peer(1), &again, NOW + 3600).unwrap();
    assert_eq!(world.records.records(), 10);
    let found = world
        .records
        .find(&[key(1)], NOW + 3600 + u64::from(DAY) - 1)
        .unwrap();
    assert_eq!(found.keys[0].len(), 1);
    assert_eq!(found.providers[0].addresses[0].port(), 77);
}

#[test]
fn records_are_void_when_their_time_is_over_and_then_make_room() {
    let world = World::with_room(1000);
    world.accept(1, 0..100, NOW);
    world.records.flush().unwrap();
    let end = NOW + u64::from(DAY);
    assert_eq!(world.who(3, end - 1).len(), 1);
    assert_eq!(world.who(3, end), []);
    assert_eq!(world.records.expire(end - 1).unwrap(), 0);
    assert_eq!(world.records.expire(end).unwrap(), 100);
    assert_eq!((world.records.records(), world.records.providers()), (0, 0));
    let world = world.reopen();
    assert_eq!(
        world.records.expire(end).unwrap(),
        100,
        "what was not flushed comes again"
    );
    world.records.flush().unwrap();
    assert_eq!(world.reopen().records.records(), 0);
}

#[test]
fn a_time_that_is_zero_or_too_far_off_is_refused() {
    let world = World::with_room(1000);
    for (ttl_s, refusal) in [
        (0, Some(Refusal::Ttl)),
        (1, None),
        (TTL_S_MAX, None),
        (TTL_S_MAX + 1, Some(Refusal::Ttl)),
        (u32::MAX, Some(Refusal::Ttl)),
    ] {
        let ack = world
            .records
            .accept(peer(1), &batch([key(1)], ttl_s, 1), NOW)
            .unwrap();
        assert_eq!(ack.refusal, refusal, "{ttl_s}");
    }
}

#[test]
fn what_was_flushed_survives_a_restart_and_the_rest_is_lost() {
    let world = World::with_room(100_000);
    world.accept(1, 0..3000, NOW);
    world.accept(2, 1000..2000, NOW + 5);
    world.records.flush().unwrap();
    world.accept(3, 0..10, NOW);
    let world = world.reopen();
    assert_eq!(world.records.records(), 4000);
    assert_eq!(world.who(1500, NOW + 5), [(peer(2), 0), (peer(1), 5)]);
    assert_eq!(world.count(3, 0..10, NOW), 0);
}

#[test]
fn a_key_keeps_those_who_came_first() {
    let world = World::with_room(1_000_000);
    for number in 0..KEY_PROVIDERS_MAX as u64 {
        assert_eq!(world.accept(number, 0..1, NOW).accepted, 1);
    }
    let late = world.accept(1000, 0..2, NOW + 10);
    assert_eq!((late.accepted, late.refusal), (1, Some(Refusal::Full)));
    assert_eq!(world.count(1000, 0..2, NOW + 10), 1);
    assert_eq!(
        world.accept(5, 0..1, NOW + 10).accepted,
        1,
        "they may renew"
    );
    // Void records do not keep anybody out.
    let end = NOW + u64::from(DAY);
    assert_eq!(world.accept(1000, 0..1, end).accepted, 1);
}

#[test]
fn a_flooder_gets_its_share_and_pushes_out_nobody() {
    let world = World::with_room(4000);
    for honest in 1..=3 {
        world.accept(honest, honest * 10_000..honest * 10_000 + 500, NOW);
    }
    for round in 0..3 {
        let ack = world.accept(9, 100_000 + round * 5000..105_000 + round * 5000, NOW + 1);
        assert_eq!(ack.accepted, if round == 0 { 1000 } else { 0 });
        assert_eq!((ack.refusal, ack.share), (Some(Refusal::Full), 1000));
    }
    world.records.expire(NOW + 2).unwrap();
    for honest in 1..=3 {
        let keys = honest * 10_000..honest * 10_000 + 500;
        assert_eq!(world.count(honest, keys, NOW + 2), 500);
    }
}

#[test]
fn who_brings_more_than_anybody_sends_is_told_when_to_come_back() {
    let world = World::with_room(100_000);
    let flood = |now| world.accept(9, 0..16_384, now);
    let refused = (0..20).map(|_| flood(NOW)).find(|ack| ack.accepted == 0);
    let refused = refused.expect("not all are taken");
    assert_eq!(refused.refusal, Some(Refusal::Rate { retry_s: 1 }));
    let records = world.records.records();
    assert_eq!(
        world.accept(1, 20_000..20_010, NOW).accepted,
        10,
        "others may"
    );
    assert_eq!(world.records.records(), records + 10);
    assert_eq!(flood(NOW + 1).refusal, None);
}

#[test]
fn a_newcomer_gets_its_share_from_those_beyond_theirs_who_keep_their_lowest() {
    let world = World::with_room(4000);
    for first in 1..=4 {
        assert_eq!(
            world
                .accept(first, first * 10_000..first * 10_000 + 1000, NOW)
                .accepted,
            1000
        );
    }
    world.records.flush().unwrap();
    assert_eq!(world.accept(5, 50_000..51_000, NOW).accepted, 0);
    let mut accepted = 0;
    for _ in 0..5 {
        world.records.expire(NOW).unwrap();
        world.records.flush().unwrap();
        accepted = world.accept(5, 50_000..51_000, NOW).accepted;
    }
    assert!((750..=800).contains(&accepted), "{accepted}");
    for first in 1..=4 {
        let mut keys: Vec<_> = (first * 10_000..first * 10_000 + 1000).collect();
        keys.sort_by_key(|number| key(*number));
        let lowest: usize = keys[..700]
            .iter()
            .map(|n| world.count(first, *n..n + 1, NOW))
            .sum();
        assert_eq!(lowest, 700);
        let all = world.count(first, first * 10_000..first * 10_000 + 1000, NOW);
        assert!((780..=850).contains(&all), "{all}");
    }
    assert!(world.records.records() <= 4000);
}

#[test]
fn providers_are_bounded_and_those_without_records_make_room() {
    let world = World::new(ProviderOptions {
        providers_max: 3,
        ..ProviderOptions::default()
    });
    for number in 1..=3 {
        world.accept(number, 0..1, NOW);
    }
    let refused = world.accept(4, 0..1, NOW);
    assert_eq!(
        (refused.accepted, refused.refusal),
        (0, Some(Refusal::Full))
    );
    world.records.flush().unwrap();
    let end = NOW + u64::from(DAY);
    world.records.expire(end).unwrap();
    assert_eq!(world.accept(4, 0..1, end).accepted, 1);
    assert_eq!(world.who(0, end), [(peer(4), 0)]);
}

#[test]
fn whoever_is_forgotten_is_not_found_and_its_number_is_not_given_again() {
    let world = World::with_room(1000);
    world.accept(1, 0..10, NOW);
    world.accept(2, 0..10, NOW);
    world.records.flush().unwrap();
    world.records.forget(&peer(2)).unwrap();
    world.records.flush().unwrap();
    assert_eq!(world.who(3, NOW), [(peer(1), 0)]);
    let world = world.reopen();
    world.accept(3, 20..21, NOW);
    assert_eq!(world.who(3, NOW), [(peer(1), 0)]);
    assert_eq!(world.records.records(), 11);
    world.records.expire(NOW).unwrap();
    assert_eq!(world.records.records(), 11);
}

#[test]
fn a_damaged_file_is_replaced_by_an_empty_one() {
    let world = World::with_room(100_000);
    world.accept(1, 0..5000, NOW);
    world.records.flush().unwrap();
    let name = Path::new("providers.redb");
    drop(world.records);
    let file = world.store.home().open(name, OpenMode::Write).unwrap();
    file.write_at(0, &[0x5a; 4096]).unwrap();
    let records = ProviderStore::open(&world.store, world.options.clone()).unwrap();
    let world = World { records, ..world };
    assert_eq!(world.records.records(), 0);
    assert_eq!(world.accept(1, 0..10, NOW).accepted, 10);
    world.records.flush().unwrap();
    assert_eq!(world.reopen().records.records(), 10);
}

#[test]
fn damage_that_shows_later_is_survived_too() {
    for seed in 0..8u64 {
        let world = World::new(ProviderOptions {
            cache_bytes: 0,
            ..ProviderOptions::default()
        });
        world.accept(1, 0..16_000, NOW);
        world.records.flush().unwrap();
        let file = world.store.home();
        let file = file
            .open(Path::new("providers.redb"), OpenMode::Write)
            .unwrap();
        let size = file.identity().unwrap().size;
        // All behind the head and the map of regions.
        let noise = blake3::derive_key("noise", &seed.to_le_bytes());
        for offset in (8192..size).step_by(32) {
            file.write_at(offset, &noise).unwrap();
        }
        let ack = world.accept(2, 0..100, NOW);
        assert_eq!(ack.accepted, 100, "seed {seed}");
        assert_eq!(world.count(2, 0..100, NOW), 100);
        world.records.expire(NOW).unwrap();
        world.records.flush().unwrap();
        assert_eq!(world.reopen().count(2, 0..100, NOW), 100, "seed {seed}");
    }
}

#[test]
fn a_power_cut_leaves_a_file_with_all_that_was_flushed() {
    cut_everywhere(
        |disk, flushed| {
            let store = open_store(disk);
            let records = ProviderStore::open(&store, ProviderOptions::default()).unwrap();
            for number in 0..6 {
                let keys = number * 50..number * 50 + 80;
                let batch = batch(keys.map(key), DAY, 1);
                records.accept(peer(number), &batch, NOW).unwrap();
                records.flush().unwrap();
                flushed.note(number);
            }
        },
        |disk, flushed| {
            let store = open_store(disk);
            let records = ProviderStore::open(&store, ProviderOptions::default()).unwrap();
            for number in flushed {
                let found = records.find(&[key(**number * 50 + 7)], NOW).unwrap();
                let mut peers = found.providers.iter().map(|provider| provider.peer);
                assert!(
                    peers.any(|found| found == peer(**number)),
                    "{number} was lost"
                );
            }
            let more = batch([key(1)], DAY, 1);
            assert_eq!(records.accept(peer(99), &more, NOW).unwrap().accepted, 1);
            records.flush().unwrap();
        },
    );
}

#[derive(Debug, Clone)]
enum Step {
    Accept(u64, Vec<u64>, u32),
    Expire,
    Flush,
    Reopen,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5u64, vec(0..40u64, 1..20), 1..200u32)
            .prop_map(|(who, keys, ttl)| Step::Accept(who, keys, ttl)),
        1 => Just(Step::Expire),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        2 => (1..100u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// With room for all, the store is a map from key and provider to an end.
    #[test]
    fn the_store_is_a_map_with_ends(steps in vec(step(), 1..40)) {
        let mut world = World::with_room(1_000_000);
        let mut model: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut now = NOW;
        for step in steps {
            match step {
                Step::Accept(who, keys, ttl) => {
                    let ack = world.records.accept(peer(who), &batch(keys.iter().map(|k| key(*k)), ttl, 1), now);
                    prop_assert_eq!(ack.unwrap().accepted as usize, keys.len());
                    model.extend(keys.iter().map(|key| ((*key, who), now + u64::from(ttl))));
                }
                Step::Expire => drop(world.records.expire(now).unwrap()),
                Step::Flush => world.records.flush().unwrap(),
                Step::Reopen => {
                    world.records.flush().unwrap();
                    world = world.reopen();
                }
                Step::Wait(time) => now += time,
            }
            for number in 0..40 {
                let found: BTreeSet<_> = world.who(number, now).into_iter().map(|(who, _)| who).collect();
                let expect: BTreeSet<_> = (0..5)
                    .filter(|who| model.get(&(number, *who)).is_some_and(|end| *end > now))
                    .map(peer)
                    .collect();
                prop_assert_eq!(found, expect);
            }
        }
        world.records.flush().unwrap();
        now += 1000;
        world.records.expire(now).unwrap();
        prop_assert_eq!(world.records.records(), 0);
    }
}
