//! The bytes of pages. They are the data format and must never change.

use super::super::page::Page;
use super::*;
use crate::codec;
use crate::manifest::SymlinkTarget;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[test]
fn a_page_of_entries() {
    let entries = vec![
        Entry {
            path: path("a"),
            kind: EntryKind::EmptyDirectory,
        },
        Entry {
            path: path("b/run.sh"),
            kind: EntryKind::File {
                executable: true,
                size: 7,
                content: Content::Chunk(ChunkId::from_bytes([0x11; 32])),
            },
        },
        Entry {
            path: path("c"),
            kind: EntryKind::Symlink {
                target: SymlinkTarget::new("b/run.sh").expect("a target"),
            },
        },
        Entry {
            path: path("d"),
            kind: EntryKind::File {
                executable: false,
                size: 500_000,
                content: Content::List(PageId::from_bytes([0x22; 32])),
            },
        },
        file("e", 0),
    ];
    let expect = [
        "01010005 00",
        "0100 61 02000000",
        "0800 622f72756e2e7368 00000000 01 0700000000000000 01000000",
        &"11".repeat(32),
        "0100 63 01000000 0800 622f72756e2e7368",
        "0100 64 00000000 00 20a1070000000000 02000000",
        &"22".repeat(32),
        "0100 65 00000000 00 0000000000000000 00000000",
    ];
    let bytes = codec::encode(&Page::Items(entries.clone()));
    assert_eq!(hex(&bytes), expect.concat().replace(' ', ""));
    let (pages, root) = build(&entries);
    let root = root.expect("a list");
    assert_eq!(
        pages.page(&root.page).expect("infallible").as_deref(),
        Some(&bytes[..])
    );
    assert_eq!(
        root.page.to_string(),
        "page_51cad8232431d5653ee56ca74d84aee61022c817fe44884ee29fe25f596c41a7"
    );
}

#[test]
fn a_page_of_chunks() {
    let chunks = vec![
        ChunkRef {
            id: ChunkId::from_bytes([0x11; 32]),
            length: 65_536,
        },
        ChunkRef {
            id: ChunkId::from_bytes([0x22; 32]),
            length: 1,
        },
    ];
    let expect = format!(
        "0102000200{}00000100{}01000000",
        "11".repeat(32),
        "22".repeat(32)
    );
    assert_eq!(hex(&codec::encode(&Page::Items(chunks))), expect);
}

#[test]
fn pages_of_pages() {
    use super::super::page::Child;
    let child = |first| Child {
        page: PageId::from_bytes([0x33; 32]),
        items: 256,
        bytes: 4096,
        first,
    };
    let sums = "00010000000000000010000000000000";
    let manifest = Page::<Entry>::Children {
        level: 1,
        children: vec![child(Some(path("a/b")))],
    };
    let expect = format!("0101010100{}{sums}0300612f62", "33".repeat(32));
    assert_eq!(hex(&codec::encode(&manifest)), expect);
    let content = Page::<ChunkRef>::Children {
        level: 2,
        children: vec![child(None)],
    };
    let expect = format!("0102020100{}{sums}", "33".repeat(32));
    assert_eq!(hex(&codec::encode(&content)), expect);
}

#[test]
fn long_lists_have_these_roots() {
    let (pages, root) = build(&files(10_000));
    assert_eq!(
        (root.expect("a list").page.to_string().as_str(), pages.len()),
        (
            "page_57bb15ffb2fed84e84599787f4ffef2548f086ad84478431063dd9fd3bd96fb7",
            36
        )
    );
    let (pages, root) = build(&(0..10_000).map(chunk).collect::<Vec<_>>());
    assert_eq!(
        (root.expect("a list").page.to_string().as_str(), pages.len()),
        (
            "page_7dfb82bcda7e033cc18112e311b4e8d2e44eb7e08a3c1b268043a4948ada191a",
            38
        )
    );
}
