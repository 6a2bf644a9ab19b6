//! Gets of one snapshot to different places come over the wire once.
//!
//! Owns: whose turn it is. The first transfers; those behind it wait, and find on this disk
//! what it brought.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::id::SnapshotId;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

/// See the top of this file. Clones are the same.
#[derive(Debug, Default, Clone)]
pub(super) struct Turns(Arc<Mutex<HashMap<SnapshotId, Arc<Queue<()>>>>>);

/// The right to transfer a snapshot, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    snapshot: SnapshotId,
    _queue: OwnedMutexGuard<()>,
}

impl Turns {
    /// Takes the turn of a snapshot; calls `waiting` if somebody else has it. Cancel safe.
    pub(super) async fn take(&self, snapshot: SnapshotId, waiting: impl FnOnce()) -> Turn {
        let queue = Arc::clone(self.lock().entry(snapshot).or_default());
        let taken = match Arc::clone(&queue).try_lock_owned() {
            Ok(taken) => taken,
            Err(_) => {
                waiting();
                queue.lock_owned().await
            }
        };
        Turn {
            turns: self.clone(),
            snapshot,
            _queue: taken,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SnapshotId, Arc<Queue<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        // The table's own, and the one of this turn: nobody waits.
        let is_last = queues
            .get(&self.snapshot)
            .is_some_and(|queue| Arc::strong_count(queue) == 2);
        if is_last {
            queues.remove(&self.snapshot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_one_after_the_other_and_leave_nothing_behind() {
        let turns = Turns::default();
        let [one, other] = [b"1", b"2"].map(|bytes| SnapshotId::of(bytes));
        let first = turns.take(one, || panic!("nobody has it")).await;
        drop(turns.take(other, || panic!("nobody has that")).await);
        let (told, hears) = tokio::sync::oneshot::channel();
        let second = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(one, || told.send(()).expect("heard")).await }
        });
        hears.await.expect("it is told that it waits");
        assert!(!second.is_finished());
        drop(first);
        drop(second.await.expect("its turn"));
        assert!(turns.lock().is_empty());
    }
}
