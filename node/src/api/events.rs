//! The reply of a long operation: events in order, from a task in this process or from a
//! node's socket.
//!
//! Owns: how a running operation speaks ([`Reporter`]), how its listener hears it
//! ([`Events`]), and the rule that an operation without a listener stops.

use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::api::errors::{ApiError, ErrorKind};
use crate::api::lines::Lines;
use crate::api::types::{Event, Level, Never, Note, Progress};

/// How often progress is told at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Notes and items that wait for a slow listener; then the operation waits.
const QUEUE_LENGTH: usize = 256;

/// The reply of a long operation, event by event. Dropping it cancels the operation, which
/// can be gone on with later.
#[derive(Debug)]
pub struct Events<D, I = Never>(Source<D, I>);

#[derive(Debug)]
enum Source<D, I> {
    Local(Box<Local<D, I>>),
    Remote(Lines),
    Ended,
}

impl<D, I> Events<D, I> {
    /// Starts `work` as one of `tasks` and listens to it. It is asked to stop, through its
    /// reporter, when the events are dropped or `stop` is cancelled; it is not torn down, so
    /// that it can leave things in order.
    pub(crate) fn of<F, Fut>(tasks: &TaskTracker, stop: &CancellationToken, work: F) -> Self
    where
        F: FnOnce(Reporter<I>) -> Fut,
        Fut: Future<Output = Result<D, ApiError>> + Send + 'static,
        D: Send + 'static,
    {
        let (queue, steps) = mpsc::channel(QUEUE_LENGTH);
        let (progress, progress_seen) = watch::channel(Progress::default());
        let cancel = stop.child_token();
        let reporter = Reporter {
            queue,
            progress,
            cancel: cancel.clone(),
        };
        Self(Source::Local(Box::new(Local {
            steps,
            progress: progress_seen,
            next_progress: Instant::now(),
            told: Progress::default(),
            task: tasks.spawn(work(reporter)),
            _cancel: cancel.drop_guard(),
        })))
    }

    pub(crate) fn remote(lines: Lines) -> Self {
        Self(Source::Remote(lines))
    }
}

impl<D: DeserializeOwned, I: DeserializeOwned> Events<D, I> {
    /// The next event. `Done` is the last; errors come as `Err`, also when the node went away.
    /// Nothing after the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Event<D, I>, ApiError>> {
        let event = match &mut self.0 {
            Source::Local(local) => local.next().await,
            Source::Remote(lines) => match lines.next().await {
                Ok(Event::Error(error)) => Err(error),
                other => other,
            },
            Source::Ended => return None,
        };
        if matches!(event, Ok(Event::Done(_)) | Err(_)) {
            self.0 = Source::Ended;
        }
        Some(event)
    }

    /// Waits for the end and gives the items and the result; notes and progress are passed
    /// over.
    pub async fn finish(mut self) -> Result<(Vec<I>, D), ApiError> {
        let mut items = Vec::new();
        loop {
            match self.next().await {
                Some(Ok(Event::Item(item))) => items.push(item),
                Some(Ok(Event::Done(done))) => return Ok((items, done)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => unreachable!("an operation ends with its result or an error"),
            }
        }
    }
}

/// An operation that runs in this process.
#[derive(Debug)]
struct Local<D, I> {
    steps: mpsc::Receiver<Step<I>>,
    progress: watch::Receiver<Progress>,
    next_progress: Instant,
    /// The progress that was told last.
    told: Progress,
    task: JoinHandle<Result<D, ApiError>>,
    _cancel: DropGuard,
}

#[derive(Debug)]
enum Step<I> {
    Note(Note),
    Item(I),
}

impl<D, I> Local<D, I> {
    async fn next(&mut self) -> Result<Event<D, I>, ApiError> {
        tokio::select! {
            biased;
            step = self.steps.recv() => match step {
                Some(Step::Note(note)) => return Ok(Event::Note(note)),
                Some(Step::Item(item)) => return Ok(Event::Item(item)),
                None => {}
            },
            progress = seen(&mut self.progress, self.next_progress) => {
                self.next_progress = Instant::now() + PROGRESS_EVERY;
                self.told = progress.clone();
                return Ok(Event::Progress(progress));
            }
        }
        // The reporter is gone. What it said last is told before the end.
        let last = self.progress.borrow_and_update().clone();
        if last != self.told {
            self.told = last.clone();
            return Ok(Event::Progress(last));
        }
        match (&mut self.task).await {
            Ok(result) => result.map(Event::Done),
            Err(_) => Err(ApiError::new(
                ErrorKind::Error,
                "the operation failed in a way that is a fault of shoal",
            )
            .hint("please report it, with what is on stderr of the node")),
        }
    }
}

