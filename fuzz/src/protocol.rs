//! What is done with arbitrary bytes, for each parser of `shoal-protocol`: it must give a
//! value or an error, and a value must keep what its type promises.
//!
//! The fuzz targets run these under libFuzzer; `protocol/tests/fuzz_bodies.rs` runs them
//! under proptest, so that they are always compiled and tried.

use std::str::FromStr;

use shoal_protocol::access::team::{Batch, InvitationRecord, SignedOperation, Team};
use shoal_protocol::codec;
use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::manifest::{self, Entry, SnapshotCursor, Step};
use shoal_protocol::names::ArtifactRef;
use shoal_protocol::paged_list::{
    ChunkRef, Cursor, Diff, Item, MemoryPages, PageSource, ReadError,
};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::{ProfileId, Shape, Snapshot};
use shoal_protocol::version::Version;

/// Paths and references, from text and from their encoding.
pub fn path(data: &[u8]) {
    if let Ok(path) = codec::decode_canonical::<ManifestPath, 5000>(data) {
        assert_eq!(ManifestPath::new(path.as_str()), Ok(path));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(path) = ManifestPath::new(text) {
        assert!(
            path.components()
                .all(|part| !matches!(part, "" | "." | ".."))
        );
        assert!(!path.as_str().contains('\0') && path.as_str().len() <= 4096);
    }
    if let Ok(reference) = ArtifactRef::from_str(text) {
        assert_eq!(ArtifactRef::from_str(&reference.to_string()), Ok(reference));
    }
}

/// Snapshots and versions.
pub fn snapshot(data: &[u8]) {
    if let Ok(snapshot) = Snapshot::from_bytes(data) {
        assert_eq!(snapshot.to_bytes(), data);
    }
    if let Ok(version) = Version::from_bytes(data) {
        assert_eq!(version.to_bytes(), data);
    }
}

/// Operations of a team and what a minter keeps. Whatever is read is merged into the team of
/// each author: bytes that nobody signed never get in. Gives how many operations were read.
pub fn team(data: &[u8]) -> usize {
    if let Ok(record) = InvitationRecord::from_bytes(data) {
        assert_eq!(record.to_bytes(), data);
    }
    if let Ok(signed) = SignedOperation::from_bytes(data) {
        assert_eq!(signed.to_bytes(), data);
    }
    let Ok(batch) = Batch::from_bytes(data) else {
        return 0;
    };
    assert_eq!(batch.to_bytes(), data);
    let operations = batch.into_operations();
    let authors = operations.iter().map(|signed| signed.operation.author);
    for root in authors.chain([PeerKey::from_bytes([0; 32])]) {
        let mut team = Team::new(root);
        let merged = team.merge(operations.clone());
        assert_eq!(merged.new.len(), team.operations().len());
        for signed in team.operations() {
            assert!(signed.is_signed() && signed.operation.team == team.id());
        }
        let mut again = Team::new(root);
        again.merge(operations.iter().rev().cloned());
        assert_eq!(team, again);
    }
    operations.len()
}

/// One page as the whole list, of either kind.
pub fn page(data: &[u8]) {
    one_page::<Entry>(data);
    one_page::<ChunkRef>(data);
}

fn one_page<I: Item>(data: &[u8]) {
    let id = PageId::of(data);
    let mut pages = MemoryPages::new();
    pages.put(id, data.to_vec());
    let mut cursor = Cursor::<I>::new(Some(id));
    let (mut index, mut position) = (0, 0);
    while let Ok(Some(placed)) = cursor.next(&pages) {
        assert_eq!((placed.index, placed.position), (index, position));
        assert!(placed.item.check().is_ok());
        index += 1;
        position += placed.item.bytes();
    }
}

/// A snapshot whose pages, built from the bottom up as `data` says, lie now and then.
///
/// Says how many steps were read from a snapshot in which nothing was wrong.
pub fn manifest(data: &[u8]) -> usize {
    let mut liar = Liar {
        data,
        pages: MemoryPages::new(),
        made: Vec::new(),
        names: 0,
    };
    while liar.made.len() < 64 && !liar.data.is_empty() {
        liar.make_page();
    }
    let honest = liar.made.iter().rfind(|made| made.kind == 1 && !made.used);
    let Some(root) = honest.or(liar.made.last()).cloned() else {
        return 0;
    };
    let snapshot = Snapshot {
        profile: ProfileId(1),
        shape: [Shape::Folder, Shape::File][usize::from(liar.byte() % 2)],
        manifest: Some(root.page),
        entries: liar.or_lie(root.items),
        bytes: liar.or_lie(root.bytes),
    };
    let pages = &liar.pages;
    let whole = steps(SnapshotCursor::new(&snapshot), pages);
    if let Some(steps) = &whole {
        check_steps(&snapshot, steps);
    }
    for target in [1, snapshot.bytes / 2, snapshot.bytes, u64::MAX] {
        let mut cursor = SnapshotCursor::new(&snapshot);
        cursor.seek(target);
        let _ = steps(cursor, pages);
        let _ = manifest::missing(pages, &snapshot, target / 2..target, 10);
    }
    if let Ok(missing) = manifest::missing(pages, &snapshot, 0..u64::MAX, 1000) {
        assert!(whole.is_none() || missing.is_empty());
    }
    let other = liar.made.first().map(|made| made.page);
    let mut diff = Diff::new(snapshot.manifest, other);
    while let Ok(Some(_)) = diff.next(pages) {}
    whole.map_or(0, |steps| steps.len())
}

/// Everything from the cursor on; nothing if it cannot be read.
fn steps<S: PageSource>(mut cursor: SnapshotCursor, pages: &S) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    loop {
        match cursor.next(pages) {
            Ok(Some(step)) => steps.push(step),
            Ok(None) => return Some(steps),
            Err(ReadError::Missing(_) | ReadError::Corrupt { .. } | ReadError::Source(_)) => {
                return None;
            }
        }
    }
}

