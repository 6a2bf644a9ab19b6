//! An artifact to look into: what is not here comes through those who serve it.
//!
//! Owns: the choice whether anybody has to be asked, and page by page asking. Refuses: chunks.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use shoal_protocol::access::Ticket;
use shoal_protocol::advert::Subject;
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::manifest::Entry;
use shoal_protocol::paged_list::{Cursor, PageSource, Placed};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::{Shape, Snapshot};
use shoal_store::Store;
use shoal_store::index::{Coverage, SnapshotRow, View};
use tokio_util::sync::CancellationToken;

use crate::api::{ApiError, ErrorKind, What};
use crate::data::{Access, FetchEvent, SwarmOptions};
use crate::finding::{Finding, Sighting, Until};
use crate::node::{Node, blocking, unix_now_s};
use crate::plane::Dialled;
use crate::resolve::{Target, not_here};

/// An artifact, or a part of one, that can be read. Clones share their connections.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) id: SnapshotId,
    pub(super) snapshot: Snapshot,
    pub(super) inside: Option<ManifestPath>,
    pub(super) store: Store,
    /// Those who serve it; nobody if it is here.
    pub(super) swarm: Option<Arc<Dialled>>,
}

/// How soon members are looked for again who have something; doubles up to the second.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// The same for looks that do not wait for the silent; doubles, and ends behind the second.
const LOOK_QUICKLY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));

impl Node {
    /// Looks up an artifact to be read, and connects to those who serve it if it is not here.
    pub(super) async fn source(
        &self,
        what: &What,
        timeout_s: Option<u64>,
        cancelled: &CancellationToken,
        events: impl Fn(&FetchEvent) + Send + Sync + 'static,
    ) -> Result<Source, ApiError> {
        let (store, what) = (self.store()?, what.clone());
        let view = store.view();
        let (target, row) = blocking(move || {
            let target = Target::of_artifact(&view, &what)?;
            let row = match target.snapshot() {
                Some(id) => view.snapshot(&id)?,
                None => None,
            };
            Ok::<_, ApiError>((target, row))
        })
        .await?;
        let id = target.snapshot().expect("`of_artifact` gives no paths");
        let (inside, ticket) = match target {
            Target::Ticket { ticket, inside } => (inside, Some(*ticket)),
            Target::Snapshot { inside, .. } => (inside, None),
            Target::Unknown { inside, .. } if self.team().is_in() => (inside, None),
            Target::Unknown { snapshot, .. } => return Err(self.out_of_team(not_here(&snapshot))),
            Target::Path(_) => unreachable!("`of_artifact` gives no paths"),
        };
        if let Some(ticket) = &ticket {
            ticket.check(unix_now_s(), &self.peer())?;
        }
        if let Some(row) = row.as_ref().filter(|row| row.held == Coverage::Complete) {
            let snapshot = row.snapshot;
            return Ok(Source {
                id,
                snapshot,
                inside,
                store,
                swarm: None,
            });
        }
        let options = SwarmOptions {
            timeout: timeout_s.map(Duration::from_secs),
            cancelled: cancelled.clone(),
            ..SwarmOptions::default()
        };
        let swarm = self.ask_others(id, ticket, options, events).await?;
        let snapshot = match (row, &swarm) {
            // Where nobody can be asked, its lists and most of its bytes may well be here.
            (Some(row), _) => row.snapshot,
            (None, Some(swarm)) => swarm.snapshot().await?,
            (None, None) => return Err(self.out_of_team(not_whole(&id))),
        };
        Ok(Source {
            id,
            snapshot,
            inside,
            store,
            swarm,
        })
    }

    /// Connects to those who serve a snapshot: whom `ticket` names, or the one that it was got
    /// with, or else members of the team who are found to have it; nothing where nobody can be
    /// asked.
    pub(super) async fn ask_others(
        &self,
        snapshot: SnapshotId,
        ticket: Option<Ticket>,
        options: SwarmOptions,
        events: impl Fn(&FetchEvent) + Send + Sync + 'static,
    ) -> Result<Option<Arc<Dialled>>, ApiError> {
        if let Some(ticket) = ticket.or_else(|| self.shares().used_ticket(&snapshot)) {
            let swarm = self.dial(&ticket, options, events)?;
            return Ok(Some(Arc::new(swarm)));
        }
        if !self.team().is_in() {
            return Ok(None);
        }
        let access = self.access_as_member(snapshot);
        let swarm = Arc::new(self.plane().swarm(access, options, events)?);
        self.look_for_sources(self.finding().await?, snapshot, &swarm);
        Ok(Some(swarm))
    }

    /// Connects to those whom a ticket names.
    pub(super) fn dial(
        &self,
        ticket: &Ticket,
        options: SwarmOptions,
        events: impl Fn(&FetchEvent) + Send + Sync + 'static,
    ) -> Result<Dialled, ApiError> {
        let access = self.access(ticket)?;
        self.plane().swarm(access, options, events)
    }

    /// What membership gives this node.
    pub(super) fn access_as_member(&self, snapshot: SnapshotId) -> Access {
        Access::of_member(snapshot, self.identity(), Vec::new(), unix_now_s())
    }

    /// Has `swarm` told of members who are said to have `snapshot`, for as long as it is there.
    pub(super) fn look_for_sources(
        &self,
        finding: Arc<Finding>,
        snapshot: SnapshotId,
        swarm: &Arc<Dialled>,
    ) {
        let expecting = swarm.expect_more();
        let over = swarm.leaving().clone();
        let swarm = Arc::downgrade(swarm);
        self.tasks().spawn(async move {
            let looking = look_again_and_again(&finding, snapshot, &swarm);
            tokio::select! {
                () = looking => {}
                () = over.cancelled() => {}
            }
            drop(expecting);
        });
    }

