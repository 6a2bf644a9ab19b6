//! What an artifact of small files costs beside its bytes.

use shoal_protocol::manifest::{Entry, EntryKind};
use shoal_protocol::paged_list::Builder;

use super::*;

/// Bytes that a directory takes on disk.
fn allocated(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                allocated(&entry.path())
            } else {
                metadata.blocks() * 512
            }
        })
        .sum()
}

#[test]
fn twenty_thousand_small_files_in_place_cost_at_most_600_bytes_each() {
    const FILES: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(RealDisk::shared(), dir.path(), StoreOptions::default()).unwrap();
    let batch = store.begin();
    let outside = AbsolutePath::new(Path::new("/data/imagenet")).unwrap();
    let root = batch.root(&outside);
    let mut entries = Builder::new();
    let mut emit = |id, bytes: Vec<u8>| {
        batch.put_page(&id, &bytes).unwrap();
    };
    let identity = store.home().stat(Path::new("index.redb")).unwrap().unwrap();
    for number in 0..FILES {
        let path = format!("train/n{:08}/n{number:08}_{number}.JPEG", number / 100);
        let chunk = ChunkId::of(&number.to_le_bytes());
        let path = ManifestPath::new(path).unwrap();
        let file = batch.new_file();
        batch.add_extents(&[(chunk, 50_000)], file, 0, AudienceId::SELF);
        batch.put_file(FileRow {
            id: file,
            root,
            path: path.clone(),
            identity: crate::disk::FileIdentity {
                size: 50_000,
                inode: 10_000_000 + number,
                changed_ns: identity.changed_ns + i128::from(number) * 1_001,
                ..identity
            },
            content: Content::Chunk(chunk),
            class: FileClass::External,
            state: FileState::Trusted,
            settled: true,
        });
        let entry = Entry {
            path,
            kind: EntryKind::File {
                executable: false,
                size: 50_000,
                content: Content::Chunk(chunk),
            },
        };
        entries.push(&entry, &mut emit).unwrap();
    }
    entries.finish(&mut emit);
    batch.commit(true).unwrap();
    let open = allocated(dir.path()) / FILES;
    store.close().unwrap();
    let closed = allocated(dir.path()) / FILES;
    eprintln!("{open} bytes a file while open, {closed} when closed");
    assert!(open <= 600 && closed <= 600, "{open} open, {closed} closed");
}
