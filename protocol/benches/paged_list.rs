//! Building, reading, seeking and comparing lists.

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shoal_protocol::id::ChunkId;
use shoal_protocol::manifest::{Content, Entry, EntryKind};
use shoal_protocol::paged_list::{Builder, ChunkRef, Cursor, Diff, Item, MemoryPages, Root};
use shoal_protocol::path::ManifestPath;

const COUNT: usize = 100_000;

fn entries() -> Vec<Entry> {
    (0..COUNT)
        .map(|i| Entry {
            path: ManifestPath::new(format!("train/class-{:03}/image-{i:07}.jpg", i / 1000))
                .expect("a safe path"),
            kind: EntryKind::File {
                executable: false,
                size: 50_000,
                content: Content::Chunk(ChunkId::of(&i.to_le_bytes())),
            },
        })
        .collect()
}

fn chunks() -> Vec<ChunkRef> {
    (0..COUNT)
        .map(|i| ChunkRef {
            id: ChunkId::of(&i.to_le_bytes()),
            length: 65_536,
        })
        .collect()
}

fn build<I: Item>(items: &[I], pages: &mut MemoryPages) -> Root {
    let mut builder = Builder::new();
    let mut emit = |id, bytes| pages.put(id, bytes);
    for item in items {
        builder.push(item, &mut emit).expect("items in order");
    }
    builder.finish(&mut emit).expect("items")
}

fn read<I: Item>(root: Root, pages: &MemoryPages) -> usize {
    let mut cursor = Cursor::<I>::new(Some(root.page));
    std::iter::from_fn(|| cursor.next(pages).expect("held")).count()
}

fn lists(c: &mut Criterion) {
    let (entries, chunks) = (entries(), chunks());
    let mut pages = MemoryPages::new();
    let (manifest, content) = (build(&entries, &mut pages), build(&chunks, &mut pages));
    let mut edited = entries.clone();
    edited[COUNT / 2].kind = EntryKind::EmptyDirectory;
    let edited = build(&edited, &mut pages);

    let mut group = c.benchmark_group("paged list/100,000 items");
    group.sample_size(20);
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("build a manifest", |b| {
        b.iter(|| build(black_box(&entries), &mut MemoryPages::new()))
    });
    group.bench_function("build a content list", |b| {
        b.iter(|| build(black_box(&chunks), &mut MemoryPages::new()))
    });
    group.bench_function("read a manifest", |b| {
        b.iter(|| read::<Entry>(manifest, &pages))
    });
    group.bench_function("read a content list", |b| {
        b.iter(|| read::<ChunkRef>(content, &pages))
    });
    group.finish();

    let mut group = c.benchmark_group("paged list/one of 100,000");
    group.bench_function("seek a position", |b| {
        let mut position = 0;
        b.iter(|| {
            position = (position + 1_000_003 * 65_536) % content.bytes;
            let mut cursor = Cursor::<ChunkRef>::new(Some(content.page));
            cursor.seek_position(position);
            cursor.next(&pages).expect("held")
        })
    });
    group.bench_function("seek a path", |b| {
        let mut at = 0;
        b.iter(|| {
            at = (at + 70_001) % COUNT;
            let mut cursor = Cursor::<Entry>::new(Some(manifest.page));
            cursor.seek_path(entries[at].path.clone());
            cursor.next(&pages).expect("held")
        })
    });
    group.bench_function("find what differs", |b| {
        b.iter(|| {
            let mut diff = Diff::new(Some(manifest.page), Some(edited.page));
            std::iter::from_fn(|| diff.next(&pages).expect("held")).count()
        })
    });
}

criterion_group!(benches, lists);
criterion_main!(benches);
