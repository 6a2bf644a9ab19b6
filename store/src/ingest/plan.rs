//! In which portions the entries are worked on.
//!
//! Owns: joining the entries with what the index knows of the same paths, both in manifest
//! order, and cutting the result into tasks of like size. Refuses: to look at any file.

use std::iter::Peekable;
use std::ops::Range;

use shoal_protocol::path::ManifestPath;

use super::walk::{Walked, WalkedKind};
use crate::StoreError;
use crate::index::FileRow;

/// The most entries of a group.
const GROUP_ENTRIES_MAX: usize = 256;

/// A portion of the entries.
pub(super) enum Portion {
    /// Entries in a row, and what is known of each.
    Group {
        entries: Range<usize>,
        known: Vec<Option<FileRow>>,
    },
    /// A file that is cut by several threads.
    Big {
        entry: usize,
        known: Option<FileRow>,
    },
}

/// Gives the portions in order.
pub(super) struct Plan<'a, R: Iterator> {
    entries: &'a [Walked],
    rows: Peekable<R>,
    at: usize,
    segment_bytes: u64,
    ready: Option<Portion>,
    /// Files that were known and are no entries any more.
    pub vanished: Vec<FileRow>,
}

impl<'a, R: Iterator<Item = Result<FileRow, StoreError>>> Plan<'a, R> {
    /// Joins `entries` with `rows`. Files of more than `segment_bytes` are big.
    pub(super) fn new(entries: &'a [Walked], rows: R, segment_bytes: u64) -> Self {
        Self {
            entries,
            rows: rows.peekable(),
            at: 0,
            segment_bytes,
            ready: None,
            vanished: Vec::new(),
        }
    }

    /// The next portion; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Portion>, StoreError> {
        if self.ready.is_some() {
            return Ok(self.ready.take());
        }
        let start = self.at;
        let mut known = Vec::new();
        let mut bytes = 0;
        while known.len() < GROUP_ENTRIES_MAX && bytes < self.segment_bytes / 2 {
            let Some(entry) = self.entries.get(self.at) else {
                self.vanish_all()?;
                break;
            };
            let row = self.known(&entry.path)?;
            self.at += 1;
            let cost = cost(entry, row.as_ref());
            if cost > self.segment_bytes {
                let entry = self.at - 1;
                let big = Portion::Big { entry, known: row };
                if known.is_empty() {
                    return Ok(Some(big));
                }
                self.ready = Some(big);
                let entries = start..entry;
                return Ok(Some(Portion::Group { entries, known }));
            }
            bytes += cost;
            known.push(self.unless_vanished(entry, row));
        }
        let entries = start..self.at;
        Ok((!known.is_empty()).then_some(Portion::Group { entries, known }))
    }

    /// What is known of the file at `path`.
    fn known(&mut self, path: &ManifestPath) -> Result<Option<FileRow>, StoreError> {
        loop {
            match self.rows.peek() {
                Some(Ok(row)) if row.path > *path => return Ok(None),
                None => return Ok(None),
                Some(_) => {}
            }
            match self.rows.next().transpose()? {
                Some(row) if row.path == *path => return Ok(Some(row)),
                other => self.vanished.extend(other),
            }
        }
    }

    /// A file that has become something else has vanished.
    fn unless_vanished(&mut self, entry: &Walked, row: Option<FileRow>) -> Option<FileRow> {
        if matches!(entry.kind, WalkedKind::File(_)) {
            return row;
        }
        self.vanished.extend(row);
        None
    }

    fn vanish_all(&mut self) -> Result<(), StoreError> {
        for row in self.rows.by_ref() {
            self.vanished.push(row?);
        }
        Ok(())
    }
}

/// How many bytes will have to be read, as far as can be told.
pub(super) fn cost(entry: &Walked, row: Option<&FileRow>) -> u64 {
    match (&entry.kind, row) {
        (WalkedKind::File(identity), Some(row)) if row.is_of(identity) => 0,
        (WalkedKind::File(identity), _) => identity.size,
        _ => 0,
    }
}
