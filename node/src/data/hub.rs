//! What the tasks of a swarm share: who is connected, and how long nothing came.
//!
//! Owns: the table of sessions, the measure of patience. Refuses: connecting
//! ([`swarm`](super::swarm)).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shoal_protocol::fetch::Company;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::buffers::BufferPool;
use super::pace::Paces;
use super::session::Session;
use super::swarm::{Access, SwarmOptions};
use super::{Endpoint, FetchError, FetchEvent, Traffic};

/// Frames that came and wait for the disk. A frame counts from when all of it is here: one that
/// counted while it comes would be held by a slow source for minutes, and a few such would keep
/// all of them from whoever sends. What is not all here takes a frame a session more; with
/// [`NEIGHBOURS_MAX`](shoal_protocol::wire::limits::NEIGHBOURS_MAX) sources that is 40 MiB in all.
const BUFFERS: usize = 8;

/// A source that sends nothing that it was asked for, for so long, is passed over while there
/// is another.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// What the tasks of a swarm share.
pub(crate) struct Hub {
    pub(crate) endpoint: Endpoint,
    pub(crate) access: Access,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) buffers: BufferPool,
    events: Box<dyn Fn(FetchEvent) + Send + Sync>,
    timeout: Option<Duration>,
    pub(crate) leaving: CancellationToken,
    table: Mutex<Table>,
    pub(crate) changed: watch::Sender<u64>,
    /// The positions that no source can send.
    stranded: watch::Sender<RangeSet>,
    progress: Mutex<Instant>,
}

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) sessions: HashMap<PeerKey, Arc<Session>>,
    /// The sources that are connected or will be tried again, and those that were.
    pub(crate) company: Company,
    /// Ends the connection, or the trying, of each of them whom others told of.
    pub(crate) wanted: HashMap<PeerKey, CancellationToken>,
    /// How many still look for sources.
    pub(crate) expecting: usize,
    /// Further rights, to versions that may serve as bases.
    pub(crate) also: Vec<Access>,
    /// Why the last source that is not was given up.
    pub(crate) given_up: Option<GivenUp>,
    pub(crate) last_failure: Option<String>,
    /// What came by another way than through a session, and who brought it.
    landed: Vec<(PeerKey, Range<u64>)>,
}

impl Table {
    fn expects_more(&self) -> bool {
        self.company.in_touch() + self.expecting > self.sessions.len()
    }

    /// Leaves a source whom others told of.
    pub(crate) fn dismiss(&mut self, peer: &PeerKey) {
        if let Some(wanted) = self.wanted.remove(peer) {
            wanted.cancel();
        }
        self.sessions.remove(peer);
    }

    /// Does not try a source again; for good, or unless others tell of it again. One that was
    /// dismissed meanwhile has been left already, and may have been taken up anew.
    pub(crate) fn give_up(&mut self, peer: &PeerKey, wanted: &CancellationToken, for_good: bool) {
        if wanted.is_cancelled() {
            return;
        }
        self.wanted.remove(peer);
        match for_good {
            true => self.company.left_for_good(peer),
            false => self.company.left(peer),
        }
    }
}

/// Why a source is not tried again.
#[derive(Clone)]
pub(crate) enum GivenUp {
    Refused(String),
    Misbehaved { peer: PeerKey, why: String },
}

impl From<GivenUp> for FetchError {
    fn from(given_up: GivenUp) -> Self {
        match given_up {
            GivenUp::Refused(why) => Self::NotPermitted(why),
            GivenUp::Misbehaved { peer, why } => Self::Misbehaved { peer, why },
        }
    }
}

impl Hub {
    /// A hub without sessions.
    pub(crate) fn new(
        endpoint: &Endpoint,
        access: Access,
        options: &SwarmOptions,
        events: Box<dyn Fn(FetchEvent) + Send + Sync>,
    ) -> Self {
        Self {
            endpoint: endpoint.clone(),
            traffic: endpoint.traffic().limited_part(Paces::of(0, options.down)),
            buffers: BufferPool::new(BUFFERS),
            events,
            timeout: options.timeout,
            leaving: options.cancelled.child_token(),
            table: Mutex::new(Table {
                company: Company::of(access.sources.iter().map(|source| source.peer)),
                ..Table::default()
            }),
            changed: watch::Sender::new(0),
            stranded: watch::Sender::default(),
            progress: Mutex::new(Instant::now()),
            access,
        }
    }

    pub(crate) fn snapshot_id(&self) -> SnapshotId {
        self.access.snapshot()
    }

    pub(crate) fn tell(&self, event: FetchEvent) {
        (self.events)(event);
    }