    /// What a ticket gives this node.
    pub(super) fn access(&self, ticket: &Ticket) -> Result<Access, ApiError> {
        Ok(Access::of_ticket(ticket, self.identity(), unix_now_s())?)
    }
}

/// Searches until nobody asked may answer any more, and again after a growing while, or as soon
/// as a member is met while nobody serves the snapshot yet. Beside the first of these searches others are
/// made that do not wait for the silent: whoever has just got it announces that now, and a
/// member that has gone would hold up the second look.
async fn look_again_and_again(finding: &Finding, snapshot: SnapshotId, swarm: &Weak<Dialled>) {
    tokio::join!(
        look_thoroughly(finding, snapshot, swarm),
        look_quickly(finding, snapshot, swarm),
    );
}

async fn look_thoroughly(finding: &Finding, snapshot: SnapshotId, swarm: &Weak<Dialled>) {
    let mut pause = LOOK_AGAIN.0;
    loop {
        let mut contacts = finding.contacts();
        look(finding, snapshot, swarm, Until::Ended).await;
        if is_served(swarm) {
            tokio::time::sleep(pause).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = contacts.next() => {}
            }
        }
        pause = (pause * 2).min(LOOK_AGAIN.1);
    }
}

async fn look_quickly(finding: &Finding, snapshot: SnapshotId, swarm: &Weak<Dialled>) {
    let mut pause = LOOK_QUICKLY.0;
    while pause <= LOOK_QUICKLY.1 {
        tokio::time::sleep(pause).await;
        if is_served(swarm) {
            return;
        }
        look(finding, snapshot, swarm, Until::Settled).await;
        pause *= 2;
    }
}

async fn look(finding: &Finding, snapshot: SnapshotId, swarm: &Weak<Dialled>, until: Until) {
    let meet = |sighting: Sighting| {
        if let Some(swarm) = swarm.upgrade() {
            swarm.meet(vec![sighting.neighbour]);
        }
    };
    let subject = [Subject::Snapshot(snapshot)];
    finding.search(&subject, until, meet).await;
}

fn is_served(swarm: &Weak<Dialled>) -> bool {
    swarm.upgrade().is_some_and(|s| !s.offers().is_empty())
}

/// Only a part is here, and no ticket to get the rest with.
pub(super) fn not_whole(id: &SnapshotId) -> ApiError {
    let message = format!(
        "{} is here in part only, and no ticket for it is known",
        id.short()
    );
    ApiError::new(ErrorKind::NoSource, message).hint("get it again with its ticket")
}

/// Reading blocks, and may wait for a peer: not for async threads.
impl PageSource for Source {
    type Error = ApiError;

    fn page(&self, id: &PageId) -> Result<Option<Arc<[u8]>>, ApiError> {
        if let Some(page) = self.store.page(id)? {
            return Ok(Some(page));
        }
        let Some(swarm) = &self.swarm else {
            return Ok(None);
        };
        let runtime = tokio::runtime::Handle::current();
        runtime.block_on(swarm.fetch_pages(vec![*id]))?;
        Ok(self.store.page(id)?)
    }
}

impl Source {
    /// A cursor at the first entry of the artifact.
    pub(super) fn entries(&self) -> Cursor<Entry> {
        let snapshot = &self.snapshot;
        Cursor::holding(
            snapshot.manifest,
            Some(snapshot.entries),
            Some(snapshot.bytes),
        )
    }

    /// The entry at `path`: itself, or the first one beneath it.
    pub(super) fn entry_at(&self, path: &ManifestPath) -> Result<Placed<Entry>, ApiError> {
        let mut cursor = self.entries();
        cursor.seek_path(path.clone());
        cursor
            .next(self)?
            .filter(|found| found.item.path.is_within(path))
            .ok_or_else(|| {
                let message = format!("{} has nothing at `{path}`", self.id.short());
                ApiError::new(ErrorKind::NotFound, message).hint(format!(
                    "`shoal ls {}` shows what is there",
                    self.id.short()
                ))
            })
    }

    /// The entry that is asked for: the one at `inside`, or the only one of a lone file.
    pub(super) fn lone_entry(&self) -> Result<Placed<Entry>, ApiError> {
        match (&self.inside, self.snapshot.shape) {
            (Some(path), _) => self.entry_at(path),
            (None, Shape::File) => self.entries().next(self)?.ok_or_else(|| {
                ApiError::new(
                    ErrorKind::Integrity,
                    format!("{} has no file", self.id.short()),
                )
            }),
            (None, Shape::Folder) => Err(ApiError::new(
                ErrorKind::Usage,
                format!("{} is a folder", self.id.short()),
            )
            .hint("name a file in it: `…:path/of/file`; `shoal ls` shows what is there")),
        }
    }
}

/// Peers that are known to hold, or to have held, a snapshot.
pub(super) fn holders(node: &Node, view: &View, id: &SnapshotId) -> Result<Vec<String>, ApiError> {
    let row: Option<SnapshotRow> = view.snapshot(id)?;
    let mut peers = BTreeSet::new();
    if let Some(row) = row {
        peers.extend(view.audience_peer(row.audience));
    }
    if let Some(ticket) = node.shares().used_ticket(id) {
        peers.extend(ticket.sources().iter().map(|source| source.peer));
    }
    peers.remove(&node.peer());
    let team = node.team().team();
    let called = |peer: &PeerKey| match &team {
        // What is for the team came by leave of its root key, which is nobody's node.
        Some((_, root, name)) if root == peer => format!("members of team {name}"),
        _ => peer.to_string(),
    };
    Ok(peers.iter().map(called).collect())
}
