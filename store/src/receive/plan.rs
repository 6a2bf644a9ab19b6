//! Walks the snapshot once, in the order of positions, and plans for every chunk how it
//! comes into its place.
//!
//! Owns: the walk and the bounds within which it runs ahead. Refuses: the finding of sources
//! ([`super::source`]), the copying ([`super::fill`]) and the rules for what may be replaced
//! ([`super::judge`]).

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use shoal_protocol::chunking::PROFILE_1;
use shoal_protocol::id::{ChunkId, PageId};
use shoal_protocol::manifest::{Entry, EntryKind, SnapshotCursor, Step, missing};
use shoal_protocol::paged_list::{ChunkRef, ReadError};

use super::fill::{From, Job};
use super::judge::Verdict;
use super::likeness::Shadow;
use super::preflight::Preflight;
use super::run::{RunBuilder, Slot};
use super::target::{Blank, Start, Target};
use super::{Next, Receive, ReceiveError, lock};

/// Pages that are asked for at once: some 16 MiB of content each way, at most.
const PAGES_ASKED_MAX: usize = 256;
/// Local copies that are collected before they are made.
const JOBS_MAX: usize = 1024;

/// Where the walk is.
pub(crate) struct Plan {
    pub(crate) stage: Stage,
    pub(crate) cursor: SnapshotCursor,
    /// The position that the walk has reached.
    at: u64,
    file: Option<Walked>,
    runs: RunBuilder,
    ready: VecDeque<Vec<Slot>>,
    jobs: Vec<Job>,
    /// Entries of which an earlier receive left bytes in the staging area.
    pub(crate) staged: HashSet<u64>,
    /// Symlinks and empty directories, which are made at the end.
    pub(crate) others: u64,
    /// The id of the longest chunk of zeros.
    pub(crate) zeros: ChunkId,
    /// Whether the file system of the destination may have reflinks.
    pub(crate) reflinks: bool,
}

/// What the walk does now.
pub(crate) enum Stage {
    /// Finds the part that is to be received, and opens the destination.
    Locate,
    /// Looks whether everything may and can be written.
    Preflight(Box<Preflight>),
    /// Finds sources.
    Walk,
    /// Is through, and waits for what is outstanding.
    Drain,
    /// Cannot go on: an entry could not be planned. A new receive goes on from what is here.
    Broken,
}

/// The file that the walk is in.
enum Walked {
    /// It stands there as it should be.
    Kept,
    /// It is being put together.
    Target {
        target: Arc<Target>,
        /// Whether the have-map speaks for the staging file.
        vouched: bool,
        /// The range of data that was last found in it.
        data: Range<u64>,
        /// How far the walk is in the file that it replaces.
        shadow: Option<Shadow>,
    },
}

impl Plan {
    /// At the start of a snapshot.
    pub(crate) fn new(cursor: SnapshotCursor) -> Self {
        Self {
            stage: Stage::Locate,
            cursor,
            at: 0,
            file: None,
            runs: RunBuilder::default(),
            ready: VecDeque::new(),
            jobs: Vec::new(),
            staged: HashSet::new(),
            others: 0,
            zeros: ChunkId::of(&vec![0; PROFILE_1.max]),
            reflinks: true,
        }
    }

    /// Adds a chunk that this disk is thought to have.
    pub(crate) fn add_job(&mut self, job: Job) {
        self.jobs.push(job);
    }

    /// Adds a chunk that must come from others.
    pub(crate) fn add_to_run(&mut self, slot: Slot) {
        self.ready.extend(self.runs.push(slot));
    }

    /// Goes on in the same file with another target for it, whose staging file exists.
    pub(crate) fn restart_file(&mut self, target: Arc<Target>) {
        self.file = Some(Walked::Target {
            target,
            vouched: false,
            data: 0..0,
            shadow: None,
        });
    }
}

