//! Syncs of what was written so far, while more is written.
//!
//! Owns: when one is begun, and what came of it. Refuses: to make anything durable by itself;
//! whoever needs that waits for these and syncs once more. A disk that takes its time to make
//! sure of much (one of a virtual machine, one with a cache) does it while there is something
//! else to do, and the last sync has little left.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::DiskFile;

/// A sync is begun when so much was written.
const STEP_BYTES: u64 = 64 << 20;

/// The syncs of one writer: one at a time.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Bytes that were written since the last one was begun.
    unsynced: u64,
    under_way: Option<JoinHandle<io::Result<()>>>,
}

impl Ahead {
    /// Counts bytes that were written to `file`, and begins to sync it if they are enough and
    /// no other sync is under way. An error is one that an earlier sync met.
    pub(crate) fn wrote(&mut self, file: &Arc<dyn DiskFile>, bytes: u64) -> io::Result<()> {
        self.unsynced += bytes;
        if self.unsynced < STEP_BYTES || !self.is_idle() {
            return Ok(());
        }
        self.wait()?;
        self.unsynced = 0;
        let file = Arc::clone(file);
        let thread = thread::Builder::new().name("sync ahead".to_owned());
        // Without a thread, the last sync does it all.
        self.under_way = thread.spawn(move || file.sync()).ok();
        Ok(())
    }

    /// Waits for the one that is under way. The system tells of bytes that it could not write
    /// once: what a sync that nobody waited for was told must not be lost.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        let Some(sync) = self.under_way.take() else {
            return Ok(());
        };
        let panicked = |_| Err(io::Error::other("a sync panicked"));
        sync.join().unwrap_or_else(panicked)
    }

    /// Whether one was begun that was not waited for.
    #[cfg(test)]
    pub(crate) fn is_begun(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether none is under way.
    pub(crate) fn is_idle(&self) -> bool {
        (self.under_way.as_ref()).is_none_or(JoinHandle::is_finished)
    }
}
