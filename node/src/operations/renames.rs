//! Files that have another name and the same bytes, among the differences of two artifacts.
//!
//! Owns: the differences that are held back until their other half may have come, and their
//! order. Refuses: to hold more than [`HELD_MAX`]; a rename over a longer way stays what it
//! also is, a removal and an addition.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use shoal_protocol::manifest::{Content, Entry, EntryKind};

use crate::api::{Change, Difference};

/// The most differences that are held back: a few megabytes with paths of usual length.
const HELD_MAX: usize = 16_384;

/// Differences in path order, of which some may turn out to be halves of renames.
#[derive(Default)]
pub(super) struct Renames {
    held: Vec<Option<Difference>>,
    /// The additions and removals that still wait for their other half.
    alone: HashMap<(Change, Key), Vec<usize>>,
}

/// What is the same about a file that was only renamed.
type Key = (Content, bool);

impl Renames {
    /// Takes the next difference, which `entry` is the only side of if it is an addition or a
    /// removal. Gives those that are ready to be told.
    pub(super) fn push(
        &mut self,
        difference: Difference,
        entry: Option<&Entry>,
    ) -> Vec<Difference> {
        let other = match difference.change {
            Change::Added => Some(Change::Removed),
            Change::Removed => Some(Change::Added),
            Change::Content | Change::Kind | Change::Renamed => None,
        };
        match other.zip(entry.and_then(key)) {
            Some((other, key)) => self.pair(difference, other, key),
            None => self.held.push(Some(difference)),
        }
        if self.held.len() < HELD_MAX {
            return Vec::new();
        }
        self.rest()
    }

    /// Gives all that is still held back.
    pub(super) fn rest(&mut self) -> Vec<Difference> {
        self.alone.clear();
        std::mem::take(&mut self.held)
            .into_iter()
            .flatten()
            .collect()
    }

    fn pair(&mut self, difference: Difference, other: Change, key: Key) {
        if let Slot::Occupied(mut waiting) = self.alone.entry((other, key)) {
            let at = waiting.get_mut().pop().expect("none is left empty");
            if waiting.get().is_empty() {
                waiting.remove();
            }
            let half = self.held[at].take().expect("it waits where it was put");
            // A rename is told where its new name stands.
            match difference.change {
                Change::Added => self.held.push(Some(renamed(half, difference))),
                _ => self.held[at] = Some(renamed(difference, half)),
            }
            return;
        }
        let here = self.held.len();
        (self.alone.entry((difference.change, key)).or_default()).push(here);
        self.held.push(Some(difference));
    }
}

fn renamed(old: Difference, new: Difference) -> Difference {
    Difference {
        path: new.path,
        path_a: Some(old.path),
        change: Change::Renamed,
        bytes_a: old.bytes_a,
        bytes_b: new.bytes_b,
    }
}

/// Empty files are all alike, so that nothing could be told from their bytes.
fn key(entry: &Entry) -> Option<Key> {
    match &entry.kind {
        EntryKind::File {
            content: Content::Empty,
            ..
        }
        | EntryKind::Symlink { .. }
        | EntryKind::EmptyDirectory => None,
        EntryKind::File {
            content,
            executable,
            ..
        } => Some((*content, *executable)),
    }
}

#[cfg(test)]
mod tests {
    use shoal_protocol::id::ChunkId;
    use shoal_protocol::path::ManifestPath;

    use super::*;

    fn push(renames: &mut Renames, change: Change, path: &str, bytes: &[u8]) -> usize {
        let entry = Entry {
            path: ManifestPath::new(path).expect("a path"),
            kind: EntryKind::File {
                executable: false,
                size: bytes.len() as u64,
                content: match bytes {
                    [] => Content::Empty,
                    bytes => Content::Chunk(ChunkId::of(bytes)),
                },
            },
        };
        let difference = Difference {
            path: path.to_owned(),
            path_a: None,
            change,
            bytes_a: None,
            bytes_b: None,
        };
        renames.push(difference, Some(&entry)).len()
    }

    fn told(mut renames: Renames) -> Vec<String> {
        let tell = |d: Difference| format!("{:?} {:?} {}", d.change, d.path_a, d.path);
        renames.rest().into_iter().map(tell).collect()
    }

    #[test]
    fn a_rename_is_told_once_where_its_new_name_stands() {
        let mut renames = Renames::default();
        push(&mut renames, Change::Added, "a", b"one");
        push(&mut renames, Change::Removed, "b", b"two");
        push(&mut renames, Change::Removed, "c", b"one");
        push(&mut renames, Change::Added, "d", b"two");
        push(&mut renames, Change::Added, "e", b"two");
        let expect = [
            "Renamed Some(\"c\") a",
            "Renamed Some(\"b\") d",
            "Added None e",
        ];
        assert_eq!(told(renames), expect);
    }

    #[test]
    fn empty_files_are_not_taken_for_each_other() {
        let mut renames = Renames::default();
        push(&mut renames, Change::Removed, "a", b"");
        push(&mut renames, Change::Added, "b", b"");
        assert_eq!(told(renames), ["Removed None a", "Added None b"]);
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut renames = Renames::default();
        let mut told = 0;
        for i in 0..HELD_MAX {
            told += push(
                &mut renames,
                Change::Added,
                &format!("{i:06}"),
                &i.to_le_bytes(),
            );
        }
        assert_eq!(told, HELD_MAX);
        assert_eq!(renames.rest().len() + renames.alone.len(), 0);
    }
}
