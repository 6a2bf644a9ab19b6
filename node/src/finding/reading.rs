//! Reading the store for advertising, on a thread of its own.
//!
//! Owns: what is asked of it and waits, and handing that on without ever waiting for the thread
//! alone: it may be waiting itself, to be heard. Refuses: what to ask.

use std::collections::VecDeque;

use shoal_protocol::advert::{AdvertKey, DiscoveryKey, Input, Position};
use shoal_protocol::id::SnapshotId;
use shoal_store::adverts::{AdvertList, Offer};
use shoal_store::index::AudienceId;
use shoal_store::progress::Silent;
use shoal_store::{Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::Shared;
use super::shown::Shown;

/// Other keys of one new snapshot that are looked at. One more than the machine collects: of a
/// larger snapshot it learns that there are more, and the sweep that brings them begins early.
const OTHERS_MAX: usize = 16_384 + 1;
/// What the thread has before it; what more is asked waits here, and new snapshots are taken
/// up when nothing does.
const READS_MAX: usize = 16;

/// What the thread that reads the store is asked.
pub(super) enum Read {
    Headlines {
        keys_max: usize,
    },
    Snapshot(SnapshotId),
    List {
        keys_max: u64,
    },
    Limit {
        keys_max: u64,
    },
    Load {
        from: Position,
        to: Position,
        keys_max: usize,
    },
}

/// Asks the thread. It ends when this is dropped.
pub(super) struct Reader {
    reads: mpsc::Sender<Read>,
    /// What the machine asks, one step of a sweep at a time, and what comes of new members.
    waiting: VecDeque<Read>,
}

impl Reader {
    /// The reader of the node's store, for an epoch with this key. What it reads goes to
    /// `inputs`.
    pub(super) fn of_store(
        shared: &Shared,
        key: DiscoveryKey,
        shown: &Shown,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let (store, team) = (shared.store.clone(), shared.team.root());
        let shown = shown.clone();
        shown.clear();
        let mut list = None;
        Self::start(READS_MAX, inputs, move |read| {
            let view = store.view();
            let of_team = |audience: AudienceId| view.audience_peer(audience) == team;
            let offer = Offer {
                secret: &key,
                may_offer: &of_team,
            };
            let lists = matches!(read, Read::List { .. } | Read::Limit { .. });
            let said = match answer(&store, &offer, &mut list, read) {
                Ok(said) => said,
                Err(error) => {
                    tracing::warn!(%error, "what is here cannot be listed");
                    vec![Input::LoadFailed]
                }
            };
            if lists {
                shown.listed(list.as_ref());
            }
            said
        })
    }

    /// A thread that reads one thing after the other.
    fn start(
        reads_max: usize,
        inputs: mpsc::Sender<Input>,
        mut read: impl FnMut(Read) -> Vec<Input> + Send + 'static,
    ) -> Self {
        let (reads, mut asked) = mpsc::channel(reads_max);
        spawn_blocking(move || {
            while let Some(next) = asked.blocking_recv() {
                for input in read(next) {
                    if inputs.blocking_send(input).is_err() {
                        return;
                    }
                }
            }
        });
        Self {
            reads,
            waiting: VecDeque::new(),
        }
    }

    /// Has something read.
    pub(super) fn ask(&mut self, read: Read) {
        self.waiting.push_back(read);
    }

    /// The next that happened, while the thread is given what waits, and what was added.
    /// Cancel safe. A sender for `happened` must be there.
    pub(super) async fn next(
        &mut self,
        happened: &mut mpsc::Receiver<Input>,
        added: &mut mpsc::Receiver<SnapshotId>,
    ) -> Input {
        loop {
            let is_idle = self.waiting.is_empty();
            tokio::select! {
                input = happened.recv() => return input.expect("a sender is here"),
                // The thread ends with the advertising.
                Ok(room) = self.reads.reserve(), if !is_idle => {
                    room.send(self.waiting.pop_front().expect("something waits"));
                }
                Some(snapshot) = added.recv(), if is_idle => {
                    self.waiting.push_back(Read::Snapshot(snapshot));
                }
            }
        }
    }
}

fn answer(
    store: &Store,
    offer: &Offer<'_>,
    list: &mut Option<AdvertList>,
    read: Read,
) -> Result<Vec<Input>, StoreError> {
    Ok(match read {
        Read::Headlines { keys_max } => vec![Input::Announce(offer.headlines(store, keys_max)?)],
        Read::Snapshot(id) => {
            let headline = offer.of_snapshot(store, &id, OTHERS_MAX)?;
            let keys = |subjects: Vec<_>| -> Vec<AdvertKey> {
                subjects.into_iter().map(|s| offer.secret.key(s)).collect()
            };
            vec![
                Input::Announce(keys(headline.announced)),
                Input::Added(keys(headline.others)),
            ]
        }
        Read::List { keys_max } => {
            *list = AdvertList::new(store, offer, keys_max, &Silent)?;
            Vec::new()
        }
        Read::Limit { keys_max } => {
            if let Some(list) = list {
                list.limit(keys_max);
            }
            Vec::new()
        }
        Read::Load { from, to, keys_max } => match list {
            Some(list) => {
                let (keys, is_all) = list.load(from, to, keys_max)?;
                vec![Input::Loaded { keys, is_all }]
            }
            None => vec![Input::LoadFailed],
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The thread has two things to say of each that it is asked, and room for one.
    #[tokio::test]
    async fn the_thread_and_who_asks_it_never_wait_for_each_other() {
        const COUNT: usize = 1000;
        let (inputs, mut happened) = mpsc::channel(1);
        let mut reader = Reader::start(1, inputs.clone(), |_| {
            vec![Input::LoadFailed, Input::LoadFailed]
        });
        let (adds, mut added) = mpsc::channel(COUNT);
        for _ in 0..COUNT {
            adds.try_send(SnapshotId::of(b"new")).expect("room for all");
            reader.ask(Read::Limit { keys_max: 1 });
        }
        let hears_all = async {
            for _ in 0..4 * COUNT {
                reader.next(&mut happened, &mut added).await;
            }
        };
        let patience = Duration::from_secs(60);
        let heard = tokio::time::timeout(patience, hears_all).await;
        heard.expect("nobody waits for ever");
    }
}
