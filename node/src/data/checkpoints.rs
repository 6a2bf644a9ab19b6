//! Recording what came, every now and then, beside a fetch.
//!
//! Owns: when. Refuses: what a record is, which is the store's.

use std::sync::Arc;
use std::time::Duration;

use shoal_store::receive::{Receive, ReceiveError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What came is recorded so often, and after so many bytes.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// So often while others wait for it: what is recorded is offered.
const CHECKPOINT_EVERY_FOR_OTHERS: Duration = Duration::from_millis(500);
const CHECKPOINT_BYTES: u64 = 256 << 20;

/// The records of one receive: at most one is being written.
pub(crate) struct Checkpoints {
    receive: Arc<Receive>,
    last: Instant,
    running: JoinSet<Result<(), ReceiveError>>,
}

impl Checkpoints {
    /// None was written yet.
    pub(crate) fn new(receive: &Arc<Receive>) -> Self {
        Self {
            receive: Arc::clone(receive),
            last: Instant::now(),
            running: JoinSet::new(),
        }
    }

    /// Gives what came of the one that runs; nothing when it is time for the next, because of
    /// the bytes that came since the last, or because others wait for them.
    pub(crate) async fn next(
        &mut self,
        bytes: u64,
        for_others: bool,
    ) -> Option<Result<(), ReceiveError>> {
        if !self.running.is_empty() {
            return Some(self.done().await);
        }
        let every = match for_others {
            true => CHECKPOINT_EVERY_FOR_OTHERS,
            false => CHECKPOINT_EVERY,
        };
        match bytes {
            0 => std::future::pending().await,
            1..CHECKPOINT_BYTES => sleep_until(self.last + every).await,
            _ => {}
        }
        None
    }

    /// Begins to write one.
    pub(crate) fn begin(&mut self) {
        self.last = Instant::now();
        let receive = Arc::clone(&self.receive);
        self.running.spawn_blocking(move || receive.checkpoint());
    }

    /// Ends when the one that was begun is written.
    async fn done(&mut self) -> Result<(), ReceiveError> {
        match self.running.join_next().await {
            Some(done) => done.expect("recording does not panic"),
            None => std::future::pending().await,
        }
    }

    /// Waits for one that was begun.
    pub(crate) async fn wait(&mut self) -> Result<(), ReceiveError> {
        match self.running.is_empty() {
            true => Ok(()),
            false => self.done().await,
        }
    }

    /// Writes one more, the last.
    pub(crate) async fn last(&mut self) -> Result<(), ReceiveError> {
        self.wait().await?;
        self.begin();
        self.done().await
    }
}
