//! Whether what an add will copy fits.
//!
//! Owns: the estimate, the warning before much is copied, and the refusal when it cannot fit.
//! Refuses: exactness; what is duplicate shows only when it is read.

use super::AddMode;
use super::clone::CLONE_BYTES_MIN;
use super::plan::{Plan, Portion, cost};
use super::report::AddError;
use super::walk::{Walked, WalkedKind};
use super::work::{Trouble, Work};
use crate::StoreError;
use crate::disk::Root;
use crate::index::FileRow;
use crate::progress::Note;

/// Less than this is copied without a word.
const WORTH_A_NOTE: u64 = 256 << 20;
/// Room that is left to others, and for the index.
const MARGIN: u64 = 16 << 20;

/// What will be copied, as far as can be told beforehand.
#[derive(Debug, Default, PartialEq, Eq)]
struct Estimate {
    /// At most.
    most: u64,
    /// At least, but for duplicates: files that were never seen, by the room that they take
    /// now, so that holes do not count.
    least: u64,
}

/// Refuses what cannot fit into the store at `home`, and says so before much is copied.
/// `rows` is what the index knows of the same files.
pub(super) fn check<R>(work: &Work<'_>, home: &dyn Root, rows: R) -> Result<(), AddError>
where
    R: Iterator<Item = Result<FileRow, StoreError>>,
{
    let free = home.file_system().map_err(AddError::io(home.path()))?.free;
    let upper: u64 = work.entries.iter().map(|entry| cost(entry, None)).sum();
    if work.mode == AddMode::InPlace || upper < WORTH_A_NOTE.min(free.saturating_sub(MARGIN)) {
        return Ok(());
    }
    probe(work)?;
    let estimate = estimate(work, rows)?;
    let needed = estimate.least + MARGIN;
    if needed > free && estimate.least > 0 {
        return Err(AddError::NoSpace { needed, free });
    }
    if estimate.most >= WORTH_A_NOTE {
        let bytes = estimate.most;
        work.progress.note(Note::Copying { bytes, free });
    }
    Ok(())
}

/// Finds out whether the source can be cloned, with the first file that would be.
fn probe(work: &Work<'_>) -> Result<(), StoreError> {
    let worth = |entry: &&Walked| cost(entry, None) >= CLONE_BYTES_MIN;
    let Some(entry) = work.entries.iter().find(worth) else {
        return Ok(());
    };
    // A file that cannot be opened is found again, and named, when it is its turn.
    let opened: Result<_, Trouble> = work.open(&entry.path);
    if let Ok((file, _)) = opened
        && let Some(cloned) = work.clones.make(&*file, work.shelf.new_file())?
    {
        work.clones.remove(&cloned)?;
    }
    Ok(())
}

fn estimate<R>(work: &Work<'_>, rows: R) -> Result<Estimate, StoreError>
where
    R: Iterator<Item = Result<FileRow, StoreError>>,
{
    let mut estimate = Estimate::default();
    let mut plan = Plan::new(work.entries, rows, work.segment_bytes);
    while let Some(portion) = plan.next()? {
        match portion {
            Portion::Big { entry, known } => {
                estimate.count(work, &work.entries[entry], known.as_ref());
            }
            Portion::Group { entries, known } => {
                for (entry, known) in work.entries[entries].iter().zip(&known) {
                    estimate.count(work, entry, known.as_ref());
                }
            }
        }
    }
    Ok(estimate)
}

impl Estimate {
    fn count(&mut self, work: &Work<'_>, entry: &Walked, known: Option<&FileRow>) {
        let cost = cost(entry, known);
        if cost >= CLONE_BYTES_MIN && work.clones.possible() {
            return;
        }
        self.most += cost;
        if let (WalkedKind::File(identity), None) = (&entry.kind, known) {
            self.least += cost.min(identity.allocated);
        }
    }
}