/// The next progress, not before `earliest`; never, once nobody can tell any.
async fn seen(progress: &mut watch::Receiver<Progress>, earliest: Instant) -> Progress {
    tokio::time::sleep_until(earliest).await;
    if progress.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    progress.borrow_and_update().clone()
}

/// How a running operation speaks to its listener.
#[derive(Debug)]
pub(crate) struct Reporter<I = Never> {
    queue: mpsc::Sender<Step<I>>,
    progress: watch::Sender<Progress>,
    cancel: CancellationToken,
}

impl<I> Clone for Reporter<I> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            progress: self.progress.clone(),
            cancel: self.cancel.clone(),
        }
    }
}

impl<I> Reporter<I> {
    /// Changes what is known of the progress.
    pub(crate) fn progress(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// As [`progress`](Self::progress), where `change` says whether there is anything new.
    pub(crate) fn progress_if_changed(&self, change: impl FnOnce(&mut Progress) -> bool) {
        self.progress.send_if_modified(change);
    }

    /// The progress, for `status` to look at.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Hands over one result. Waits while the listener is behind.
    pub(crate) async fn item(&self, item: I) -> Result<(), ApiError> {
        let sent = self.queue.send(Step::Item(item)).await;
        sent.map_err(|_| ApiError::interrupted())
    }

    /// As [`item`](Self::item), from a thread that may block.
    pub(crate) fn item_blocking(&self, item: I) -> Result<(), ApiError> {
        let sent = self.queue.blocking_send(Step::Item(item));
        sent.map_err(|_| ApiError::interrupted())
    }

    /// Tells something. A listener that is far behind misses it, rather than holding up an
    /// operation that has much to say.
    pub(crate) fn note(&self, note: Note) {
        let _missed = self.queue.try_send(Step::Note(note));
    }

    pub(crate) fn info(&self, message: impl Into<String>) {
        self.note(Note {
            level: Level::Info,
            message: message.into(),
            hint: None,
        });
    }

    pub(crate) fn warn(&self, message: impl Into<String>, hint: Option<String>) {
        self.note(Note {
            level: Level::Warning,
            message: message.into(),
            hint,
        });
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// What is cancelled when nobody listens any more.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.cancel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<D, I, F, Fut>(work: F) -> Events<D, I>
    where
        F: FnOnce(Reporter<I>) -> Fut,
        Fut: Future<Output = Result<D, ApiError>> + Send + 'static,
        D: Send + 'static,
    {
        Events::of(&TaskTracker::new(), &CancellationToken::new(), work)
    }

    #[tokio::test]
    async fn notes_items_and_the_last_progress_come_before_the_end() {
        let events: Events<u32, u32> = of(|reporter: Reporter<u32>| async move {
            reporter.info("begun");
            reporter.item(1).await?;
            reporter.progress(|p| p.bytes_done = 7);
            reporter.item(2).await?;
            Ok(3)
        });
        let mut events = events;
        let (mut items, mut bytes, mut notes) = (Vec::new(), 0, 0);
        let done = loop {
            match events.next().await.expect("not over").expect("no error") {
                Event::Item(item) => items.push(item),
                Event::Progress(progress) => bytes = progress.bytes_done,
                Event::Note(_) => notes += 1,
                Event::Done(done) => break done,
                Event::Error(_) => unreachable!("errors come as Err"),
            }
        };
        assert_eq!((items, bytes, notes, done), (vec![1, 2], 7, 1, 3));
        assert!(events.next().await.is_none());
    }

    #[tokio::test]
    async fn an_operation_without_a_listener_is_asked_to_stop() {
        let (stopped, saw_it) = tokio::sync::oneshot::channel();
        let events: Events<(), Never> = of(|reporter: Reporter| async move {
            reporter.token().cancelled().await;
            let _gone = stopped.send(());
            Ok(())
        });
        drop(events);
        saw_it.await.expect("the task ran on to its end");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_this_operation_alone() {
        let mut events: Events<(), Never> = of(|_| async { panic!("on purpose") });
        let error = events.next().await.expect("not over").expect_err("failed");
        assert_eq!(error.kind, ErrorKind::Error);
        assert!(events.next().await.is_none());
    }
}
