//! What is here that may be offered.
//!
//! Owns: going through snapshots, files and chunks. Refuses: bytes; it believes the index.
//!
//! A chunk is offered if it has an audience that may be; a file's content, if the positions
//! where it stands are offered in a snapshot of such an audience.

use shoal_protocol::advert::{DiscoveryKey, Subject};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::{Content, Entry, EntryKind, SnapshotCursor, Step};
use shoal_protocol::paged_list::{Change, Diff, Placed};

use crate::index::{AudienceId, Coverage, SnapshotRow};
use crate::survey::page_of;
use crate::{Store, StoreError};

/// Files of so many bytes and more are announced at once, and always: 16 MiB.
const GREAT_BYTES: u64 = 16 << 20;
/// So many entries are looked at for what is announced when a node starts.
const HEADLINE_ENTRIES_MAX: u64 = 1_000_000;

/// To whom, and under which secret, things are advertised.
pub struct Offer<'a> {
    /// What keys are made with.
    pub secret: &'a DiscoveryKey,
    /// Whether what came under an audience may be offered to those who have the secret.
    pub may_offer: &'a dyn Fn(AudienceId) -> bool,
}

/// What one snapshot adds to what can be found, as keys' subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headline {
    /// The snapshot and its great files: to be announced.
    pub announced: Vec<Subject>,
    /// Its other files and its chunks: new keys.
    pub others: Vec<Subject>,
    /// Whether that is all; the next sweep brings the rest.
    pub is_all: bool,
}

/// What takes note of a subject, and whether it is always advertised; false to stop.
type Visit<'a> = &'a mut dyn FnMut(Subject, bool) -> Result<bool, StoreError>;

/// Goes through everything; says whether it came to the end.
pub(super) fn everything(
    store: &Store,
    offer: &Offer<'_>,
    visit: Visit<'_>,
) -> Result<bool, StoreError> {
    let mut before: Option<SnapshotRow> = None;
    for row in snapshots(store, offer)? {
        if !visit(Subject::Snapshot(row.id()), true)?
            || !contents(store, before.as_ref(), &row, visit)?
        {
            return Ok(false);
        }
        if row.offered == Coverage::Complete {
            before = Some(row);
        }
    }
    let view = store.view();
    for row in view.chunks()? {
        let (id, row) = row?;
        let offered = row
            .audiences
            .iter()
            .any(|audience| (offer.may_offer)(*audience));
        if offered && !row.extents.is_empty() && !visit(Subject::Chunk(id), false)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of snapshots and then great files the newest.
pub(super) fn headlines(
    store: &Store,
    offer: &Offer<'_>,
    subjects_max: usize,
) -> Result<Vec<Subject>, StoreError> {
    let mut rows = snapshots(store, offer)?;
    rows.reverse();
    let ids = rows.iter().map(|row| Subject::Snapshot(row.id()));
    let mut found: Vec<_> = ids.take(subjects_max).collect();
    let mut entries = 0;
    for row in &rows {
        let ended = contents(store, None, row, &mut |subject, is_great| {
            entries += 1;
            if is_great && found.len() < subjects_max && !found.contains(&subject) {
                found.push(subject);
            }
            Ok(found.len() < subjects_max && entries < HEADLINE_ENTRIES_MAX)
        })?;
        if !ended {
            break;
        }
    }
    Ok(found)
}

impl Offer<'_> {
    /// What a snapshot that was just added or received adds, if it may be offered: at most
    /// `others_max` other keys.
    pub fn of_snapshot(
        &self,
        store: &Store,
        id: &SnapshotId,
        others_max: usize,
    ) -> Result<Headline, StoreError> {
        let mut headline = Headline {
            is_all: true,
            ..Headline::default()
        };
        let row = store.view().snapshot(id)?;
        let Some(row) = row.filter(|row| is_offered(self, row)) else {
            return Ok(headline);
        };
        headline.announced.push(Subject::Snapshot(*id));
        let mut cursor = SnapshotCursor::new(&row.snapshot);
        loop {
            let step = match cursor.next(store) {
                Ok(Some(step)) => step,
                Ok(None) => return Ok(headline),
                Err(error) => {
                    page_of(error)?;
                    headline.is_all = false;
                    return Ok(headline);
                }
            };
            match step {
                Step::Entry {
                    position, entry, ..
                } => match content_of(&row, position, &entry) {
                    Some((subject, true)) => headline.announced.push(subject),
                    Some((subject, false)) => headline.others.push(subject),
                    None => {}
                },
                Step::Chunk {
                    position, chunk, ..
                } => {
                    let range = position..position + u64::from(chunk.length);
                    if row.offered.covers(&range) {
                        headline.others.push(Subject::Chunk(chunk.id));
                    }
                }
            }
            if headline.others.len() >= others_max {
                headline.is_all = false;
                return Ok(headline);
            }
        }
    }
}

/// The snapshots that may be offered, oldest first.
fn snapshots(store: &Store, offer: &Offer<'_>) -> Result<Vec<SnapshotRow>, StoreError> {
    let mut rows = store.view().snapshots()?;
    rows.retain(|row| is_offered(offer, row));
    rows.sort_by_key(|row| row.at_unix_s);
    Ok(rows)
}

fn is_offered(offer: &Offer<'_>, row: &SnapshotRow) -> bool {
    let nothing = matches!(&row.offered, Coverage::Ranges(ranges) if ranges.is_empty());
    (offer.may_offer)(row.audience) && (!nothing || row.snapshot.bytes == 0)
}

/// Visits the offered contents of a snapshot that one before, which offers all of its own,
/// does not have. What lies on pages that are not here is left out.
fn contents(
    store: &Store,
    before: Option<&SnapshotRow>,
    row: &SnapshotRow,
    visit: Visit<'_>,
) -> Result<bool, StoreError> {
    let before = before.and_then(|row| row.snapshot.manifest);
    let mut diff = Diff::new(before, row.snapshot.manifest);
    loop {
        let change = match diff.next(store) {
            Ok(Some(change)) => change,
            Ok(None) => return Ok(true),
            Err(error) => return page_of(error).map(|_| true),
        };
        let (Change::Added(new) | Change::Changed { new, .. }) = change else {
            continue;
        };
        let Placed { position, item, .. } = new;
        if let Some((subject, is_great)) = content_of(row, position, &item)
            && !visit(subject, is_great)?
        {
            return Ok(false);
        }
    }
}

/// The content of an entry, if it is a list and offered, and whether the file is great. A
/// file of one chunk is found by the chunk.
fn content_of(row: &SnapshotRow, position: u64, entry: &Entry) -> Option<(Subject, bool)> {
    let EntryKind::File {
        content: Content::List(list),
        size,
        ..
    } = entry.kind
    else {
        return None;
    };
    let offered = row.offered.covers(&(position..position + size));
    offered.then_some((Subject::Content(list), size >= GREAT_BYTES))
}
