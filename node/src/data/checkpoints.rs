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
const CHECKPOINT_BYTES: u64 = 256 << 20;
/// Others who wait for it hear of it so often. That does not wait for the disk, which may be
/// slow while it takes all that comes.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);

/// The records of one receive: at most one is being written.
pub(crate) struct Checkpoints {
    receive: Arc<Receive>,
    last: Instant,
    last_durable: Instant,
    /// What was published since, and a power cut would undo.
    volatile_bytes: u64,
    running: JoinSet<Result<(), ReceiveError>>,
}

impl Checkpoints {
    /// None was written yet.
    pub(crate) fn new(receive: &Arc<Receive>) -> Self {
        Self {
            receive: Arc::clone(receive),
            last: Instant::now(),
            last_durable: Instant::now(),
            volatile_bytes: 0,
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
        let publish = self.last + PUBLISH_EVERY;
        let save = self.last_durable + CHECKPOINT_EVERY;
        match (bytes, self.volatile_bytes) {
            (0, 0) => std::future::pending().await,
            (CHECKPOINT_BYTES.., _) => {}
            (1.., _) if for_others => sleep_until(publish.min(save)).await,
            _ => sleep_until(save).await,
        }
        None
    }

    /// Begins to write one, with `bytes` that came since the last.
    pub(crate) fn begin(&mut self, bytes: u64) {
        self.volatile_bytes += bytes;
        self.last = Instant::now();
        let is_old = self.last_durable.elapsed() >= CHECKPOINT_EVERY;
        if is_old || self.volatile_bytes >= CHECKPOINT_BYTES {
            self.begin_durable();
        } else {
            let receive = Arc::clone(&self.receive);
            self.running.spawn_blocking(move || receive.publish());
        }
    }

    fn begin_durable(&mut self) {
        self.volatile_bytes = 0;
        self.last_durable = Instant::now();
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
        self.begin_durable();
        self.done().await
    }
}