    /// Something useful came.
    pub(crate) fn progressed(&self) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Something went wrong that may be why nothing comes.
    pub(crate) fn failed(&self, why: String) {
        self.table().last_failure = Some(why);
    }

    /// Ends when there was no progress for as long as one was ready to wait, or when the
    /// swarm is to stop; says how.
    pub(crate) async fn out_of_patience(&self) -> FetchError {
        loop {
            let since = *self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = async {
                match self.timeout {
                    Some(timeout) => tokio::time::sleep_until(since + timeout).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.leaving.cancelled() => return FetchError::Cancelled,
            }
            let now = *self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            if now == since {
                let waited = self.timeout.unwrap_or_default();
                let why = self.table().last_failure.clone();
                let why = why.unwrap_or_else(|| "no source sends anything".to_owned());
                return FetchError::TimedOut { waited, why };
            }
        }
    }

    /// The sessions that are open now.
    pub(crate) fn sessions(&self) -> HashMap<PeerKey, Arc<Session>> {
        self.table().sessions.clone()
    }

    /// Tells of every change to sessions and their offers.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changed.subscribe();
        changes.mark_changed();
        changes
    }

    /// Whether there are rights to earlier versions that sources may be told of.
    pub(crate) fn may_name_bases(&self) -> bool {
        !self.table().also.is_empty()
    }

    /// Why no source is left, if none is.
    pub(crate) fn hopeless(&self) -> Option<FetchError> {
        let table = self.table();
        if table.company.in_touch() + table.expecting > 0 {
            return None;
        }
        let given_up = table.given_up.clone();
        Some(given_up.map_or(FetchError::NoSource, FetchError::from))
    }

    /// The positions that a fetch waits for because no source can send them, as they change.
    pub(crate) fn stranded(&self) -> watch::Receiver<RangeSet> {
        self.stranded.subscribe()
    }

    /// Says which positions no source can send.
    pub(crate) fn strand(&self, positions: RangeSet) {
        self.stranded.send_if_modified(|now| {
            let is_new = *now != positions;
            *now = positions;
            is_new
        });
    }

    /// Verified chunks of `peer` were written that did not come through a session.
    pub(crate) fn landed(&self, peer: PeerKey, range: Range<u64>) {
        self.progressed();
        self.change(|table| table.landed.push((peer, range)));
    }

    /// What landed since this was asked last.
    pub(crate) fn take_landed(&self) -> Vec<(PeerKey, Range<u64>)> {
        std::mem::take(&mut self.table().landed)
    }

    /// Whether others fetch the same from this node.
    pub(crate) fn has_listeners(&self) -> bool {
        self.endpoint.crowd().is_there(&self.snapshot_id())
    }

    /// The sessions that are open now, and whether some source is not among them and will be
    /// tried again: of one moment, since who connects between two looks would be in neither.
    pub(crate) fn sessions_and_outlook(&self) -> (HashMap<PeerKey, Arc<Session>>, bool) {
        let table = self.table();
        (table.sessions.clone(), table.expects_more())
    }

    pub(crate) async fn snapshot(&self) -> Result<Snapshot, FetchError> {
        Ok(self.any_session().await?.snapshot)
    }

    /// Some session, as soon as there is one.
    pub(crate) async fn any_session(&self) -> Result<Arc<Session>, FetchError> {
        let mut changes = self.changes();
        let found = async {
            loop {
                if let Some(session) = self.table().sessions.values().next() {
                    return Ok(Arc::clone(session));
                }
                if let Some(why) = self.hopeless() {
                    return Err(why);
                }
                changes.changed().await.expect("the hub has the sender");
            }
        };
        tokio::select! {
            found = found => found,
            error = self.out_of_patience() => Err(error),
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table and tells everybody.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Table)) {
        change(&mut self.table());
        self.changed.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_up(table: &mut Table, peer: PeerKey) -> CancellationToken {
        assert!(table.company.told_of(peer, 0));
        let wanted = CancellationToken::new();
        table.wanted.insert(peer, wanted.clone());
        wanted
    }

    #[test]
    fn who_was_dismissed_is_not_left_once_more_by_its_own_end() {
        let (mut table, peer) = (Table::default(), PeerKey::from_bytes([1; 32]));
        let old = take_up(&mut table, peer);
        table.company.left(&peer);
        table.dismiss(&peer);
        assert!(old.is_cancelled());
        let new = take_up(&mut table, peer);
        table.give_up(&peer, &old, true);
        assert_eq!(table.company.in_touch(), 1, "that was the old one");
        assert!(table.wanted.contains_key(&peer));
        table.give_up(&peer, &new, false);
        assert_eq!(table.company.in_touch(), 0);
        assert!(!table.expects_more());
    }
}
