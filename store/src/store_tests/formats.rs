//! Stores of other formats, and what is no store.

use redb::{Database, TableDefinition};

use super::*;
use crate::StoreError;
use crate::index::RootId;

const META: TableDefinition<u8, &[u8]> = TableDefinition::new("meta");

/// A store whose index says that it has this format.
fn with_format(format: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().unwrap();
    let database = Database::open(dir.path().join("index.redb")).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(META).unwrap().insert(0, format).unwrap();
    writing.commit().unwrap();
    dir
}

fn refusal(home: &Path) -> OpenError {
    match Store::open(RealDisk::shared(), home, StoreOptions::default()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn other_formats_are_refused_and_left_alone() {
    let newer = with_format(&2u32.to_le_bytes());
    assert!(matches!(
        refusal(newer.path()),
        OpenError::NewerFormat {
            found: 2,
            supported: 1
        }
    ));
    let older = with_format(&0u32.to_le_bytes());
    assert!(matches!(
        refusal(older.path()),
        OpenError::OlderFormat { found: 0, .. }
    ));
    let none = with_format(b"?");
    assert!(matches!(
        refusal(none.path()),
        OpenError::DamagedIndex { .. }
    ));
    assert!(matches!(
        refusal(newer.path()),
        OpenError::NewerFormat { .. }
    ));
}

#[test]
fn an_index_that_is_none_is_damaged_and_can_be_rebuilt() {
    for garbage in [Vec::new(), vec![0; 100_000], bytes(1, 100_000)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let chunk = bytes(2, 10_000);
        let id = ChunkId::of(&chunk);
        let batch = store.begin();
        batch.append_chunk(&id, &chunk, AudienceId::SELF).unwrap();
        batch.commit(true).unwrap();
        store.close().unwrap();
        std::fs::write(dir.path().join("index.redb"), garbage).unwrap();
        assert!(matches!(
            refusal(dir.path()),
            OpenError::DamagedIndex { .. }
        ));
        let options = StoreOptions::default();
        let (store, _) = Store::rebuild(RealDisk::shared(), dir.path(), options).unwrap();
        assert_eq!(read(&store, &id), Some(chunk));
    }
}

/// Looks at everything that the index has, and writes to it. Panics are for the caller.
fn use_all_of(store: &Store) -> Result<(), StoreError> {
    let view = store.view();
    for row in view.chunks()? {
        view.chunk(&row?.0)?;
    }
    for row in view.pages()? {
        view.page_spot(&row?.0)?;
    }
    for row in view.files(RootId::HOME, None)? {
        view.file(row?.id)?;
    }
    view.snapshots()?;
    view.artifacts()?;
    view.grants()?;
    view.destinations()?;
    view.packs()?;
    let batch = store.begin();
    let chunk = bytes(4, 5000);
    batch.append_chunk(&ChunkId::of(&chunk), &chunk, AudienceId::SELF)?;
    batch.commit(true)
}

#[test]
fn damage_anywhere_in_the_index_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = store.begin();
    for seed in 0..1500 {
        let chunk = bytes(seed, 100);
        let id = ChunkId::of(&chunk);
        batch.append_chunk(&id, &chunk, AudienceId::SELF).unwrap();
    }
    batch.commit(true).unwrap();
    store.close().unwrap();
    let index = dir.path().join("index.redb");
    let intact = std::fs::read(&index).unwrap();
    let mut refused = 0;
    for place in (0..intact.len()).step_by(4096) {
        let mut damaged = intact.clone();
        let end = intact.len().min(place + 4096);
        damaged[place..end].copy_from_slice(&bytes((place / 4096) as u32, end - place));
        std::fs::write(&index, damaged).unwrap();
        let opened = Store::open(RealDisk::shared(), dir.path(), StoreOptions::default());
        let error = match opened {
            Err(OpenError::DamagedIndex { .. }) => {
                refused += 1;
                continue;
            }
            Err(OpenError::Store(error)) => error,
            Err(other) => panic!("page at {place}: {other}"),
            // A page that nothing uses does no harm.
            Ok(store) => match use_all_of(&store) {
                Ok(()) => continue,
                Err(error) => error,
            },
        };
        assert!(error.is_damaged_index(), "page at {place}: {error}");
        refused += 1;
    }
    assert!(refused > 20, "only {refused} pages were used");
}
