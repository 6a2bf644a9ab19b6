//! Lies, each of which must be an error that names the page.

use super::super::page::{Child, Page};
use super::*;
use crate::codec;

fn leaf(entries: &[Entry]) -> Page<Entry> {
    Page::Items(entries.to_vec())
}

/// Puts the page into `pages`; gives what an honest parent would say of it.
fn put<I: Item>(pages: &mut MemoryPages, page: &Page<I>) -> Child {
    let bytes = codec::encode(page);
    let id = PageId::of(&bytes);
    pages.put(id, bytes);
    let (items, sum) = match page {
        Page::Items(items) => (items.len() as u64, items.iter().map(Item::bytes).sum()),
        Page::Children { children, .. } => (
            children.iter().map(|c| c.items).fold(0, u64::wrapping_add),
            children.iter().map(|c| c.bytes).fold(0, u64::wrapping_add),
        ),
    };
    Child {
        page: id,
        items,
        bytes: sum,
        first: page.path(0).cloned(),
    }
}

fn parent(level: u8, children: impl Into<Vec<Child>>) -> Page<Entry> {
    Page::Children {
        level,
        children: children.into(),
    }
}

fn read(pages: &MemoryPages, root: &Child) -> Result<Vec<Placed<Entry>>, PageError> {
    read_all(Cursor::new(Some(root.page)), pages).map_err(|error| match error {
        ReadError::Corrupt { why, .. } => why,
        other => panic!("{other}"),
    })
}

fn check_leaf(entries: &[Entry], expect: impl Fn(&PageError) -> bool) {
    let mut pages = MemoryPages::new();
    let root = put(&mut pages, &leaf(entries));
    let error = read(&pages, &root).expect_err("a lie");
    assert!(expect(&error), "{error:?}");
}

/// Two leaves `a, b` and `c, d` under a root that `lie` bends.
fn check_parent(lie: impl Fn(&mut Vec<Child>), expect: impl Fn(&PageError) -> bool) {
    let mut pages = MemoryPages::new();
    let mut children = vec![
        put(&mut pages, &leaf(&[file("a", 3), file("b", 3)])),
        put(&mut pages, &leaf(&[file("c", 3), file("d", 3)])),
    ];
    let honest = put(&mut pages, &parent(1, children.clone()));
    assert_eq!(read(&pages, &honest).map(|items| items.len()), Ok(4));
    lie(&mut children);
    let root = put(&mut pages, &parent(1, children));
    let error = read(&pages, &root).expect_err("a lie");
    assert!(expect(&error), "{error:?}");
}

#[test]
fn unsorted_double_and_conflicting_entries_are_refused() {
    check_leaf(&[file("b", 1), file("a", 1)], |e| {
        matches!(e, PageError::Unsorted { .. })
    });
    check_leaf(&[file("a", 1), file("a", 1)], |e| {
        matches!(e, PageError::Unsorted { .. })
    });
    check_leaf(&[file("a", 1), file("a/b", 1)], |e| {
        matches!(e, PageError::Conflict { .. })
    });
    check_leaf(&[file("a.b", 1), file("a/b", 1)], |e| {
        matches!(e, PageError::Unsorted { .. })
    });
}

#[test]
fn conflicts_across_the_border_of_pages_are_refused_wherever_reading_starts() {
    let mut pages = MemoryPages::new();
    let children = [
        put(&mut pages, &leaf(&[file("a", 3), file("c", 3)])),
        put(&mut pages, &leaf(&[file("c/d", 3), file("d", 3)])),
    ];
    let root = put(&mut pages, &parent(1, children));
    assert!(matches!(
        read(&pages, &root),
        Err(PageError::Conflict { .. })
    ));

    // One level higher the border shows in the first paths alone.
    let left = [
        put(&mut pages, &leaf(&[file("a", 3)])),
        put(&mut pages, &leaf(&[file("b", 3), file("c", 3)])),
    ];
    let right = [
        put(&mut pages, &leaf(&[file("c/d", 3)])),
        put(&mut pages, &leaf(&[file("e", 3)])),
    ];
    let middle = [
        put(&mut pages, &parent(1, left)),
        put(&mut pages, &parent(1, right)),
    ];
    let root = put(&mut pages, &parent(2, middle));
    let mut cursor = Cursor::<Entry>::new(Some(root.page));
    cursor.seek_index(1);
    assert!(matches!(
        cursor.next(&pages),
        Err(ReadError::Corrupt {
            why: PageError::Conflict { .. },
            ..
        })
    ));
}

#[test]
fn pages_out_of_order_are_refused() {
    check_parent(
        |c| c.swap(0, 1),
        |e| matches!(e, PageError::Unsorted { .. }),
    );
    check_parent(
        |c| {
            let double = c[0].clone();
            c[1] = double;
        },
        |e| matches!(e, PageError::Unsorted { .. }),
    );
    // The second page begins where it says, but the first one reaches beyond it.
    let mut pages = MemoryPages::new();
    let children = [
        put(&mut pages, &leaf(&[file("a", 3), file("x", 3)])),
        put(&mut pages, &leaf(&[file("c", 3), file("y", 3)])),
    ];
    let root = put(&mut pages, &parent(1, children));
    assert!(matches!(
        read(&pages, &root),
        Err(PageError::Unsorted { .. })
    ));
}

