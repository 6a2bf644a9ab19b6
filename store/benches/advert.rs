//! Listing a million chunks to advertise, and keeping a million records of others: time and
//! memory. Not criterion's: each is done once, and the peak of memory is what is asked for.

#![allow(missing_docs)]

use std::time::Instant;

use shoal_protocol::advert::{AdvertBatch, AdvertKey, DiscoveryKey, Position, Subject};
use shoal_protocol::bounded::List;
use shoal_protocol::id::ChunkId;
use shoal_protocol::peer::PeerKey;
use shoal_store::adverts::{AdvertList, Offer};
use shoal_store::disk::real::RealDisk;
use shoal_store::index::AudienceId;
use shoal_store::progress::Silent;
use shoal_store::providers::{ProviderOptions, ProviderStore};
use shoal_store::{Store, StoreOptions};

const CHUNKS: u64 = 1_000_000;
const PROVIDERS: u64 = 20;
const NOW: u64 = 1_800_000_000;

/// A line of `/proc/self/status`, in KiB; nothing elsewhere than on Linux.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Does `work`, and says how long it took and how far memory grew meanwhile.
fn measured<T>(what: &str, work: impl FnOnce() -> T) -> T {
    // Makes the peak begin anew (proc(5)); without the right to, it counts from the start.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = status("VmRSS:");
    let start = Instant::now();
    let done = work();
    let time = start.elapsed().as_secs_f64();
    let grown = status("VmHWM:").saturating_sub(before) as f64 / 1024.0;
    println!("{what}: {time:.2} s, memory grew by {grown:.1} MiB");
    done
}

fn key(number: u64) -> AdvertKey {
    let secret = DiscoveryKey::from_bytes([1; 32]);
    secret.key(Subject::Chunk(ChunkId::of(&number.to_le_bytes())))
}

fn list(store: &Store) {
    let secret = DiscoveryKey::from_bytes([1; 32]);
    let offer = Offer {
        secret: &secret,
        may_offer: &|_| true,
    };
    for budget in [u64::MAX, CHUNKS / 10] {
        let list = measured("list 1,000,000 chunks", || {
            AdvertList::new(store, &offer, budget, &Silent)
        });
        let mut list = list.expect("a list").expect("nobody stops it");
        let keys = measured("load them all, 16,384 at a time", || {
            let (mut keys, mut from) = (0, Position::FIRST);
            loop {
                let loaded = list.load(from, Position::LAST, 16_384);
                let (loaded, is_all) = loaded.expect("keys");
                keys += loaded.len();
                match loaded.last().and_then(|key| Position::of_key(key).next()) {
                    Some(next) if !is_all => from = next,
                    _ => break keys,
                }
            }
        });
        println!("{keys} keys");
    }
}

fn keep(store: &Store) {
    let records = ProviderStore::open(store, ProviderOptions::default()).expect("a file");
    let per_provider = CHUNKS / PROVIDERS;
    let batches: Vec<(PeerKey, AdvertBatch)> = (0..PROVIDERS)
        .flat_map(|provider| {
            let numbers = provider * per_provider / 2..provider * per_provider / 2 + per_provider;
            let mut keys: Vec<_> = numbers.map(key).collect();
            keys.sort_by_key(Position::of_key);
            let peer = PeerKey::from_bytes([provider as u8 + 1; 32]);
            let batch = move |keys: &[AdvertKey]| AdvertBatch {
                epoch: 1,
                addresses: List::empty(),
                ttl_s: 86_400,
                keys: List::new(keys.to_vec()).expect("as many as fit"),
            };
            let batches: Vec<_> = keys
                .chunks(16_384)
                .map(|keys| (peer, batch(keys)))
                .collect();
            batches
        })
        .collect();
    for round in ["take", "renew"] {
        measured(&format!("{round} 1,000,000 records"), || {
            for (peer, batch) in &batches {
                let ack = records.accept(*peer, batch, NOW).expect("room");
                assert_eq!(ack.refusal, None);
            }
            records.flush().expect("written");
        });
    }
    let size = store.home().stat(std::path::Path::new("providers.redb"));
    let size = size.expect("a file").expect("it is there").size;
    println!("{:.1} bytes a record on disk", size as f64 / CHUNKS as f64);
    measured("find 100,000 keys, 64 at a time", || {
        let keys: Vec<_> = (0..100_000).map(|n| key(n * 5)).collect();
        for keys in keys.chunks(64) {
            records.find(keys, NOW).expect("an answer");
        }
    });
    measured("look through all for void ones", || {
        for _ in 0..CHUNKS / 65_536 + 1 {
            records.expire(NOW).expect("read");
        }
    });
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Store::open(RealDisk::shared(), dir.path(), StoreOptions::default());
    let store = open().expect("a store");
    for part in 0..20 {
        let batch = store.begin();
        let file = batch.new_file();
        let numbers = part * CHUNKS / 20..(part + 1) * CHUNKS / 20;
        let chunks: Vec<_> = numbers
            .map(|number| (ChunkId::of(&number.to_le_bytes()), 65_536))
            .collect();
        batch.add_extents(&chunks, file, 0, AudienceId::SELF);
        batch.commit(part == 19).expect("room");
    }
    store.close().expect("closed");
    let store = open().expect("a store");
    list(&store);
    keep(&store);
}
