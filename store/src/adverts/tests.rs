#![allow(clippy::unwrap_used)]
// A coverage of one range is what is meant.
#![allow(clippy::single_range_in_vec_init)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use shoal_protocol::advert::{AdvertKey, DiscoveryKey, Position, Subject};
use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::manifest::{Content, EntryKind, SnapshotCursor, Step};
use shoal_protocol::peer::PeerKey;

use super::*;
use crate::Store;
use crate::index::{AudienceId, Coverage};
use crate::ingest::AddMode;
use crate::ingest::tests::{World, noise};
use crate::progress::{Progress, Silent};

const SECRET: DiscoveryKey = DiscoveryKey::from_bytes([5; 32]);

fn chunk(number: u64) -> ChunkId {
    ChunkId::of(&number.to_le_bytes())
}

fn chunk_key(number: u64) -> AdvertKey {
    SECRET.key(Subject::Chunk(chunk(number)))
}

/// Rows of so many chunks, as if they lay in a file.
fn put_chunks(store: &Store, numbers: std::ops::Range<u64>, audience: AudienceId) {
    let batch = store.begin();
    let file = batch.new_file();
    let chunks: Vec<_> = numbers.map(|number| (chunk(number), 1000)).collect();
    batch.add_extents(&chunks, file, 0, audience);
    batch.commit(true).unwrap();
}

fn list(store: &Store, budget: u64, may_offer: &dyn Fn(AudienceId) -> bool) -> AdvertList {
    let offer = Offer {
        secret: &SECRET,
        may_offer,
    };
    AdvertList::new(store, &offer, budget, &Silent)
        .unwrap()
        .unwrap()
}

fn all(list: &mut AdvertList) -> Vec<AdvertKey> {
    let (keys, is_all) = list
        .load(Position::FIRST, Position::LAST, usize::MAX)
        .unwrap();
    assert!(is_all);
    keys
}

fn sorted(mut keys: Vec<AdvertKey>) -> Vec<AdvertKey> {
    keys.sort_by_key(Position::of_key);
    keys
}

#[test]
fn keys_come_in_the_order_of_their_positions_a_few_at_a_time() {
    let world = World::new();
    put_chunks(&world.store, 0..20_000, AudienceId::SELF);
    let mut list = list(&world.store, u64::MAX, &|_| true);
    let expect = sorted((0..20_000).map(chunk_key).collect());
    assert_eq!(all(&mut list), expect);
    let mut from = Position::FIRST;
    let mut paged = Vec::new();
    loop {
        let (keys, is_all) = list.load(from, Position::LAST, 777).unwrap();
        assert!(keys.len() <= 777);
        paged.extend(keys);
        if is_all {
            break;
        }
        from = Position::of_key(paged.last().unwrap()).next().unwrap();
    }
    assert_eq!(paged, expect);
    let left: Vec<_> = std::fs::read_dir(world.home().join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "its file has no name");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_range_has_what_lies_in_it(ranges: Vec<([u8; 32], [u8; 32], u8)>) {
        let world = World::new();
        put_chunks(&world.store, 0..600, AudienceId::SELF);
        let mut list = list(&world.store, u64::MAX, &|_| true);
        let sorted = sorted((0..600).map(chunk_key).collect());
        for (a, b, keys_max) in ranges {
            let (from, to) = (Position::from_bytes(a.min(b)), Position::from_bytes(a.max(b)));
            let inside = |key: &&AdvertKey| (from..=to).contains(&Position::of_key(key));
            let mut expect: Vec<_> = sorted.iter().filter(inside).copied().collect();
            let is_all = expect.len() <= usize::from(keys_max);
            expect.truncate(keys_max.into());
            let loaded = list.load(from, to, keys_max.into()).unwrap();
            prop_assert_eq!(loaded, (expect, is_all));
        }
    }
}

#[test]
fn only_what_an_audience_may_be_offered_is_listed() {
    let world = World::new();
    let batch = world.store.begin();
    let friend = batch.audience(&PeerKey::from_bytes([1; 32]));
    let stranger = batch.audience(&PeerKey::from_bytes([2; 32]));
    batch.commit(true).unwrap();
    put_chunks(&world.store, 0..10, AudienceId::SELF);
    put_chunks(&world.store, 5..20, friend);
    put_chunks(&world.store, 15..30, stranger);
    for (may, expect) in [
        (vec![AudienceId::SELF], (0..10).collect::<Vec<_>>()),
        (vec![friend], (5..20).collect()),
        (
            vec![AudienceId::SELF, stranger],
            (0..10).chain(15..30).collect(),
        ),
        (vec![], vec![]),
    ] {
        let keys = all(&mut list(&world.store, u64::MAX, &|id| may.contains(&id)));
        assert_eq!(
            keys,
            sorted(expect.into_iter().map(chunk_key).collect()),
            "{may:?}"
        );
    }
    // A chunk whose places are gone is not there.
    let batch = world.store.begin();
    batch.forget_chunk(&chunk(3));
    batch.commit(true).unwrap();
    assert!(!all(&mut list(&world.store, u64::MAX, &|_| true)).contains(&chunk_key(3)));
}

#[test]
fn beyond_the_budget_the_lowest_keys_are_listed() {
    let world = World::new();
    put_chunks(&world.store, 0..50_000, AudienceId::SELF);
    for budget in [0, 100, 5000, 50_000, 60_000] {
        let mut list = list(&world.store, budget, &|_| true);
        assert_eq!(list.total(), 50_000);
        let mut listed = all(&mut list);
        let mut expect: Vec<_> = (0..50_000).map(chunk_key).collect();
        expect.sort();
        expect.truncate(listed.len());
        listed.sort();
        assert_eq!(listed, expect);
        let (count, wanted) = (listed.len() as f64, budget.min(50_000) as f64);
        assert!(
            (count - wanted).abs() <= 4.0 * wanted.sqrt(),
            "{count} for {budget}"
        );
    }
}