/// Whether a chunk holds nothing but zeros, as far as its length tells: those in the middle
/// of a hole always have the greatest. `zeros` is the id of such a chunk.
pub(crate) fn is_hole(chunk: &ChunkRef, zeros: ChunkId) -> bool {
    chunk.length as usize == PROFILE_1.max && chunk.id == zeros
}

impl Receive {
    /// See [`Receive::next`].
    pub(super) fn next_of(&self, plan: &mut Plan) -> Result<Next, ReceiveError> {
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(ReceiveError::Cancelled);
            }
            let asked = match &plan.stage {
                Stage::Locate => self.locate(plan)?,
                Stage::Preflight(_) => self.preflight(plan)?,
                Stage::Broken => return Err(self.incomplete()),
                Stage::Walk | Stage::Drain => {
                    if let Some(next) = self.give_out(plan)? {
                        return Ok(next);
                    }
                    self.walk(plan)?
                }
            };
            if let Some(pages) = asked {
                return Ok(Next::Pages(pages));
            }
        }
    }

    /// What can be answered without walking on.
    fn give_out(&self, plan: &mut Plan) -> Result<Option<Next>, ReceiveError> {
        let drained = matches!(plan.stage, Stage::Drain);
        let mut ledger = lock(&self.ledger);
        let mut again = RunBuilder::default();
        for slot in ledger.take_again() {
            plan.ready.extend(again.push(slot));
        }
        plan.ready.extend(again.take());
        if ledger.has_room() {
            if let Some(slots) = plan.ready.pop_front() {
                return Ok(Some(Next::Run(ledger.open(slots))));
            }
            if !drained && plan.jobs.len() < JOBS_MAX {
                return Ok(None);
            }
        }
        let idle = ledger.is_idle();
        drop(ledger);
        if !plan.jobs.is_empty() {
            self.fill(std::mem::take(&mut plan.jobs))?;
            return self.give_out(plan);
        }
        let is_all_out = drained && plan.ready.is_empty();
        Ok(Some(match (idle, is_all_out) {
            (true, _) => Next::Done,
            (false, true) => Next::WaitForLast,
            (false, false) => Next::Wait,
        }))
    }

    /// One step. Gives pages where they are needed first.
    fn walk(&self, plan: &mut Plan) -> Result<Option<Vec<PageId>>, ReceiveError> {
        let step = match plan.cursor.next(&self.store) {
            Ok(step) => step,
            Err(ReadError::Missing(page)) => return self.missing(plan.at, page).map(Some),
            Err(error) => return Err(error.into()),
        };
        match step {
            Some(Step::Entry {
                index,
                position,
                entry,
            }) if self.is_within(&entry) => {
                plan.at = position;
                plan.file = None;
                if let Err(error) = self.plan_entry(plan, index, entry) {
                    plan.stage = Stage::Broken;
                    return Err(error);
                }
            }
            Some(Step::Chunk {
                position,
                file_offset,
                chunk,
            }) => {
                plan.at = position;
                self.plan_chunk(plan, position, file_offset, chunk)?;
            }
            Some(Step::Entry { .. }) | None => {
                plan.file = None;
                plan.ready.extend(plan.runs.take());
                plan.stage = Stage::Drain;
            }
        }
        Ok(None)
    }

    /// The pages to ask for, now that `page` is missing at `position`.
    pub(super) fn missing(&self, position: u64, page: PageId) -> Result<Vec<PageId>, ReceiveError> {
        let positions = position..self.span().end.max(position + 1);
        let mut pages = missing(&self.store, &self.snapshot, positions, PAGES_ASKED_MAX)?;
        if !pages.contains(&page) {
            pages.insert(0, page);
        }
        Ok(pages)
    }

    /// Whether an entry belongs to the part that is received.
    pub(super) fn is_within(&self, entry: &Entry) -> bool {
        (self.request.inside.as_ref()).is_none_or(|inside| entry.path.is_within(inside))
    }

    fn plan_entry(&self, plan: &mut Plan, index: u64, entry: Entry) -> Result<(), ReceiveError> {
        let destination = self.destination();
        let Entry { path, kind } = entry;
        let name = destination.name(path.clone());
        if self.is_reserved(&name) {
            return Err(ReceiveError::ReservedName(path));
        }
        let EntryKind::File {
            executable,
            size,
            content,
        } = kind
        else {
            plan.others += 1;
            return Ok(());
        };
        let (verdict, found) = self.judge(&name, &kind)?;
        let staged = destination.staged(index);
        let mut shadow = None;
        let mut start = if plan.staged.contains(&index) {
            Start::Staged
        } else {
            Start::New
        };
        match verdict {
            Verdict::Free => {}
            Verdict::Replace => shadow = self.shadow(&name)?,
            Verdict::Keep => {
                plan.file = Some(Walked::Kept);
                lock(&self.ledger).count_entry(false);
                return Ok(());
            }
            Verdict::Check { ours } => start = Start::Standing { ours },
            Verdict::Edited => return Err(self.edited(&name)),
            Verdict::Clash => return Err(self.clash(&name)),
        }
        let target = Arc::new(Target::new(Blank {
            index,
            name,
            staged,
            size,
            executable,
            content,
            replaces: found,
            start,
            old: shadow.as_ref().map(|shadow| shadow.file().clone()),
        }));
        if size == 0 {
            self.count_landed(&target, 0);
            return Ok(());
        }
        let vouched = start == Start::Staged && self.is_vouched(&target)?;
        plan.file = Some(Walked::Target {
            target,
            vouched,
            data: 0..0,
            shadow,
        });
        Ok(())
    }

    fn plan_chunk(
        &self,
        plan: &mut Plan,
        position: u64,
        offset: u64,
        chunk: ChunkRef,
    ) -> Result<(), ReceiveError> {
        let hole = is_hole(&chunk, plan.zeros);
        let (target, vouched, data, shadow) =
            match plan.file.as_mut().expect("chunks follow their file") {
                Walked::Kept => return self.keep_chunk(position, &chunk),
                Walked::Target {
                    target,
                    vouched,
                    data,
                    shadow,
                } => (target.clone(), *vouched, data, shadow),
            };
        let slot = Slot {
            position,
            id: chunk.id,
            length: chunk.length,
            target,
            offset,
            old: shadow.as_ref().map(Shadow::place),
        };
        if let Some(shadow) = shadow {
            let row = self.store.chunk(&chunk.id)?;
            shadow.pass(chunk.length, row.as_ref().map_or(&[], |row| &row.extents));
        }
        let planned = match slot.target.start {
            Start::Standing { .. } => {
                plan.jobs.push(Job::new(slot, From::Place));
                return Ok(());
            }
            Start::Staged if vouched && self.is_mapped(&slot) => {
                self.land_vouched(&slot);
                return Ok(());
            }
            Start::Staged => self.has_data(&slot, data),
            Start::New => Ok(false),
        };
        let planned = planned.and_then(|in_place| match in_place {
            true => {
                plan.jobs.push(Job::new(slot.clone(), From::Place));
                Ok(())
            }
            false if hole => self.land_hole(&slot),
            false => self.find_source(plan, slot.clone()),
        });
        // The walk is past it: whatever went wrong, the chunk is not forgotten.
        planned.inspect_err(|_| self.fetch_instead(&slot))
    }

    /// Whether any of a slot's bytes were ever written to its staging file.
    fn has_data(&self, slot: &Slot, data: &mut Range<u64>) -> Result<bool, ReceiveError> {
        if data.end <= slot.offset {
            let root = &*self.destination().root;
            *data = (slot.target.next_data(root, slot.offset))
                .map_err(|e| self.failed(&slot.target, e))?
                .unwrap_or(slot.target.size..u64::MAX);
        }
        Ok(data.start < slot.offset + u64::from(slot.length))
    }
}
