//! Stores of other formats, and what is no store.

use redb::{Database, TableDefinition};

use super::*;

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
