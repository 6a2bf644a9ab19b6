//! What an edit costs: pages written, pages read.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn new_pages(before: &MemoryPages, after: &MemoryPages) -> usize {
    after
        .iter()
        .filter(|(id, _)| !before.holds(id).expect("infallible"))
        .count()
}

fn changes<S: PageSource<Error = Infallible>>(
    source: &S,
    old: Option<PageId>,
    new: Option<PageId>,
) -> Vec<Change> {
    let mut diff = Diff::new(old, new);
    std::iter::from_fn(|| diff.next(source).expect("all pages are held")).collect()
}

/// The differences of two sorted lists, found by looking at everything.
fn changes_of_vecs(old: &[Entry], new: &[Entry]) -> Vec<Change> {
    let mut sides: BTreeMap<ManifestPath, [Option<Placed<Entry>>; 2]> = BTreeMap::new();
    for (side, list) in [old, new].into_iter().enumerate() {
        for placed in placed(list) {
            let path = placed.item.path.clone();
            sides.entry(path).or_default()[side] = Some(placed);
        }
    }
    sides
        .into_values()
        .filter_map(|sides| match sides {
            [Some(old), Some(new)] => {
                (old.item != new.item).then_some(Change::Changed { old, new })
            }
            [Some(old), None] => Some(Change::Removed(old)),
            [None, new] => new.map(Change::Added),
        })
        .collect()
}

#[test]
fn other_content_rewrites_one_page_a_level_and_moves_no_border() {
    let entries = files(100_000);
    let (pages, root) = build(&entries);
    let root = root.expect("a list");
    assert!(root.level >= 2);
    for at in [0, 1, 50_000, 77_777, 99_999] {
        let mut edited = entries.clone();
        edited[at].kind = EntryKind::File {
            executable: true,
            size: 1234,
            content: Content::Chunk(ChunkId::of(b"other")),
        };
        let mut after = MemoryPages::new();
        let new_root = build_into(&edited, &mut after).expect("a list");
        assert_eq!(new_pages(&pages, &after), usize::from(root.level) + 1);
        assert_eq!(after.len(), pages.len());

        pages
            .iter()
            .for_each(|(id, bytes)| after.put(*id, bytes.to_vec()));
        let counting = Counting::new(&after);
        let found = changes(&counting, Some(root.page), Some(new_root.page));
        assert_eq!(found, changes_of_vecs(&entries, &edited));
        assert_eq!(counting.count(), 2 * (usize::from(root.level) + 1));
    }
}

#[test]
fn an_entry_put_in_or_taken_out_rewrites_a_handful_of_pages() {
    let entries = files(100_000);
    let (pages, root) = build(&entries);
    let root = root.expect("a list");
    for at in (0..100_000).step_by(9_973) {
        let mut without = entries.clone();
        without.remove(at);
        let mut both = pages.clone();
        let other = build_into(&without, &mut both).expect("a list");
        let written = both.len() - pages.len();
        assert!(written <= 8, "{written} pages written");
        let counting = Counting::new(&both);
        let removed = changes(&counting, Some(root.page), Some(other.page));
        assert!(matches!(&removed[..], [Change::Removed(placed)] if placed.item == entries[at]));
        let added = changes(&counting, Some(other.page), Some(root.page));
        assert!(matches!(&added[..], [Change::Added(placed)] if placed.item == entries[at]));
        assert!(counting.count() <= 40, "{} pages read", counting.count());
    }
}

#[test]
fn chunks_put_into_a_large_file_rewrite_a_handful_of_pages() {
    let chunks: Vec<_> = (0..50_000).map(chunk).collect();
    let (pages, _) = build(&chunks);
    for at in [0, 10, 25_000, 49_999] {
        let mut edited = chunks.clone();
        edited.splice(at..at, [chunk(1_000_001), chunk(1_000_002)]);
        let mut both = pages.clone();
        build_into(&edited, &mut both);
        assert!(both.len() - pages.len() <= 8);
    }
}

#[test]
fn a_list_that_outgrows_its_root_shares_the_old_pages() {
    let entries = files(60_000);
    let (mut pages, small) = build(&entries[..30_000]);
    let before = pages.len();
    let large = build_into(&entries, &mut pages);
    assert!(pages.len() < before * 2 + 10);
    let counting = Counting::new(&pages);
    let found = changes(
        &counting,
        small.map(|root| root.page),
        large.map(|root| root.page),
    );
    assert_eq!(found.len(), 30_000);
    assert!(counting.count() <= pages.len() - before + 10);
}

#[test]
fn a_diff_goes_on_when_missing_pages_come() {
    let entries = files(2000);
    let (mut pages, old) = build(&entries);
    let new = build_into(&entries[5..1500], &mut pages);
    let (old, new) = (old.map(|root| root.page), new.map(|root| root.page));
    let mut held = MemoryPages::new();
    let mut diff = Diff::new(old, new);
    let mut found = Vec::new();
    loop {
        match diff.next(&held) {
            Ok(Some(change)) => found.push(change),
            Ok(None) => break,
            Err(ReadError::Missing(id)) => {
                let bytes = pages.page(&id).expect("infallible").expect("known");
                held.put(id, bytes.to_vec());
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(found, changes(&pages, old, new));
    assert_eq!(found.len(), 505);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn diffs_agree_with_looking_at_everything(
        edits in proptest::collection::vec((0usize..4000, 0u8..4, 1usize..50), 0..12),
        count in prop_oneof![0usize..10, 0usize..4000],
    ) {
        let old = files(count);
        let mut new: BTreeMap<_, _> = old.iter().map(|e| (e.path.clone(), e.clone())).collect();
        for (at, what, many) in edits {
            for entry in old.iter().skip(at).take(many) {
                match what {
                    0 => { new.remove(&entry.path); }
                    1 => {
                        let changed = file(entry.path.as_str(), 77);
                        new.insert(changed.path.clone(), changed);
                    }
                    2 => {
                        let added = file(&format!("{}x", entry.path), 3);
                        new.insert(added.path.clone(), added);
                    }
                    _ => {
                        let moved = new.remove(&entry.path);
                        if let Some(mut entry) = moved {
                            entry.path = path(&format!("moved/{}", entry.path));
                            new.insert(entry.path.clone(), entry);
                        }
                    }
                }
            }
        }
        let new: Vec<_> = new.into_values().collect();
        let (mut pages, old_root) = build(&old);
        let new_root = build_into(&new, &mut pages);
        let found = changes(&pages, old_root.map(|r| r.page), new_root.map(|r| r.page));
        prop_assert_eq!(found, changes_of_vecs(&old, &new));
    }
}
