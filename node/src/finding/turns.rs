//! How much of the machine the questions of members may take.
//!
//! Owns: the turns in which they are worked at, first come, first served. However many members
//! ask however much, the other half of the processors is left for bytes. Refuses: how many
//! questions one member may have waiting, which the control plane bounds.

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// See the top of this file. Clones share their turns.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// As many at a time as half the processors, and one at least.
    pub(super) fn of_this_machine() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self::new((processors / 2).max(1))
    }

    fn new(at_a_time: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_a_time)))
    }

    /// Does `work`, which blocks, once it is its turn. Nothing of it is done if this is dropped
    /// before.
    pub(super) async fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turns = Arc::clone(&self.0);
        let turn = turns.acquire_owned().await.expect("it is never closed");
        // Whoever asked may go away; what has begun keeps its turn until it is through.
        let taken = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        taken.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Poll;

    use futures::poll;
    use tokio::runtime::Builder;

    use super::*;

    /// Work that says when it begins, and ends when it is let.
    fn work(begun: &Sender<u32>, number: u32) -> (impl FnOnce() + Send + 'static, Sender<()>) {
        let (begun, (let_go, end)) = (begun.clone(), channel());
        let work = move || {
            begun.send(number).expect("it is listened to");
            let _: Result<(), _> = Receiver::recv(&end);
        };
        (work, let_go)
    }

    #[test]
    fn no_more_is_worked_at_than_may_be_whoever_asks() {
        // Threads enough for one too many, and no more: it would begin before the marker.
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(3)
            .build();
        runtime.expect("threads").block_on(async {
            let turns = Turns::new(2);
            let (begun, begins) = channel();
            let (first, end_first) = work(&begun, 1);
            let (second, _end_second) = work(&begun, 2);
            let mut first = Box::pin(turns.take(first));
            let mut second = Box::pin(turns.take(second));
            let third_begun = begun.clone();
            let third = move || third_begun.send(3).expect("it is listened to");
            let mut third = Box::pin(turns.take(third));
            assert!(poll!(&mut first).is_pending());
            assert!(poll!(&mut second).is_pending());
            assert!(poll!(&mut third).is_pending());
            let marker = move || begun.send(0).expect("it is listened to");
            spawn_blocking(marker).await.expect("no panic");
            let mut began: Vec<u32> = (0..3).map(|_| begins.recv().expect("sent")).collect();
            began.sort_unstable();
            assert_eq!(began, [0, 1, 2], "the third waits");

            drop(end_first);
            first.await.expect("no panic");
            third.await.expect("no panic");
            assert_eq!(begins.recv(), Ok(3));
            assert!(matches!(poll!(&mut second), Poll::Pending));
        });
    }

    #[test]
    fn who_goes_away_takes_no_turn_and_what_it_began_keeps_its_own() {
        // One thread for what was begun, and one for whatever would begin too early.
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(2)
            .build();
        runtime.expect("threads").block_on(async {
            let turns = Turns::new(1);
            let (begun, begins) = channel();
            let (first, end) = work(&begun, 1);
            let mut first = Box::pin(turns.take(first));
            assert!(poll!(&mut first).is_pending());
            assert_eq!(begins.recv(), Ok(1));
            drop(first);
            let second_begun = begun.clone();
            let second = move || second_begun.send(2).expect("it is listened to");
            let mut second = Box::pin(turns.take(second));
            assert!(poll!(&mut second).is_pending());
            let marker = move || begun.send(0).expect("it is listened to");
            spawn_blocking(marker).await.expect("no panic");
            assert_eq!(begins.recv(), Ok(0), "the first still works");
            drop(second);
            drop(end);
            assert_eq!(turns.take(|| 7).await.expect("no panic"), 7);
            assert!(begins.try_recv().is_err(), "nothing of the second is done");
        });
    }
}
