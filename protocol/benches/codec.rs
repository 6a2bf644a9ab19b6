//! Encoding and strict decoding of entries, the most numerous thing there is.

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shoal_protocol::codec;
use shoal_protocol::id::ChunkId;
use shoal_protocol::manifest::{Content, Entry, EntryKind};
use shoal_protocol::path::ManifestPath;

fn entries() -> Vec<Entry> {
    (0..1000)
        .map(|i| Entry {
            path: ManifestPath::new(format!("train/class-{:03}/image-{i:07}.jpg", i % 100))
                .expect("a safe path"),
            kind: EntryKind::File {
                executable: false,
                size: 50_000 + i,
                content: Content::Chunk(ChunkId::of(&i.to_le_bytes())),
            },
        })
        .collect()
}

fn entry_codec(c: &mut Criterion) {
    let entries = entries();
    let bytes = codec::encode(&entries);
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(entries.len() as u64));
    group.bench_function("encode entries", |b| {
        b.iter(|| codec::encode(black_box(&entries)))
    });
    group.bench_function("decode entries canonically", |b| {
        b.iter(|| codec::decode_canonical::<Vec<Entry>, 1_000_000>(black_box(&bytes)))
    });
}

criterion_group!(benches, entry_codec);
criterion_main!(benches);
