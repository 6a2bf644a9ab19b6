//! Cutting, against the crate whose boundaries these are: on noise, on zeros (the longest
//! search), and together with hashing, which is what adding a file costs.

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fastcdc::v2020::FastCDC;
use shoal_protocol::chunking::{PROFILE_1, Profile, cuts};
use shoal_protocol::id::ChunkId;

const BYTES: usize = 8 << 20;

fn noise() -> Vec<u8> {
    let mut data = vec![0; BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    data
}

fn chunking(c: &mut Criterion) {
    let Profile {
        min, average, max, ..
    } = PROFILE_1;
    for (name, data) in [("noise", noise()), ("zeros", vec![0; BYTES])] {
        let mut group = c.benchmark_group(format!("chunking/{name}"));
        group.throughput(Throughput::Bytes(BYTES as u64));
        group.bench_function("cuts", |b| {
            b.iter(|| cuts(&PROFILE_1, black_box(&data), BYTES).count())
        });
        group.bench_function("fastcdc", |b| {
            b.iter(|| FastCDC::new(black_box(&data), min, average, max).count())
        });
        group.bench_function("cuts and hashes", |b| {
            b.iter(|| {
                cuts(&PROFILE_1, black_box(&data), BYTES)
                    .map(|range| ChunkId::of(&data[range]).as_bytes()[0] as usize)
                    .sum::<usize>()
            })
        });
    }
}

criterion_group!(benches, chunking);
criterion_main!(benches);
