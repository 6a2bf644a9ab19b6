//! Many threads read, one puts the results in order.
//!
//! Owns: the threads of an add, the queue between them and the manifest. Refuses: what happens
//! to a file ([`file`](super::file), [`big`](super::big)).
//!
//! At most [`TASKS_MAX`] tasks are given out and not yet in the manifest; when the first of
//! them takes long, no more are given out. Bytes never wait in the queue, only entries and
//! chunk ids do.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use shoal_protocol::id::PageId;
use shoal_protocol::manifest::{Content, ContentBuilder, Entry, EntryKind};
use shoal_protocol::paged_list::{Builder, ChunkRef, Root};

use super::big::Big;
use super::file::{Taken, Worker};
use super::plan::{Plan, Portion};
use super::report::AddError;
use super::walk::WalkedKind;
use super::work::{Trouble, Work};
use super::workers;
use crate::StoreError;
use crate::index::FileRow;

/// Tasks that are given out at a time.
const TASKS_MAX: usize = 64;

/// A known state of a file that is no more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replaced {
    /// What it held.
    pub content: Content,
    /// How many bytes.
    pub size: u64,
}

impl Replaced {
    /// The state that the index knows.
    pub(super) fn of(row: &FileRow) -> Self {
        Self {
            content: row.content,
            size: row.identity.size,
        }
    }
}

/// What all files together gave.
pub(super) struct Assembled {
    pub manifest: Option<Root>,
    /// Older contents of files that now hold something else.
    pub replaced: Vec<Replaced>,
    /// Files that were known and are no entries any more.
    pub vanished: Vec<FileRow>,
}

enum Task {
    Group {
        entries: Range<usize>,
        known: Vec<Option<FileRow>>,
    },
    Segment {
        big: Arc<Big>,
        segment: u64,
    },
}

enum Outcome {
    Group {
        entries: Vec<Entry>,
        replaced: Vec<Replaced>,
    },
    /// What follows are the segments of this file, unless it could not even be opened.
    Big(BigFile),
    Segment(Result<Vec<ChunkRef>, Trouble>),
}

struct BigFile {
    entry: usize,
    known: Option<FileRow>,
    big: Result<Arc<Big>, Trouble>,
    segments: u64,
}

/// Takes in all entries.
pub(super) fn run<R>(work: &Work<'_>, plan: Plan<'_, R>) -> Result<Assembled, AddError>
where
    R: Iterator<Item = Result<FileRow, StoreError>>,
{
    let (task_sender, tasks) = unbounded();
    let (outcome_sender, outcomes) = unbounded();
    std::thread::scope(|scope| {
        for _ in 0..workers() {
            let (tasks, outcomes) = (tasks.clone(), outcome_sender.clone());
            scope.spawn(move || serve(work, &tasks, &outcomes));
        }
        let foreman = Foreman {
            work,
            plan,
            queue: VecDeque::new(),
            tasks: task_sender,
            given: 0,
            taken: 0,
            arrived: BTreeMap::new(),
            assembly: Assembly::new(work),
        };
        let assembled = foreman.run(&outcomes);
        if assembled.is_err() {
            work.abandon();
        }
        assembled
    })
}

fn serve(work: &Work<'_>, tasks: &Receiver<(u64, Task)>, outcomes: &Sender<(u64, Outcome)>) {
    let mut worker = Worker::new(work);
    for (number, task) in tasks {
        let outcome = match task {
            Task::Group { entries, known } => group(work, &mut worker, entries, &known),
            Task::Segment { big, segment } => {
                Outcome::Segment(big.segment(work, &mut worker, segment))
            }
        };
        if outcomes.send((number, outcome)).is_err() {
            return;
        }
    }
}