/// What holds of every snapshot that can be read to its end.
fn check_steps(snapshot: &Snapshot, steps: &[Step]) {
    let (mut entries, mut end, mut bytes) = (0, 0, 0);
    let mut before: Option<&ManifestPath> = None;
    for step in steps {
        match step {
            Step::Entry {
                index,
                position,
                entry,
            } => {
                assert_eq!((*index, *position, end), (entries, bytes, bytes));
                if let Some(before) = before {
                    assert!(*before < entry.path && !entry.path.is_within(before));
                }
                before = Some(&entry.path);
                entries += 1;
                bytes += entry.size();
            }
            Step::Chunk {
                position, chunk, ..
            } => {
                assert_eq!(*position, end);
                end += u64::from(chunk.length);
            }
        }
    }
    assert_eq!(
        (entries, bytes, end),
        (snapshot.entries, snapshot.bytes, bytes)
    );
}

/// Makes pages out of bytes that say what they hold, and where they lie.
struct Liar<'a> {
    data: &'a [u8],
    pages: MemoryPages,
    made: Vec<Made>,
    /// How many names were given.
    names: usize,
}

#[derive(Clone)]
struct Made {
    page: PageId,
    kind: u8,
    level: u8,
    items: u64,
    bytes: u64,
    first: Vec<u8>,
    /// Whether a page above leads to it.
    used: bool,
}