#[test]
fn a_list_that_is_limited_is_as_if_it_had_been_made_so() {
    let world = World::new();
    put_chunks(&world.store, 0..20_000, AudienceId::SELF);
    let mut limited = list(&world.store, 10_000, &|_| true);
    // A part of it has been read.
    let half = Position::from_bytes([0x80; 32]);
    limited.load(half, half, 1).unwrap();
    for keys_max in [5_000, 8_000, 10_000, 15_000] {
        limited.limit(keys_max);
        let keys = keys_max.min(10_000);
        assert_eq!((limited.keys(), limited.total()), (keys, 20_000));
        let mut made_so = list(&world.store, keys, &|_| true);
        assert_eq!(all(&mut limited), all(&mut made_so));
    }
}

/// What a file of a snapshot holds, as it is advertised.
fn content(store: &Store, id: &SnapshotId, path: &str) -> Subject {
    let row = store.view().snapshot(id).unwrap().unwrap();
    let mut cursor = SnapshotCursor::new(&row.snapshot);
    while let Some(step) = cursor.next(store).unwrap() {
        if let Step::Entry { entry, .. } = step
            && entry.path.as_str() == path
            && let EntryKind::File { content, .. } = entry.kind
        {
            return match content {
                Content::List(list) => Subject::Content(list),
                Content::Chunk(id) => Subject::Chunk(id),
                Content::Empty => panic!("{path} is empty"),
            };
        }
    }
    panic!("no {path}");
}

#[test]
fn snapshots_and_great_files_come_first_and_whatever_the_budget_is() {
    let world = World::new();
    world.write("great", noise(1, 17 << 20));
    world.write("middle", noise(2, 1 << 20));
    world.write("small", noise(3, 100));
    let first = world.add(AddMode::Keep).snapshot;
    world.write("other", noise(4, 18 << 20));
    let second = world.add(AddMode::Keep).snapshot;
    let store = &world.store;
    let offer = Offer {
        secret: &SECRET,
        may_offer: &|_| true,
    };
    let keys =
        |subjects: &[Subject]| -> BTreeSet<_> { subjects.iter().map(|s| SECRET.key(*s)).collect() };
    let snapshots = [Subject::Snapshot(second), Subject::Snapshot(first)];
    let great = [
        content(store, &first, "great"),
        content(store, &second, "other"),
    ];
    let headlines = offer.headlines(store, 1000).unwrap();
    assert_eq!(headlines.len(), 4);
    assert_eq!(
        BTreeSet::from_iter(headlines),
        keys(&[snapshots, great].concat())
    );
    assert_eq!(offer.headlines(store, 1).unwrap().len(), 1);

    let none: BTreeSet<_> = all(&mut list(store, 0, &|_| true)).into_iter().collect();
    assert_eq!(none, keys(&[snapshots, great].concat()));
    let listed: BTreeSet<_> = all(&mut list(store, u64::MAX, &|_| true))
        .into_iter()
        .collect();
    assert!(listed.is_superset(&none));
    let others = [
        content(store, &first, "middle"),
        content(store, &first, "small"),
    ];
    assert!(listed.is_superset(&keys(&others)));
    let chunks = store.view().chunks().unwrap().count();
    assert_eq!(listed.len(), chunks + 2 + 3);

    let headline = offer.of_snapshot(store, &second, usize::MAX).unwrap();
    assert!(headline.is_all);
    assert_eq!(
        keys(&headline.announced),
        keys(&[snapshots[0], great[0], great[1]])
    );
    assert!(keys(&headline.others).is_superset(&keys(&others)));
    assert_eq!(keys(&headline.others).len(), chunks + 1);
    let cut = offer.of_snapshot(store, &second, 5).unwrap();
    assert_eq!((cut.others.len(), cut.is_all), (5, false));
}

#[test]
fn content_is_listed_only_where_its_positions_are_offered() {
    let world = World::new();
    world.write("a", noise(1, 2 << 20));
    world.write("b", noise(2, 2 << 20));
    let id = world.add(AddMode::Keep).snapshot;
    let store = &world.store;
    let (a, b) = (content(store, &id, "a"), content(store, &id, "b"));
    let mut row = store.view().snapshot(&id).unwrap().unwrap();
    for (offered, has_a, has_b) in [
        (Coverage::Complete, true, true),
        (Coverage::Ranges(vec![0..2 << 20]), true, false),
        (Coverage::Ranges(vec![1..4 << 20]), false, true),
        (Coverage::Ranges(vec![]), false, false),
    ] {
        row.offered = offered.clone();
        let batch = store.begin();
        batch.put_snapshot(row.clone());
        batch.commit(true).unwrap();
        let listed = all(&mut list(store, u64::MAX, &|_| true));
        let has = |subject| listed.contains(&SECRET.key(subject));
        let is_listed = has(Subject::Snapshot(id));
        assert_eq!((has(a), has(b)), (has_a, has_b), "{offered:?}");
        assert_eq!(is_listed, has_a || has_b);
        let nobody = all(&mut list(store, u64::MAX, &|_| false));
        assert!(nobody.is_empty());
    }
}

#[test]
fn a_listener_can_stop_it() {
    struct Stop;
    impl Progress for Stop {
        fn cancelled(&self) -> bool {
            true
        }
    }
    let world = World::new();
    put_chunks(&world.store, 0..70_000, AudienceId::SELF);
    let offer = Offer {
        secret: &SECRET,
        may_offer: &|_| true,
    };
    let list = AdvertList::new(&world.store, &offer, 10, &Stop).unwrap();
    assert!(list.is_none());
}
