//! Equal gets are one transfer.
//!
//! Owns: the transfers that run, who waits for each, and the [turns](super::turns) of those
//! that bring one snapshot to different places. A transfer ends early when the last
//! who waited has left; whoever joins late hears every note again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::transfer;
use super::turns::Turns;
use super::{Key, Plan};
use crate::api::{ApiError, Event, Got, Note, Progress};
use crate::node::Node;

/// Notes that are kept for those who join late; more are dropped.
const NOTES_MAX: usize = 1000;

/// The transfers that run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Gets {
    running: Arc<Mutex<HashMap<Key, Arc<Transfer>>>>,
    turns: Turns,
}

/// One transfer, as those see it who do it.
#[derive(Debug)]
pub(super) struct Transfer {
    state: watch::Sender<State>,
    /// Those who wait. When the last of them has gone the transfer is cancelled.
    waiting: Weak<DropGuard>,
    pub(super) cancelled: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    notes: Vec<Note>,
    end: Option<Result<Got, ApiError>>,
}

/// One who waits for a transfer.
#[derive(Debug)]
pub(super) struct Waiter {
    state: watch::Receiver<State>,
    notes_heard: usize,
    progress_heard: Progress,
    waits: Option<Arc<DropGuard>>,
}

impl Gets {
    /// Who may transfer which snapshot now.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Joins the transfer that has this plan, or begins it.
    pub(super) fn join(&self, node: &Node, plan: Plan) -> Waiter {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let before = running.get(&plan.key).cloned();
        if let Some(waiter) = before.as_ref().and_then(|transfer| transfer.join()) {
            return waiter;
        }
        let (transfer, waiter) = Transfer::new(node.stop());
        running.insert(plan.key.clone(), Arc::clone(&transfer));
        drop(running);
        let ending = Ending {
            gets: self.clone(),
            key: plan.key.clone(),
            transfer: Arc::clone(&transfer),
            end: None,
        };
        let node = node.clone();
        node.tasks().clone().spawn(async move {
            // One that everybody has left still has the destination until it has ended.
            if let Some(before) = before {
                before.ended().await;
            }
            let end = transfer::run(&node, plan, &transfer).await;
            ending.with(end);
        });
        waiter
    }
}

/// Ends a transfer for all who wait, however the work on it does: also where that panics.
/// Nobody would hear of it else, and whoever wants the same would wait for it for ever.
struct Ending {
    gets: Gets,
    key: Key,
    transfer: Arc<Transfer>,
    end: Option<Result<Got, ApiError>>,
}

impl Ending {
    fn with(mut self, end: Result<Got, ApiError>) {
        self.end = Some(end);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let end = self.end.take();
        let end = end.unwrap_or_else(|| Err(ApiError::our_fault(&"the transfer broke off")));
        let running = &self.gets.running;
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        // After the last waiter left, another transfer may have begun in its place.
        if running
            .get(&self.key)
            .is_some_and(|there| Arc::ptr_eq(there, &self.transfer))
        {
            running.remove(&self.key);
        }
        drop(running);
        self.transfer
            .state
            .send_modify(|state| state.end = Some(end));
    }
}

impl Transfer {
    fn new(stop: &CancellationToken) -> (Arc<Self>, Waiter) {
        let cancelled = stop.child_token();
        let waits = Arc::new(cancelled.clone().drop_guard());
        let state = watch::Sender::new(State::default());
        let waiter = Waiter::new(&state, Arc::clone(&waits));
        let transfer = Self {
            state,
            waiting: Arc::downgrade(&waits),
            cancelled,
        };
        (Arc::new(transfer), waiter)
    }

    /// One more who waits; nothing if the last has just left, and so the transfer is ending.
    fn join(&self) -> Option<Waiter> {
        let waits = self.waiting.upgrade()?;
        Some(Waiter::new(&self.state, waits))
    }

    async fn ended(&self) {
        let mut state = self.state.subscribe();
        let ended = state.wait_for(|state| state.end.is_some()).await;
        ended.expect("the sender is in the same struct");
    }

    pub(super) fn progress(&self, change: impl FnOnce(&mut Progress)) {
        self.state.send_modify(|state| change(&mut state.progress));
    }

    /// How far it is.
    pub(super) fn bytes_done(&self) -> u64 {
        self.state.borrow().progress.bytes_done
    }

    pub(super) fn note(&self, note: Note) {
        self.state.send_if_modified(|state| {
            let room = state.notes.len() < NOTES_MAX;
            if room {
                state.notes.push(note);
            }
            room
        });
    }
}

