use proptest::prelude::*;

use super::*;

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        (any::<u32>(), any::<u64>())
            .prop_map(|(pack, offset)| Extent::Pack(PackSpot { pack, offset })),
        (any::<u64>(), any::<u64>()).prop_map(|(file, offset)| Extent::File {
            file: FileId(file),
            offset
        }),
    ]
}

fn time() -> impl Strategy<Value = i128> {
    any::<i64>().prop_map(|t| i128::from(t) * 1_000)
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Empty),
        any::<[u8; 32]>().prop_map(|id| Content::Chunk(ChunkId::from_bytes(id))),
        any::<[u8; 32]>().prop_map(|id| Content::List(PageId::from_bytes(id))),
    ]
}

prop_compose! {
    fn identity()(
        device: u64, inode: u64, size: u64, executable: bool, owner: u32, allocated: u64,
        modified_ns in time(), changed_ns in time(),
    ) -> FileIdentity {
        FileIdentity {
            kind: FileKind::Regular,
            device, inode, size, modified_ns, changed_ns, executable, owner, allocated,
        }
    }
}

proptest! {
    #[test]
    fn chunk_rows_round_trip(
        length: u32,
        audiences in prop::collection::vec(any::<u32>().prop_map(AudienceId), 0..4),
        extents in prop::collection::vec(extent(), 0..4),
    ) {
        let row = ChunkRow { length, audiences, extents };
        prop_assert_eq!(chunk_row(&chunk_bytes(&row)), Ok(row));
    }

    #[test]
    fn page_rows_round_trip(pack: u32, offset: u64, length: u32) {
        let spot = PackSpot { pack, offset };
        prop_assert_eq!(page_row(&page_bytes(spot, length)), Ok((spot, length)));
    }

    #[test]
    fn file_rows_round_trip(
        identity in identity(), content in content(), id: u64, root: u32,
        owned: bool, settled: bool, state in 0..3u8, epoch: u32,
    ) {
        let state = match state {
            0 => StoredState::Synced,
            1 => StoredState::Suspect,
            _ => StoredState::WrittenIn(epoch),
        };
        let row = FileRow {
            id: FileId(id),
            root: RootId(root),
            path: ManifestPath::new("data/été.bin").expect("a path"),
            identity,
            content,
            class: if owned { FileClass::Owned } else { FileClass::External },
            state: state.unjudged(),
            settled,
        };
        let key = file_key(row.root, row.path.as_str());
        let bytes = file_bytes(&row, state);
        prop_assert_eq!(file_id(&bytes), Ok(row.id));
        prop_assert_eq!(file_row(&key, &bytes), Ok((row, state)));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = chunk_row(&bytes);
        let _ = page_row(&bytes);
        let _ = file_id(&bytes);
        let _ = file_row(&file_key(RootId(1), "a"), &bytes);
        let _ = file_row(&bytes, &bytes);
    }
}

#[test]
fn the_row_of_a_small_file_is_small() {
    let row = ChunkRow {
        length: 50_000,
        audiences: vec![AudienceId::SELF],
        extents: vec![Extent::Pack(PackSpot {
            pack: 3,
            offset: 900_000_000,
        })],
    };
    assert!(chunk_bytes(&row).len() <= 12);
}

#[test]
fn the_order_of_keys_is_the_order_of_paths() {
    let mut paths: Vec<_> = ["a.b", "a/b", "a", "a-b", "a/b/c", "b"]
        .map(|text| ManifestPath::new(text).expect("a path"))
        .into();
    paths.sort();
    let keys: Vec<_> = paths
        .iter()
        .map(|path| file_key(RootId(7), path.as_str()))
        .collect();
    assert!(keys.is_sorted());
}
