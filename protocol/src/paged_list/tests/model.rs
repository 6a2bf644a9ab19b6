//! Building and reading, against a plain `Vec`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::page::{Child, Page, header};
use super::*;
use crate::codec;

/// The rules of `builder` once more, level by level and with everything in memory.
fn root_by_the_rules<I: Item>(items: &[I]) -> Option<PageId> {
    let ends = |level: u8, key: &[u8]| {
        let mut hasher = blake3::Hasher::new_derive_key("shoal 1 boundary");
        let hash = hasher.update(&[level]).update(key).finalize();
        let number = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("8 bytes"));
        number < u64::MAX / 192
    };
    struct Node {
        encoded: Vec<u8>,
        key: Vec<u8>,
        first: Option<ManifestPath>,
        items: u64,
        bytes: u64,
    }
    let mut nodes: Vec<Node> = items
        .iter()
        .map(|item| Node {
            encoded: codec::encode(item),
            key: item.boundary_key().to_vec(),
            first: item.path().cloned(),
            items: 1,
            bytes: item.bytes(),
        })
        .collect();
    for level in 0.. {
        let mut above = Vec::new();
        let mut rest = nodes.as_slice();
        while !rest.is_empty() {
            let (mut len, mut size) = (0, 5);
            for node in rest {
                if len == 1024 || size + node.encoded.len() > PAGE_BYTES_MAX {
                    break;
                }
                (len, size) = (len + 1, size + node.encoded.len());
                if len >= 64 && ends(level, &node.key) {
                    break;
                }
            }
            let (on_page, behind) = rest.split_at(len);
            rest = behind;
            let mut bytes = header(I::KIND, level, len).to_vec();
            on_page.iter().for_each(|node| bytes.extend(&node.encoded));
            let child = Child {
                page: PageId::of(&bytes),
                items: on_page.iter().map(|node| node.items).sum(),
                bytes: on_page.iter().map(|node| node.bytes).sum(),
                first: on_page[0].first.clone(),
            };
            above.push(Node {
                encoded: codec::encode(&child),
                key: match &child.first {
                    Some(first) => first.as_str().as_bytes().to_vec(),
                    None => child.page.as_bytes().to_vec(),
                },
                first: child.first,
                items: child.items,
                bytes: child.bytes,
            });
        }
        match above.as_slice() {
            [] => return None,
            [root] => {
                return Some(PageId::from_bytes(
                    root.encoded[..32].try_into().expect("an id"),
                ));
            }
            _ => nodes = above,
        }
    }
    unreachable!("each level has fewer pages")
}

#[test]
fn every_length_of_list_follows_the_rules() {
    let many = files(5000);
    for count in (0..200).chain([255, 1023, 1024, 1025, 2000, 4999]) {
        let (_, root) = build(&many[..count]);
        assert_eq!(
            root.map(|root| root.page),
            root_by_the_rules(&many[..count]),
            "{count}"
        );
    }
    let chunks: Vec<_> = (0..20_000).map(chunk).collect();
    let same = vec![chunk(1); 10_000];
    for list in [&chunks[..], &same[..], &chunks[..2]] {
        let (pages, root) = build(list);
        assert_eq!(root.map(|root| root.page), root_by_the_rules(list));
        let read = read_all(Cursor::new(root.map(|root| root.page)), &pages);
        assert_eq!(read.expect("all pages"), placed(list));
    }
}

#[test]
fn entries_with_the_longest_paths_fill_pages_by_bytes() {
    let long = |i: usize| {
        let component = "x".repeat(255);
        format!("{i:06}/{}", [component.as_str(); 15].join("/"))
    };
    let entries: Vec<_> = (0..500).map(|i| file(&long(i), 1)).collect();
    let (pages, root) = build(&entries);
    let root = root.expect("a list");
    assert_eq!(Some(root.page), root_by_the_rules(&entries));
    assert!(pages.iter().all(|(_, bytes)| bytes.len() <= PAGE_BYTES_MAX));
    assert_eq!(
        read_all(Cursor::new(Some(root.page)), &pages).expect("all pages"),
        placed(&entries)
    );
}

