//! The paged list against a plain `Vec`, against a builder written from the rules, and
//! against liars.

mod edits;
mod golden;
mod hostile;
mod model;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::*;
use crate::id::{ChunkId, PageId};
use crate::manifest::{Content, Entry, EntryKind};
use crate::path::ManifestPath;

fn path(text: &str) -> ManifestPath {
    ManifestPath::new(text).expect("a safe path")
}

fn file(text: &str, size: u64) -> Entry {
    Entry {
        path: path(text),
        kind: EntryKind::File {
            executable: false,
            size,
            content: match size {
                0 => Content::Empty,
                _ => Content::Chunk(ChunkId::of(text.as_bytes())),
            },
        },
    }
}

fn chunk(number: u64) -> ChunkRef {
    ChunkRef {
        id: ChunkId::of(&number.to_le_bytes()),
        length: 16_384 + (number % 100_000) as u32,
    }
}

/// So many files of various sizes in a few hundred directories.
fn files(count: usize) -> Vec<Entry> {
    let sorted: BTreeMap<_, _> = (0..count)
        .map(|i| {
            let entry = file(
                &format!("d{:03}/part-{i:07}.bin", i * 7919 % 300),
                i as u64 % 5,
            );
            (entry.path.clone(), entry)
        })
        .collect();
    sorted.into_values().collect()
}

fn build<I: Item>(items: &[I]) -> (MemoryPages, Option<Root>) {
    let mut pages = MemoryPages::new();
    let root = build_into(items, &mut pages);
    (pages, root)
}

fn build_into<I: Item>(items: &[I], pages: &mut MemoryPages) -> Option<Root> {
    let mut builder = Builder::new();
    let mut emit = |id, bytes| pages.put(id, bytes);
    for item in items {
        builder.push(item, &mut emit).expect("items in order");
    }
    builder.finish(&mut emit)
}

fn read_all<I: Item, S: PageSource>(
    mut cursor: Cursor<I>,
    source: &S,
) -> Result<Vec<Placed<I>>, ReadError<S::Error>> {
    let mut items = Vec::new();
    while let Some(placed) = cursor.next(source)? {
        items.push(placed);
    }
    Ok(items)
}

/// Items with the places that they must have.
fn placed<I: Item>(items: &[I]) -> Vec<Placed<I>> {
    let mut position = 0;
    let place = |(index, item): (usize, &I)| {
        let placed = Placed {
            index: index as u64,
            position,
            item: item.clone(),
        };
        position += item.bytes();
        placed
    };
    items.iter().enumerate().map(place).collect()
}

/// Remembers which pages were read.
struct Counting<'a> {
    pages: &'a MemoryPages,
    read: RefCell<Vec<PageId>>,
}

impl<'a> Counting<'a> {
    fn new(pages: &'a MemoryPages) -> Self {
        Self {
            pages,
            read: RefCell::default(),
        }
    }

    fn count(&self) -> usize {
        self.read.borrow().len()
    }
}

impl PageSource for Counting<'_> {
    type Error = Infallible;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, Infallible> {
        self.read.borrow_mut().push(*id);
        self.pages.page(id)
    }

    fn holds(&self, id: &PageId) -> Result<bool, Infallible> {
        self.pages.holds(id)
    }
}