impl Waiter {
    fn new(state: &watch::Sender<State>, waits: Arc<DropGuard>) -> Self {
        let mut state = state.subscribe();
        state.mark_changed();
        Self {
            state,
            notes_heard: 0,
            progress_heard: Progress::default(),
            waits: Some(waits),
        }
    }

    /// What happened next. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Event<Got>, ApiError> {
        loop {
            {
                let state = self.state.borrow_and_update();
                if let Some(note) = state.notes.get(self.notes_heard) {
                    self.notes_heard += 1;
                    return Ok(Event::Note(note.clone()));
                }
                if state.progress != self.progress_heard {
                    self.progress_heard = state.progress.clone();
                    return Ok(Event::Progress(state.progress.clone()));
                }
                if let Some(end) = &state.end {
                    return end.clone().map(Event::Done);
                }
            }
            if self.state.changed().await.is_err() {
                return Err(ApiError::our_fault(&"the transfer ended without a result"));
            }
        }
    }

    /// Waits no more. If nobody else does, the transfer leaves things in order first.
    pub(super) async fn leave(mut self) {
        let last = self
            .waits
            .take()
            .is_some_and(|waits| Arc::into_inner(waits).is_some());
        while last && self.state.borrow_and_update().end.is_none() {
            if self.state.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures::FutureExt;

    use super::super::dest::{Names, Wish};
    use super::*;
    use crate::api::ErrorKind;

    fn got() -> Got {
        Got {
            snapshot: shoal_protocol::id::SnapshotId::of(b"x"),
            dest: "/x".into(),
            entries: 0,
            bytes: 0,
            bytes_reused: 0,
            files_written: 0,
            files_removed: 0,
            wire_in: 0,
            wire_out: 0,
            elapsed_ms: 0,
        }
    }

    #[tokio::test]
    async fn whoever_joins_late_hears_everything() {
        let (transfer, mut first) = Transfer::new(&CancellationToken::new());
        transfer.note(Note {
            level: crate::api::Level::Info,
            message: "resuming".to_owned(),
            hint: None,
        });
        assert!(matches!(first.next().await, Ok(Event::Note(_))));
        let mut second = transfer.join().expect("the first waits");
        assert!(matches!(second.next().await, Ok(Event::Note(_))));
        transfer.progress(|p| p.bytes_done = 7);
        transfer
            .state
            .send_modify(|state| state.end = Some(Ok(got())));
        for waiter in [&mut first, &mut second] {
            assert!(matches!(waiter.next().await, Ok(Event::Progress(p)) if p.bytes_done == 7));
            assert!(matches!(waiter.next().await, Ok(Event::Done(_))));
        }
    }

    #[tokio::test]
    async fn a_transfer_ends_when_the_last_has_left_and_not_before() {
        let (transfer, first) = Transfer::new(&CancellationToken::new());
        let second = transfer.join().expect("the first waits");
        first.leave().await;
        assert!(!transfer.cancelled.is_cancelled());
        drop(second);
        assert!(transfer.cancelled.is_cancelled());
        assert!(transfer.join().is_none(), "whoever comes now begins anew");
    }

    async fn broken() -> Result<Got, ApiError> {
        panic!("a mistake of ours")
    }

    #[tokio::test]
    async fn a_transfer_that_panics_ends_for_all_and_makes_room_for_another() {
        let (gets, snapshot) = (Gets::default(), got().snapshot);
        let names = Names {
            inside: None,
            name: None,
            snapshot: &snapshot,
        };
        let key = Key {
            snapshot,
            inside: None,
            wish: Wish::new(Path::new("/"), None, names),
            force: false,
            sync: false,
        };
        let (transfer, mut waiter) = Transfer::new(&CancellationToken::new());
        let other = transfer.join().expect("the first waits");
        let running = || gets.running.lock().unwrap_or_else(PoisonError::into_inner);
        running().insert(key.clone(), Arc::clone(&transfer));
        let ending = Ending {
            gets: gets.clone(),
            key,
            transfer,
            end: None,
        };
        let work = async move {
            let end = broken().await;
            ending.with(end);
        };
        assert!(tokio::spawn(work).await.is_err());
        let heard = waiter.next().now_or_never().expect("it has ended");
        assert!(heard.is_err_and(|error| error.kind == ErrorKind::Error));
        drop(waiter);
        let left = other.leave().now_or_never();
        assert!(left.is_some(), "the last to leave does not wait for it");
        assert!(running().is_empty(), "equal gets begin anew");
    }
}