#[test]
fn pages_have_about_256_items() {
    let (pages, _) = build(&files(50_000));
    let leaves: Vec<usize> = pages
        .iter()
        .filter(|(_, bytes)| bytes[2] == 0)
        .map(|(_, bytes)| usize::from(u16::from_le_bytes([bytes[3], bytes[4]])))
        .collect();
    let mean = 50_000 / leaves.len();
    assert!((200..320).contains(&mean), "{mean}");
    assert!(leaves.iter().filter(|&&len| len < 64).count() <= 1);
}

#[test]
fn the_builder_keeps_one_open_page_a_level() {
    let mut builder = Builder::new();
    let mut emitted = 0;
    for entry in files(20_000) {
        builder
            .push(&entry, &mut |_, _| emitted += 1)
            .expect("in order");
    }
    assert!(emitted > 50, "pages are handed on while the list grows");
}

#[test]
fn the_builder_refuses_what_a_reader_would() {
    let mut builder = Builder::new();
    let mut push = |entry: &Entry| builder.push(entry, &mut |_, _| {});
    push(&file("b", 1)).expect("the first");
    assert!(matches!(
        push(&file("a", 1)),
        Err(BuildError::Unsorted { .. })
    ));
    assert!(matches!(
        push(&file("b", 1)),
        Err(BuildError::Unsorted { .. })
    ));
    assert!(matches!(
        push(&file("b/c", 1)),
        Err(BuildError::Conflict { .. })
    ));
    let mut liar = file("c", 0);
    liar.kind = EntryKind::File {
        executable: false,
        size: 0,
        content: Content::Chunk(ChunkId::of(b"")),
    };
    assert!(matches!(push(&liar), Err(BuildError::Item(_))));
    let mut huge = file("c", 0);
    huge.kind = EntryKind::File {
        executable: false,
        size: u64::MAX,
        content: Content::List(PageId::of(b"")),
    };
    assert_eq!(push(&huge), Err(BuildError::Overflow));
    push(&file("c", 1)).expect("the list goes on after an error");
}

