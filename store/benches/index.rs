//! Committing rows and looking them up.

#![allow(missing_docs)]

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shoal_protocol::id::ChunkId;
use shoal_protocol::manifest::Content;
use shoal_protocol::path::ManifestPath;
use shoal_store::disk::real::RealDisk;
use shoal_store::index::{AbsolutePath, AudienceId, FileClass, FileRow, FileState, RootId, View};
use shoal_store::{Batch, Store, StoreOptions};

const COUNT: u64 = 20_000;

fn fresh() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(RealDisk::shared(), dir.path(), StoreOptions::default());
    (dir, store.expect("a store"))
}

/// 20,000 files of one chunk each, beneath one folder.
fn fill(store: &Store) -> Batch {
    let batch = store.begin();
    let root = AbsolutePath::new(Path::new("/data")).expect("absolute");
    let root = batch.root(&root);
    let identity = store.home().stat(Path::new("")).expect("a directory");
    let identity = identity.expect("it exists");
    for number in 0..COUNT {
        let chunk = ChunkId::of(&number.to_le_bytes());
        let id = batch.new_file();
        batch.add_extents(&[(chunk, 50_000)], id, 0, AudienceId::SELF);
        let path = format!("train/class-{:03}/image-{number:07}.jpg", number / 1000);
        batch.put_file(FileRow {
            id,
            root,
            path: ManifestPath::new(path).expect("a path"),
            identity,
            content: Content::Chunk(chunk),
            class: FileClass::External,
            state: FileState::Trusted,
            settled: true,
        });
    }
    batch
}

fn files(view: &View) -> usize {
    let files = view.files(RootId(1), None).expect("rows");
    files.filter(|row| black_box(row).is_ok()).count()
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("index");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(COUNT));
    for durable in [false, true] {
        let end = if durable { "durable" } else { "volatile" };
        group.bench_function(format!("commit 20,000 files, {end}"), |b| {
            b.iter_batched(
                || {
                    let (dir, store) = fresh();
                    let batch = fill(&store);
                    (dir, store, batch)
                },
                |(dir, store, batch)| {
                    batch.commit(durable).expect("room");
                    (dir, store)
                },
                BatchSize::PerIteration,
            );
        });
    }
    let (_dir, store) = fresh();
    fill(&store).commit(true).expect("room");
    group.bench_function("scan 20,000 files in order of paths", |b| {
        b.iter(|| assert_eq!(files(&store.view()), COUNT as usize));
    });
    group.bench_function("look up 20,000 chunks", |b| {
        let view = store.view();
        b.iter(|| {
            for number in 0..COUNT {
                let id = ChunkId::of(&number.to_le_bytes());
                assert!(black_box(view.chunk(&id).expect("a row")).is_some());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, index);
criterion_main!(benches);
