//! Appending to packs, and reading back what lies in packs and in files.

#![allow(missing_docs)]

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shoal_protocol::chunking::PROFILE_1;
use shoal_protocol::id::ChunkId;
use shoal_protocol::manifest::{ContentBuilder, Entry, EntryKind};
use shoal_protocol::paged_list::{Builder, ChunkRef};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::{Shape, Snapshot};
use shoal_store::disk::real::RealDisk;
use shoal_store::disk::{OpenMode, Root};
use shoal_store::index::{AbsolutePath, AudienceId, FileClass, FileRow, FileState};
use shoal_store::{RunReader, Store, StoreOptions};

const CHUNK: usize = 64 << 10;
const COUNT: usize = 1024;
const TOTAL: usize = CHUNK * COUNT;

fn chunks() -> (Vec<u8>, Vec<(ChunkId, u32)>) {
    let mut bytes = vec![0; TOTAL];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let ids = bytes
        .chunks(CHUNK)
        .map(|part| (ChunkId::of(part), CHUNK as u32))
        .collect();
    (bytes, ids)
}

fn open(dir: &Path) -> Store {
    Store::open(RealDisk::shared(), dir, StoreOptions::default()).expect("a store")
}

fn append(c: &mut Criterion) {
    let (bytes, ids) = chunks();
    let mut group = c.benchmark_group("pack");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(TOTAL as u64));
    for durable in [false, true] {
        let end = if durable { "durable" } else { "volatile" };
        let fresh = || {
            let dir = tempfile::tempdir().expect("a directory");
            let store = open(dir.path());
            (dir, store)
        };
        group.bench_function(format!("append 64 KiB chunks, {end}"), |b| {
            b.iter_batched_ref(
                fresh,
                |(_, store)| {
                    let batch = store.begin();
                    for (part, (id, _)) in bytes.chunks(CHUNK).zip(&ids) {
                        let done = batch.append_chunk(id, part, AudienceId::SELF);
                        done.expect("room");
                    }
                    batch.commit(durable).expect("room");
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("append 16 MiB runs, {end}"), |b| {
            b.iter_batched_ref(
                fresh,
                |(_, store)| {
                    let batch = store.begin();
                    for (run, ids) in bytes.chunks(16 << 20).zip(ids.chunks(256)) {
                        let done = batch.append_run(ids, run, AudienceId::SELF);
                        done.expect("room");
                    }
                    batch.commit(durable).expect("room");
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A snapshot of one big file that lies outside.
fn big_file(store: &Store, outside: &dyn Root, settled: bool) -> Snapshot {
    let (bytes, ids) = chunks();
    let file = outside
        .open(Path::new("big"), OpenMode::Create)
        .expect("a file");
    file.write_at(0, &bytes).expect("room");
    let batch = store.begin();
    let mut emit = |id, page: Vec<u8>| {
        batch.put_page(&id, &page).expect("room");
    };
    let mut content = ContentBuilder::new();
    for &(id, length) in &ids {
        let chunk = ChunkRef { id, length };
        content.push(chunk, &mut emit).expect("a chunk");
    }
    let (content, size) = content.finish(&mut emit);
    let path = ManifestPath::new("big").expect("a path");
    let mut manifest = Builder::new();
    let entry = Entry {
        path: path.clone(),
        kind: EntryKind::File {
            executable: false,
            size,
            content,
        },
    };
    manifest.push(&entry, &mut emit).expect("one entry");
    let manifest = manifest.finish(&mut emit);
    let id = batch.new_file();
    batch.add_extents(&ids, id, 0, AudienceId::SELF);
    let root = AbsolutePath::new(outside.path()).expect("absolute");
    batch.put_file(FileRow {
        id,
        root: batch.root(&root),
        path,
        identity: file.identity().expect("its identity"),
        content,
        class: FileClass::External,
        state: FileState::Trusted,
        settled,
    });
    batch.commit(true).expect("room");
    Snapshot::new(PROFILE_1.id, Shape::File, manifest)
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(TOTAL as u64));
    for (settled, name) in [(true, "as it is"), (false, "hashed")] {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(&dir.path().join("home"));
        let disk = RealDisk::shared();
        let outside = disk.root(&dir.path().join("data"), true).expect("a folder");
        let snapshot = big_file(&store, &*outside, settled);
        let mut out = Vec::new();
        group.bench_function(format!("runs of 1 MiB of a file, {name}"), |b| {
            b.iter(|| {
                let mut reader = RunReader::new(&snapshot);
                for start in (0..TOTAL as u64).step_by(1 << 20) {
                    let range = start..start + (1 << 20);
                    store
                        .read_run(&mut reader, range, u64::MAX, &mut out)
                        .expect("all is here");
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, read);
criterion_main!(benches);
