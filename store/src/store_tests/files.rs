//! Rows of files: what replaces, moves and ends them.

use super::*;
use crate::Batch;
use crate::index::{FileId, RootId};

fn put(store: &Store, batch: &Batch, id: FileId, path: &str) {
    let chunk = chunk_of(id);
    let extent = Extent::File {
        file: id,
        offset: 0,
    };
    batch.add_extent(&chunk, 100, extent, AudienceId::SELF);
    batch.put_file(FileRow {
        id,
        root: RootId(1),
        path: ManifestPath::new(path).unwrap(),
        identity: store.home().stat(Path::new("")).unwrap().unwrap(),
        content: Content::Chunk(chunk),
        class: FileClass::External,
        state: FileState::Trusted,
        settled: true,
    });
}

fn chunk_of(id: FileId) -> ChunkId {
    ChunkId::of(&id.0.to_le_bytes())
}

fn paths(store: &Store) -> Vec<(String, FileId)> {
    let view = store.view();
    let rows = view.files(RootId(1), None).unwrap();
    let rows: Vec<_> = rows
        .map(|row| row.unwrap())
        .map(|row| (row.path.as_str().to_owned(), row.id))
        .collect();
    for (_, id) in &rows {
        assert!(view.file(*id).unwrap().is_some(), "{id:?} is found by id");
    }
    rows
}

/// Commits `before`, then `after`; gives the store, with ids 1 and 2 known to both.
fn two_steps(
    before: impl Fn(&Store, &Batch, FileId, FileId),
    after: impl Fn(&Store, &Batch, FileId, FileId),
) -> (tempfile::TempDir, Store, FileId, FileId) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = store.begin();
    let root = AbsolutePath::new(Path::new("/data")).unwrap();
    assert_eq!(batch.root(&root), RootId(1));
    let (one, two) = (batch.new_file(), batch.new_file());
    before(&store, &batch, one, two);
    batch.commit(false).unwrap();
    let batch = store.begin();
    after(&store, &batch, one, two);
    batch.commit(false).unwrap();
    (dir, store, one, two)
}

#[test]
fn a_changed_file_takes_the_place_of_its_old_state() {
    let (_dir, store, one, two) = two_steps(
        |store, batch, one, _| put(store, batch, one, "a"),
        |store, batch, _, two| put(store, batch, two, "a"),
    );
    assert_eq!(paths(&store), [("a".to_owned(), two)]);
    assert_eq!(store.view().file(one).unwrap(), None);
    assert_eq!(read(&store, &chunk_of(one)), None);
}

#[test]
fn a_moved_file_leaves_its_old_path_and_another_may_come_there() {
    let (_dir, store, one, two) = two_steps(
        |store, batch, one, _| put(store, batch, one, "b"),
        |store, batch, one, two| {
            put(store, batch, two, "b");
            put(store, batch, one, "a");
        },
    );
    let expected = [("a".to_owned(), one), ("b".to_owned(), two)];
    assert_eq!(paths(&store), expected);
    let (_dir, store, one, _) = two_steps(
        |store, batch, one, _| put(store, batch, one, "a"),
        |store, batch, one, _| put(store, batch, one, "b"),
    );
    assert_eq!(paths(&store), [("b".to_owned(), one)]);
}

#[test]
fn within_a_batch_the_last_word_holds() {
    let (_dir, store, one, two) = two_steps(
        |store, batch, one, two| {
            put(store, batch, one, "c");
            put(store, batch, one, "a");
            put(store, batch, two, "b");
        },
        |store, batch, one, two| {
            put(store, batch, one, "b");
            put(store, batch, two, "b");
        },
    );
    assert_eq!(paths(&store), [("b".to_owned(), two)]);
    assert_eq!(store.view().file(one).unwrap(), None);
}

#[test]
fn forgotten_files_are_gone() {
    let (_dir, store, one, two) = two_steps(
        |store, batch, one, two| {
            put(store, batch, one, "a/x");
            put(store, batch, two, "a-b");
        },
        |_, batch, one, _| batch.forget_file(one),
    );
    assert_eq!(paths(&store), [("a-b".to_owned(), two)]);
    assert_eq!(store.view().file(one).unwrap(), None);
    let a = ManifestPath::new("a").unwrap();
    let view = store.view();
    assert_eq!(view.files(RootId(1), Some(&a)).unwrap().count(), 0);
    let b = ManifestPath::new("a-b").unwrap();
    assert_eq!(view.files(RootId(1), Some(&b)).unwrap().count(), 1);
}