impl Liar<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.data.split_first() else {
            return 0;
        };
        self.data = rest;
        *first
    }

    fn or_lie(&mut self, truth: u64) -> u64 {
        match self.byte() {
            250.. => u64::MAX,
            245..250 => truth.wrapping_add(1),
            240..245 => 0,
            _ => truth,
        }
    }

    /// Mostly a name that comes after those given so far.
    fn path(&mut self) -> Vec<u8> {
        let byte = self.byte();
        // Now and then inside the entry before, which is a conflict.
        if !(192..208).contains(&byte) {
            self.names += 1;
        }
        let mut path = format!("n{:03}", self.names).into_bytes();
        match byte {
            224.. => return self.text(),
            208..224 => path.truncate(3),
            128..208 => path.extend(b"/x"),
            _ => {}
        }
        path
    }

    fn text(&mut self) -> Vec<u8> {
        let length = self.byte() % 6;
        (0..length)
            .map(|_| b"ab/c.\0"[usize::from(self.byte() % 6)])
            .collect()
    }

    fn make_page(&mut self) {
        let kind = 1 + self.byte() % 2;
        let level = [0, 0, 0, 1, 1, 2, 3, 0][usize::from(self.byte() % 8)];
        let len = 1 + self.byte() % 5;
        let mut made = Made {
            page: PageId::of(&[]),
            kind,
            level,
            items: 0,
            bytes: 0,
            first: Vec::new(),
            used: false,
        };
        let mut body = Vec::new();
        let mut written = 0;
        for _ in 0..len {
            let (first, items, bytes) = match (level, kind) {
                (0, 1) => self.entry(&mut body),
                (0, _) => self.chunk(&mut body),
                _ => match self.child(kind, level, &mut body) {
                    Some(child) => child,
                    None => continue,
                },
            };
            if written == 0 {
                made.first = first;
            }
            written += 1;
            made.items = made.items.wrapping_add(items);
            made.bytes = made.bytes.wrapping_add(bytes);
        }
        let mut page = vec![1, kind, level, written, 0];
        page.extend(body);
        made.page = PageId::of(&page);
        self.pages.put(made.page, page);
        self.made.push(made);
    }

    fn entry(&mut self, body: &mut Vec<u8>) -> (Vec<u8>, u64, u64) {
        let path = self.path();
        put_text(&path, body);
        let list = match self.byte() % 4 {
            0 => {
                body.extend(2u32.to_le_bytes());
                return (path, 1, 0);
            }
            1 => {
                body.extend(1u32.to_le_bytes());
                put_text(b"target", body);
                return (path, 1, 0);
            }
            2 => self.a_content_list(),
            _ => None,
        };
        let size = match &list {
            Some(list) => list.bytes,
            None => u64::from(self.byte() % 3),
        };
        let size = self.or_lie(size);
        body.extend(0u32.to_le_bytes());
        body.push(u8::from(self.byte() > 128));
        body.extend(size.to_le_bytes());
        match list {
            Some(list) => {
                body.extend(2u32.to_le_bytes());
                body.extend(list.page.as_bytes());
            }
            None if size == 0 => body.extend(0u32.to_le_bytes()),
            None => {
                body.extend(1u32.to_le_bytes());
                body.extend(ChunkId::of(&path).as_bytes());
            }
        }
        (path, 1, size)
    }

    fn chunk(&mut self, body: &mut Vec<u8>) -> (Vec<u8>, u64, u64) {
        let length = 1 + u32::from(self.byte() % 4);
        body.extend(ChunkId::of(&length.to_le_bytes()).as_bytes());
        body.extend(length.to_le_bytes());
        (Vec::new(), 1, u64::from(length))
    }

    fn child(&mut self, kind: u8, level: u8, body: &mut Vec<u8>) -> Option<(Vec<u8>, u64, u64)> {
        let child = match self.byte() {
            // The next one that no page leads to.
            ..240 => {
                let fits =
                    |made: &&mut Made| made.kind == kind && made.level + 1 == level && !made.used;
                let next = self.made.iter_mut().find(fits)?;
                next.used = true;
                next.clone()
            }
            at => self.made.get(usize::from(at - 240))?.clone(),
        };
        let (items, bytes) = (self.or_lie(child.items), self.or_lie(child.bytes));
        let first = match self.byte() {
            250.. => self.text(),
            _ => child.first,
        };
        body.extend(child.page.as_bytes());
        body.extend(items.to_le_bytes());
        body.extend(bytes.to_le_bytes());
        if kind == 1 {
            put_text(&first, body);
        }
        Some((first, items, bytes))
    }

    fn a_content_list(&mut self) -> Option<Made> {
        let at = usize::from(self.byte());
        let lists: Vec<_> = self.made.iter().filter(|made| made.kind == 2).collect();
        Some(lists[at.checked_rem(lists.len())?].clone())
    }
}

fn put_text(text: &[u8], body: &mut Vec<u8>) {
    body.extend((text.len() as u16).to_le_bytes());
    body.extend(text);
}