fn group(
    work: &Work<'_>,
    worker: &mut Worker,
    range: Range<usize>,
    known: &[Option<FileRow>],
) -> Outcome {
    let mut entries = Vec::with_capacity(known.len());
    let mut replaced = Vec::new();
    for (walked, known) in work.entries[range].iter().zip(known) {
        if work.failed() {
            break;
        }
        let kind = match &walked.kind {
            WalkedKind::Symlink(target) => EntryKind::Symlink {
                target: target.clone(),
            },
            WalkedKind::EmptyDirectory => EntryKind::EmptyDirectory,
            WalkedKind::File(identity) => {
                match worker.take(work, &walked.path, identity, known.as_ref()) {
                    Ok(taken) => {
                        replaced.extend(known.as_ref().and_then(|row| taken.replaces(row)));
                        taken.kind()
                    }
                    Err(trouble) => {
                        work.trouble(&walked.path, trouble);
                        continue;
                    }
                }
            }
        };
        let path = walked.path.clone();
        entries.push(Entry { path, kind });
    }
    Outcome::Group { entries, replaced }
}

impl Taken {
    fn kind(&self) -> EntryKind {
        EntryKind::File {
            executable: self.identity.executable,
            size: self.identity.size,
            content: self.content,
        }
    }

    fn replaces(&self, known: &FileRow) -> Option<Replaced> {
        (self.content != known.content).then(|| Replaced::of(known))
    }
}

/// Gives out tasks and takes the outcomes in.
struct Foreman<'a, 'b, R: Iterator> {
    work: &'a Work<'b>,
    plan: Plan<'a, R>,
    queue: VecDeque<Task>,
    tasks: Sender<(u64, Task)>,
    given: u64,
    taken: u64,
    arrived: BTreeMap<u64, Outcome>,
    assembly: Assembly<'a, 'b>,
}

impl<R> Foreman<'_, '_, R>
where
    R: Iterator<Item = Result<FileRow, StoreError>>,
{
    fn run(mut self, outcomes: &Receiver<(u64, Outcome)>) -> Result<Assembled, AddError> {
        loop {
            self.give_out()?;
            while let Some(outcome) = self.arrived.remove(&self.taken) {
                self.taken += 1;
                self.assembly.take(outcome)?;
            }
            self.work.shelf.commit_if_big()?;
            if self.taken == self.given && !self.give_out()? {
                break;
            }
            if self.taken < self.given && !self.arrived.contains_key(&self.taken) {
                let outcome = outcomes.recv();
                let (number, outcome) =
                    outcome.expect("the threads live as long as there are tasks");
                self.arrived.insert(number, outcome);
            }
        }
        let vanished = self.plan.vanished;
        self.assembly.finish(vanished)
    }

    /// Gives out as many tasks as may be; says whether there were any.
    fn give_out(&mut self) -> Result<bool, AddError> {
        let before = self.given;
        while self.given - self.taken < TASKS_MAX as u64 && !self.work.failed() {
            if let Some(task) = self.queue.pop_front() {
                self.send(task);
                continue;
            }
            match self.plan.next()? {
                None => break,
                Some(Portion::Group { entries, known }) => {
                    self.send(Task::Group { entries, known });
                }
                Some(Portion::Big { entry, known }) => self.begin_big(entry, known),
            }
        }
        Ok(self.given > before)
    }

    fn send(&mut self, task: Task) {
        let sent = self.tasks.send((self.given, task));
        sent.expect("the threads live as long as the foreman");
        self.given += 1;
    }

    fn begin_big(&mut self, entry: usize, known: Option<FileRow>) {
        let path = &self.work.entries[entry].path;
        let big = Big::begin(self.work, path).map(Arc::new);
        let segments = big.as_ref().map_or(0, |big| big.segments(self.work));
        if let Ok(big) = &big {
            self.queue.extend((0..segments).map(|segment| {
                let big = big.clone();
                Task::Segment { big, segment }
            }));
        }
        let outcome = Outcome::Big(BigFile {
            entry,
            known,
            big,
            segments,
        });
        self.arrived.insert(self.given, outcome);
        self.given += 1;
    }
}

/// The manifest while it grows.
struct Assembly<'a, 'b> {
    work: &'a Work<'b>,
    manifest: Builder<Entry>,
    replaced: Vec<Replaced>,
    files: u64,
    open: Option<OpenBig>,
}