#[test]
fn a_missing_page_leaves_the_cursor_where_it_is() {
    let entries = files(3000);
    let (pages, root) = build(&entries);
    let mut held = MemoryPages::new();
    let mut cursor = Cursor::<Entry>::new(root.map(|root| root.page));
    cursor.seek_index(2500);
    let mut read = Vec::new();
    loop {
        match cursor.next(&held) {
            Ok(Some(placed)) => read.push(placed),
            Ok(None) => break,
            Err(ReadError::Missing(id)) => {
                let bytes = pages
                    .page(&id)
                    .expect("infallible")
                    .expect("a page of the list");
                held.put(id, bytes.to_vec());
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(read, placed(&entries)[2500..]);
    assert!(
        held.len() < pages.len(),
        "pages before the start are not needed"
    );
}

#[test]
fn missing_pages_are_asked_for_once_and_nearest_first() {
    let entries = files(30_000);
    let (pages, root) = build(&entries);
    let root = root.expect("a list");
    let mut held = MemoryPages::new();
    let mut rounds = 0;
    loop {
        let ask = missing::<Entry, _>(&held, &root.page, 0..u64::MAX, 1000).expect("no lies");
        if ask.is_empty() {
            break;
        }
        rounds += 1;
        for id in ask {
            let bytes = pages
                .page(&id)
                .expect("infallible")
                .expect("a page of the list");
            assert!(!held.holds(&id).expect("infallible"));
            held.put(id, bytes.to_vec());
        }
    }
    assert_eq!(held.len(), pages.len());
    assert_eq!(rounds, usize::from(root.level) + 1);
}

#[test]
fn only_pages_for_the_positions_are_missing() {
    let chunks: Vec<_> = (0..20_000).map(chunk).collect();
    let (pages, root) = build(&chunks);
    let root = root.expect("a list");
    let middle = root.bytes / 2;
    let mut held = MemoryPages::new();
    loop {
        let ask =
            missing::<ChunkRef, _>(&held, &root.page, middle..middle + 1, 8).expect("no lies");
        let Some(&id) = ask.first() else { break };
        let bytes = pages
            .page(&id)
            .expect("infallible")
            .expect("a page of the list");
        held.put(id, bytes.to_vec());
    }
    assert_eq!(
        held.len(),
        usize::from(root.level) + 1,
        "the way down, and nothing else"
    );
    let mut cursor = Cursor::<ChunkRef>::new(Some(root.page));
    cursor.seek_position(middle);
    let found = cursor.next(&held).expect("held").expect("an item");
    assert!(found.position <= middle && middle < found.position + found.item.bytes());
}

/// Entries without conflicts, some without bytes.
fn arbitrary_entries() -> impl Strategy<Value = Vec<Entry>> {
    let names = proptest::collection::btree_map("[a-c.]{1,3}(/[a-c-]{1,2}){0,3}", 0u64..4, 0..40);
    (names, prop_oneof![Just(1usize), Just(40)], "[x-z]{1,4}").prop_map(|(names, times, suffix)| {
        let mut entries: Vec<Entry> = names
            .iter()
            .flat_map(|(name, &size)| (0..times).map(move |i| (format!("{name}/{i}"), size)))
            .filter_map(|(name, size)| {
                let path = ManifestPath::new(name + &suffix).ok()?;
                Some(file(path.as_str(), size))
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|later, earlier| later.path.is_within(&earlier.path));
        entries
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reading_agrees_with_a_vec(
        entries in arbitrary_entries(),
        position in 0u64..3000,
        index in 0u64..1800,
        wanted in "[a-c.]{1,3}(/[a-c]{1,2}){0,2}",
    ) {
        let (pages, root) = build(&entries);
        let model = placed(&entries);
        let cursor = Cursor::<Entry>::new(root.map(|root| root.page));
        let from = |seek: &dyn Fn(&mut Cursor<Entry>)| {
            let mut cursor = cursor.clone();
            seek(&mut cursor);
            read_all(cursor, &pages).expect("all pages are held")
        };
        prop_assert_eq!(&from(&|_| {}), &model);
        prop_assert_eq!(root.map_or(0, |root| root.items), entries.len() as u64);
        prop_assert_eq!(root.map_or(0, |root| root.bytes), entries.iter().map(Entry::size).sum::<u64>());

        let behind = |holds: &dyn Fn(&Placed<Entry>) -> bool| {
            let start = model.iter().position(holds).unwrap_or(model.len());
            model[start..].to_vec()
        };
        prop_assert_eq!(
            from(&|cursor| cursor.seek_position(position)),
            behind(&|p| p.position >= position || p.position + p.item.bytes() > position)
        );
        prop_assert_eq!(from(&|cursor| cursor.seek_index(index)), behind(&|p| p.index >= index));
        if let Ok(wanted) = ManifestPath::new(wanted) {
            prop_assert_eq!(
                from(&|cursor| cursor.seek_path(wanted.clone())),
                behind(&|p| p.item.path >= wanted)
            );
            prop_assert_eq!(
                from(&|cursor| cursor.seek_past(wanted.clone())),
                behind(&|p| p.item.path > wanted && !p.item.path.is_within(&wanted))
            );
        }
    }

    #[test]
    fn arbitrary_bytes_are_a_page_or_an_error(mut bytes: Vec<u8>, plausible: bool) {
        if plausible && bytes.len() > 5 {
            let (level, len) = (bytes[2] % 2, bytes[3] % 4);
            bytes[..5].copy_from_slice(&[1, 1, level, len, 0]);
        }
        if let Ok(page) = codec::decode_canonical::<Page<Entry>, PAGE_BYTES_MAX>(&bytes) {
            prop_assert_eq!(codec::encode(&page), bytes);
        }
    }

    #[test]
    fn a_page_with_a_changed_byte_is_never_misread(at in 0usize..4000, flip in 1u8..=255) {
        let (pages, root) = build(&files(60));
        let root = root.expect("a list");
        let mut bytes = pages.page(&root.page).expect("infallible").expect("held").to_vec();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        // Even where the liar gives the page its right id, it is another list or an error.
        let mut lies = MemoryPages::new();
        let id = PageId::of(&bytes);
        lies.put(id, bytes.clone());
        lies.put(root.page, bytes);
        prop_assert!(read_all(Cursor::<Entry>::new(Some(root.page)), &lies).is_err());
        if let Ok(read) = read_all(Cursor::<Entry>::new(Some(id)), &lies) {
            let paths: BTreeSet<_> = read.iter().map(|placed| &placed.item.path).collect();
            prop_assert_eq!(paths.len(), read.len());
        }
    }
}