#[test]
fn counts_sums_and_first_paths_that_lie_are_refused() {
    check_parent(
        |c| c[1].items += 1,
        |e| {
            *e == PageError::Items {
                expected: 3,
                actual: 2,
            }
        },
    );
    check_parent(
        |c| c[1].bytes -= 1,
        |e| {
            *e == PageError::Bytes {
                expected: 5,
                actual: 6,
            }
        },
    );
    check_parent(
        |c| c[1].first = Some(path("bb")),
        |e| *e == PageError::FirstPath,
    );
    check_parent(|c| c[0].items = 0, |e| *e == PageError::Superfluous);
    check_parent(|c| c[0].items = u64::MAX, |e| *e == PageError::Overflow);
    check_parent(|c| c[0].bytes = u64::MAX, |e| *e == PageError::Overflow);
    check_parent(|c| c.truncate(1), |e| *e == PageError::Superfluous);
}

#[test]
fn sums_of_entries_that_overflow_are_refused() {
    let mut huge = [file("a", 0), file("b", 0)];
    for entry in &mut huge {
        entry.kind = EntryKind::File {
            executable: false,
            size: u64::MAX / 2 + 1,
            content: Content::List(PageId::of(b"")),
        };
    }
    let mut pages = MemoryPages::new();
    let bytes = codec::encode(&leaf(&huge));
    let id = PageId::of(&bytes);
    pages.put(id, bytes);
    let read = read_all(Cursor::<Entry>::new(Some(id)), &pages);
    assert!(matches!(
        read,
        Err(ReadError::Corrupt {
            why: PageError::Overflow,
            ..
        })
    ));
}

#[test]
fn what_a_snapshot_says_of_its_root_is_held_against_it() {
    let (pages, root) = build(&files(1000));
    let root = root.expect("a list");
    let with = |items, bytes| {
        read_all(
            Cursor::<Entry>::holding(Some(root.page), Some(items), Some(bytes)),
            &pages,
        )
    };
    assert!(with(root.items, root.bytes).is_ok());
    assert!(
        matches!(with(root.items + 1, root.bytes), Err(ReadError::Corrupt { page, .. }) if page == root.page)
    );
    assert!(
        matches!(with(root.items, root.bytes - 1), Err(ReadError::Corrupt { page, .. }) if page == root.page)
    );
}

#[test]
fn wrong_levels_are_refused() {
    let mut pages = MemoryPages::new();
    let children = [
        put(&mut pages, &leaf(&[file("a", 1)])),
        put(&mut pages, &leaf(&[file("b", 1)])),
    ];
    let low = put(&mut pages, &parent(1, children.clone()));
    // Skips a level.
    let root = put(&mut pages, &parent(2, children));
    assert_eq!(read(&pages, &root), Err(PageError::Level { level: 0 }));
    // Does not go down.
    let more = put(&mut pages, &leaf(&[file("c", 1)]));
    let root = put(&mut pages, &parent(1, [low, more]));
    assert_eq!(read(&pages, &root), Err(PageError::Level { level: 1 }));
}

#[test]
fn a_tree_that_is_too_deep_is_refused() {
    let mut pages = MemoryPages::new();
    let mut left = put(&mut pages, &leaf(&[file("a", 1)]));
    let mut right = put(&mut pages, &leaf(&[file("b", 1)]));
    for level in 1..8 {
        let root = put(&mut pages, &parent(level, [left.clone(), right.clone()]));
        assert_eq!(read(&pages, &root).map(|items| items.len()), Ok(2));
        left = put(&mut pages, &parent(level, [left]));
        right = put(&mut pages, &parent(level, [right]));
    }
    let root = put(&mut pages, &parent(8, [left, right]));
    assert_eq!(read(&pages, &root), Err(PageError::Level { level: 8 }));
}

#[test]
fn a_page_of_another_kind_of_list_is_refused() {
    let mut pages = MemoryPages::new();
    let chunks = put(&mut pages, &Page::Items(vec![chunk(1), chunk(2)]));
    assert!(matches!(
        read(&pages, &chunks),
        Err(PageError::Malformed(_))
    ));
}

#[test]
fn a_page_whose_bytes_are_not_its_ids_is_refused() {
    let mut pages = MemoryPages::new();
    let root = put(&mut pages, &leaf(&[file("a", 1)]));
    let other = codec::encode(&leaf(&[file("b", 1)]));
    pages.put(root.page, other);
    assert_eq!(read(&pages, &root), Err(PageError::Hash));
}

#[test]
fn chunks_of_impossible_length_are_refused() {
    for length in [0, 1024 * 1024 + 1, u32::MAX] {
        let mut pages = MemoryPages::new();
        let liar = ChunkRef { length, ..chunk(2) };
        let root = put(&mut pages, &Page::Items(vec![chunk(1), liar]));
        assert!(matches!(
            read_all(Cursor::<ChunkRef>::new(Some(root.page)), &pages),
            Err(ReadError::Corrupt {
                why: PageError::Item(_),
                ..
            })
        ));
    }
}

#[test]
fn a_list_of_one_chunk_is_refused() {
    let mut pages = MemoryPages::new();
    let root = put(&mut pages, &Page::Items(vec![chunk(1)]));
    assert!(matches!(
        read_all(Cursor::<ChunkRef>::new(Some(root.page)), &pages),
        Err(ReadError::Corrupt {
            why: PageError::Superfluous,
            ..
        })
    ));
}

#[test]
fn a_page_that_claims_more_than_it_has_allocates_nothing_for_it() {
    for bytes in [
        vec![1, 1, 0, 0xff, 0xff],
        vec![1, 1, 0, 0, 4],
        vec![1, 1, 0, 0, 0],
        vec![1, 1, 0, 1, 0, 0xff, 0xff],
        vec![1, 1, 200, 1, 0],
        vec![2, 1, 0, 1, 0],
        vec![],
    ] {
        assert!(codec::decode_canonical::<Page<Entry>, PAGE_BYTES_MAX>(&bytes).is_err());
    }
}
