//! The store's way of telling how far it is, carried over to an operation's listener.

use shoal_store::progress::{Note, Phase, Progress};

use crate::api::{self, Reporter};

/// Hears the store and tells a [`Reporter`].
pub(super) struct Relay<I>(pub(super) Reporter<I>);

impl<I: Send> Progress for Relay<I> {
    fn phase(&self, phase: Phase) {
        let phase = match phase {
            Phase::Walking | Phase::Hashing => api::Phase::Adding,
            Phase::Planning => api::Phase::Planning,
            Phase::Transferring => api::Phase::Transferring,
            Phase::Verifying => api::Phase::Verifying,
            Phase::Syncing | Phase::Collecting => api::Phase::Finishing,
        };
        self.0.progress(|p| {
            // What was counted stands while it is finished up.
            if p.phase != phase && phase != api::Phase::Finishing {
                (p.bytes_done, p.bytes_total) = (0, None);
                (p.files_done, p.files_total) = (0, None);
            }
            p.phase = phase;
        });
    }

    fn files(&self, done: u64, total: Option<u64>) {
        self.0.progress(|p| {
            // Calls of several threads may overtake each other.
            p.files_done = p.files_done.max(done);
            p.files_total = total.or(p.files_total);
        });
    }

    fn bytes(&self, more: u64) {
        self.0.progress(|p| p.bytes_done += more);
    }

    fn total_bytes(&self, total: u64) {
        self.0.progress(|p| p.bytes_total = Some(total));
    }

    fn note(&self, note: Note) {
        match note {
            Note::Copying { .. } => self.0.info(note.to_string()),
            _ => self.0.warn(note.to_string(), None),
        }
    }

    fn cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