/// A big file of which not all segments came yet.
struct OpenBig {
    file: BigFile,
    big: Arc<Big>,
    content: ContentBuilder,
    trouble: Option<Trouble>,
}

impl<'a, 'b> Assembly<'a, 'b> {
    fn new(work: &'a Work<'b>) -> Self {
        Self {
            work,
            manifest: Builder::new(),
            replaced: Vec::new(),
            files: 0,
            open: None,
        }
    }

    fn take(&mut self, outcome: Outcome) -> Result<(), AddError> {
        match outcome {
            Outcome::Group { entries, replaced } => {
                self.replaced.extend(replaced);
                for entry in &entries {
                    self.entry(entry)?;
                }
            }
            Outcome::Big(file) => self.begin(file)?,
            Outcome::Segment(chunks) => self.segment(chunks)?,
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), AddError> {
        let manifest = &mut self.manifest;
        let pushed = self
            .work
            .shelf
            .emitting(|emit: &mut dyn FnMut(PageId, Vec<u8>)| manifest.push(entry, emit))?;
        if let Err(error) = pushed {
            self.work.refuse(&entry.path, error.to_string());
        }
        self.files += 1;
        let total = self.work.entries.len() as u64;
        self.work.progress.files(self.files, Some(total));
        Ok(())
    }

    fn begin(&mut self, mut file: BigFile) -> Result<(), AddError> {
        let big = std::mem::replace(&mut file.big, Err(Trouble::Skipped));
        match big {
            Ok(big) => {
                let segments = file.segments;
                self.open = Some(OpenBig {
                    file,
                    big,
                    content: ContentBuilder::new(),
                    trouble: None,
                });
                if segments == 0 {
                    self.end()?;
                }
                Ok(())
            }
            // It went or was replaced since the walk: the usual attempts may still succeed.
            Err(trouble) => self.settle(&file, Err(trouble)),
        }
    }

    fn segment(&mut self, chunks: Result<Vec<ChunkRef>, Trouble>) -> Result<(), AddError> {
        let open = self.open.as_mut().expect("segments follow their file");
        match chunks {
            Err(Trouble::Skipped) if open.trouble.is_some() => {}
            Err(trouble) => open.trouble = Some(trouble),
            Ok(chunks) => self.work.shelf.extend(&mut open.content, chunks)?,
        }
        open.file.segments -= 1;
        if open.file.segments == 0 {
            self.end()?;
        }
        Ok(())
    }

    /// All segments of the open file came.
    fn end(&mut self) -> Result<(), AddError> {
        let open = self.open.take().expect("only an open file ends");
        let taken = match open.trouble {
            Some(trouble) => {
                open.big.abandon(self.work);
                Err(trouble)
            }
            None => {
                let content = self.work.shelf.finish(open.content)?;
                open.big.end(self.work, content)
            }
        };
        self.settle(&open.file, taken)
    }

    /// Puts a big file into the manifest. If it changed, it is read again by this thread alone.
    fn settle(&mut self, file: &BigFile, taken: Result<Taken, Trouble>) -> Result<(), AddError> {
        let path = &self.work.entries[file.entry].path;
        let taken = match taken {
            Err(Trouble::Changed) => {
                self.work.again(path, 1);
                Worker::new(self.work).retry(self.work, path, 2)
            }
            other => other,
        };
        match taken {
            Err(trouble) => self.work.trouble(path, trouble),
            Ok(taken) => {
                let known = file.known.as_ref();
                self.replaced
                    .extend(known.and_then(|row| taken.replaces(row)));
                let path = path.clone();
                let kind = taken.kind();
                self.entry(&Entry { path, kind })?;
            }
        }
        Ok(())
    }

    fn finish(self, vanished: Vec<FileRow>) -> Result<Assembled, AddError> {
        let manifest = self
            .work
            .shelf
            .emitting(|emit| self.manifest.finish(emit))?;
        Ok(Assembled {
            manifest,
            replaced: self.replaced,
            vanished,
        })
    }
}
