//! Which files are known to be on the medium.
//!
//! Owns: epochs. A file row that is written while its bytes are not yet synced carries the
//! current epoch; a sync ends the epoch, and with one small row makes all its files trusted;
//! a restart of the machine makes the files of the epochs that were not synced suspect,
//! without touching their rows. (When only the process stops, what it had written stays.) Refuses: to sync anything itself.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bincode::{Decode, Encode};

use super::rows::{FileState, RootId};

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
    /// The roots beneath which files were written in epochs that are not synced.
    roots: BTreeSet<(u32, u32)>,
    /// The run of the machine in which `used` was written.
    boot: Option<String>,
}

impl Epochs {
    /// The epoch that a row written now belongs to.
    pub(crate) fn current(&self) -> u32 {
        self.used.max(self.synced.max(self.ended) + 1)
    }

    /// Notes that a file beneath `root` is written, unsynced; gives its epoch.
    pub(crate) fn note(&mut self, root: RootId) -> u32 {
        self.used = self.current();
        self.roots.insert((self.used, root.0));
        self.used
    }

    /// The roots that must be synced to end all epochs up to `epoch`.
    pub(crate) fn roots(&self, epoch: u32) -> BTreeSet<RootId> {
        let until = self.roots.range(..=(epoch, u32::MAX));
        until.map(|(_, root)| RootId(*root)).collect()
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
        let mut after = self.clone();
        after.synced = self.synced.max(epoch);
        after.roots = self.roots.clone().split_off(&(epoch + 1, 0));
        after
    }

    /// What is known when the index is opened again, in a run of the machine. If it is
    /// another one, or cannot be told, open epochs are lost.
    pub(crate) fn reopened(&self, boot: Option<String>) -> Self {
        let same = boot.is_some() && boot == self.boot;
        let mut after = Self {
            boot,
            ..self.clone()
        };
        if self.is_open() && !same {
            let first = self.synced + 1;
            match after.suspect.last_mut() {
                Some((_, last)) if *last + 1 == first => *last = self.used,
                _ => after.suspect.push((first, self.used)),
            }
            after.synced = self.used;
            after.roots.clear();
        }
        after
    }

    /// Whether there were losses of which `before` does not know.
    pub(crate) fn lost_since(&self, before: &Self) -> bool {
        self.suspect != before.suspect
    }

    /// Whether files may be suspect.
    pub(crate) fn any_suspect(&self) -> bool {
        !self.suspect.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_makes_only_unsynced_epochs_suspect() {
        let boot = |name: &str| Some(name.to_owned());
        let mut epochs = Epochs::default().reopened(boot("one"));
        let first = epochs.note(RootId(7));
        let judge = |epochs: &Epochs, epoch| epochs.judge(StoredState::WrittenIn(epoch));
        assert_eq!(judge(&epochs, first), FileState::Unsynced);
        epochs.end(first);
        assert!(epochs.is_open());
        let second = epochs.note(RootId(8));
        assert!(second > first);
        assert_eq!(epochs.roots(first), BTreeSet::from([RootId(7)]));
        let epochs = epochs.after_sync(first);
        assert_eq!(epochs.roots(second), BTreeSet::from([RootId(8)]));
        assert_eq!(judge(&epochs, first), FileState::Trusted);
        let same = epochs.reopened(boot("one"));
        assert_eq!(judge(&same, second), FileState::Unsynced);
        for other in [boot("two"), None] {
            let other = epochs.reopened(other);
            assert_eq!(judge(&other, first), FileState::Trusted);
            assert_eq!(judge(&other, second), FileState::Suspect);
            assert!(other.current() > second);
        }
        let unknown = epochs.reopened(None);
        assert_eq!(unknown.reopened(None), unknown);
        assert_eq!(epochs.judge(StoredState::Synced), FileState::Trusted);
        assert_eq!(epochs.judge(StoredState::Suspect), FileState::Suspect);
    }
}
