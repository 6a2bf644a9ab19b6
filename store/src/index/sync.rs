//! Which files are known to be on the medium.
//!
//! Owns: epochs. A file row that is written while its bytes are not yet synced carries the
//! current epoch; a sync ends the epoch, and with one small row makes all its files trusted;
//! an unclean stop makes the files of the epochs that were not synced suspect, without
//! touching their rows. Refuses: to sync anything itself.

use std::ops::RangeInclusive;

use bincode::{Decode, Encode};

use super::rows::FileState;

/// How a file row says whether its bytes are on the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredState {
    /// They were when it was written.
    Synced,
    /// They must be hashed whatever happens.
    Suspect,
    /// They were not yet, in this epoch.
    WrittenIn(u32),
}

impl StoredState {
    /// The state without any knowledge of syncs.
    pub(crate) fn unjudged(self) -> FileState {
        match self {
            Self::Synced => FileState::Trusted,
            Self::Suspect => FileState::Suspect,
            Self::WrittenIn(_) => FileState::Unsynced,
        }
    }
}

/// What is known of the epochs. Stands in the index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Epochs {
    /// The newest epoch that a row was written in.
    pub(crate) used: u32,
    /// Everything up to this epoch is on the medium, or suspect.
    pub(crate) synced: u32,
    /// Nothing more is written in this epoch and those before.
    ended: u32,
    /// Epochs that ended without a sync.
    suspect: Vec<(u32, u32)>,
}

impl Epochs {
    /// The epoch that a row written now belongs to.
    pub(crate) fn current(&self) -> u32 {
        self.used.max(self.synced.max(self.ended) + 1)
    }

    /// Whether some epoch awaits its sync.
    pub(crate) fn is_open(&self) -> bool {
        self.used > self.synced
    }

    /// What a stored state means now.
    pub(crate) fn judge(&self, state: StoredState) -> FileState {
        let StoredState::WrittenIn(epoch) = state else {
            return state.unjudged();
        };
        let lost = |&(first, last): &(u32, u32)| RangeInclusive::new(first, last).contains(&epoch);
        if self.suspect.iter().any(lost) {
            FileState::Suspect
        } else if epoch <= self.synced {
            FileState::Trusted
        } else {
            FileState::Unsynced
        }
    }

    /// Lets rows that are written from now on have an epoch behind this one.
    pub(crate) fn end(&mut self, epoch: u32) {
        self.ended = self.ended.max(epoch);
    }

    /// What is known once everything up to `epoch` has been synced.
    pub(crate) fn after_sync(&self, epoch: u32) -> Self {
        Self {
            synced: self.synced.max(epoch),
            ..self.clone()
        }
    }

    /// What is known after a stop: open epochs are lost.
    pub(crate) fn after_stop(&self) -> Self {
        let mut after = self.clone();
        if self.is_open() {
            let first = self.synced + 1;
            match after.suspect.last_mut() {
                Some((_, last)) if *last + 1 == first => *last = self.used,
                _ => after.suspect.push((first, self.used)),
            }
            after.synced = self.used;
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_makes_only_unsynced_epochs_suspect() {
        let mut epochs = Epochs::default();
        let first = epochs.current();
        epochs.used = first;
        assert_eq!(
            epochs.judge(StoredState::WrittenIn(first)),
            FileState::Unsynced
        );
        let mut ended = epochs.clone();
        ended.end(first);
        assert!(ended.current() > first && ended.is_open());
        let mut epochs = epochs.after_sync(first);
        assert_eq!(
            epochs.judge(StoredState::WrittenIn(first)),
            FileState::Trusted
        );
        let second = epochs.current();
        assert!(second > first);
        epochs.used = second;
        let epochs = epochs.after_stop();
        assert_eq!(
            epochs.judge(StoredState::WrittenIn(first)),
            FileState::Trusted
        );
        assert_eq!(
            epochs.judge(StoredState::WrittenIn(second)),
            FileState::Suspect
        );
        assert_eq!(epochs.after_stop(), epochs);
        assert!(epochs.current() > second);
        assert_eq!(epochs.judge(StoredState::Synced), FileState::Trusted);
        assert_eq!(epochs.judge(StoredState::Suspect), FileState::Suspect);
    }
}
