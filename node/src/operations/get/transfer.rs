//! One transfer, from the first look at the destination to the last name in it.
//!
//! Owns: the order of steps; whether anybody has to be asked at all; waiting for room (a
//! daemon) or saying that there is none (a command). Refuses: bytes; they go from
//! [`Swarm::fetch`](crate::data::Swarm::fetch) to [`Receive`] by themselves; and to find words,
//! which [`telling`](super::telling) does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_protocol::manifest::EntryKind;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::size::Size;
use shoal_protocol::snapshot::Shape;
use shoal_store::Store;
use shoal_store::index::{AbsolutePath, AudienceId, Coverage, Origin, SnapshotRow};
use shoal_store::receive::{Next, Receive, ReceiveError, ReceiveRequest};
use tokio_util::sync::CancellationToken;

use super::coalesce::Transfer;
use super::elsewhere::Elsewhere;
use super::telling::{tell, wire};
use super::turns::Turn;
use super::{Plan, not_whole};
use crate::api::{ApiError, ErrorKind, Got, Level, Note, Phase};
use crate::data::{Access, FetchEvent, SwarmOptions};
use crate::node::{Node, blocking, unix_now_s};
use crate::operations::source::Source;
use crate::plane::Dialled;
use crate::shares::{Record, Role};

/// How long a daemon waits for room before it looks again.
pub(super) const ROOM_RETRY: Duration = Duration::from_secs(5);

/// Does what `plan` says and tells `transfer` how it goes.
pub(super) async fn run(
    node: &Node,
    plan: Plan,
    transfer: &Arc<Transfer>,
) -> Result<Got, ApiError> {
    let work = Work {
        began: Instant::now(),
        node,
        plan: &plan,
        transfer,
    };
    let mut waited = Duration::ZERO;
    loop {
        let held = transfer.bytes_done();
        match work.attempt().await {
            Err(error) if error.is_no_space() && node.is_daemon() => {
                if transfer.bytes_done() > held {
                    waited = Duration::ZERO;
                }
                if plan.timeout.is_some_and(|timeout| waited >= timeout) {
                    return Err(error);
                }
                if waited == Duration::ZERO {
                    work.warn(format!("{error}; it goes on when there is room"), None);
                }
                work.wait_for_room(&error).await?;
                waited += ROOM_RETRY;
            }
            end => return end,
        }
    }
}

/// What a transfer is about.
pub(super) struct Work<'a> {
    began: Instant,
    node: &'a Node,
    plan: &'a Plan,
    pub(super) transfer: &'a Arc<Transfer>,
}

impl Work<'_> {
    async fn attempt(&self) -> Result<Got, ApiError> {
        let _turn = self.turn().await?;
        let row = self.row().await?;
        let is_whole = row
            .as_ref()
            .is_some_and(|row| row.held == Coverage::Complete);
        let mut swarm = match is_whole {
            false if self.plan.ticket.is_some() || self.plan.as_member => {
                Some(self.sources().await?)
            }
            _ => None,
        };
        let snapshot = match (&row, &swarm) {
            (Some(row), _) => row.snapshot,
            (None, Some(swarm)) => {
                let told = async { Ok(swarm.snapshot().await?) };
                let told = self.while_permitted(told).await;
                told.map_err(|error| self.nobody_has_it(error))?
            }
            (None, None) => return Err(not_whole(&self.plan.key.snapshot)),
        };
        self.transfer.progress(|p| p.phase = Phase::Planning);
        let source = Source {
            id: self.plan.key.snapshot,
            snapshot,
            inside: self.plan.key.inside.clone(),
            store: self.node.store()?,
            swarm: swarm.clone(),
        };
        let wish = self.plan.key.wish.clone();
        let dest = blocking(move || {
            let shape = shape(&source)?;
            let lone = lone_name(&source)?;
            Ok::<_, ApiError>(wish.resolve(shape, lone.as_deref()))
        })
        .await?;
        let receive = Arc::new(self.open(snapshot, dest).await?);
        // What has come is offered to others who fetch the same.
        let _hold = self.node.shares().hold(snapshot);

        self.transfer.progress(|p| p.phase = Phase::Transferring);
        if swarm.is_none() && !self.filled_locally(&receive).await? {
            // Files that held the bytes have changed since.
            if self.plan.ticket.is_none() && !self.plan.as_member {
                return Err(not_whole(&snapshot.id()));
            }
            swarm = Some(self.sources().await?);
        }
        let mut wire = (0, 0);
        if let Some(swarm) = &swarm {
            self.present_earlier(swarm, &receive);
            wire = self.fetch(swarm, &receive).await?;
        }

        self.transfer.progress(|p| p.phase = Phase::Finishing);
        let (sync, finishing) = (self.plan.key.sync, Arc::clone(&receive));
        let received = blocking(move || finishing.finish(sync)).await?;
        self.node.plane().offer_changed(&snapshot.id()).await;
        self.node.announce(snapshot.id()).await;
        if !sync {
            self.sync_later();
        }
        for warning in &received.warnings {
            self.warn(warning.clone(), None);
        }
        Ok(Got {
            snapshot: snapshot.id(),
            dest: receive.dest().to_owned(),
            entries: received.progress.entries_total,
            bytes: received.progress.bytes_total,
            bytes_reused: received.progress.bytes_reused + received.progress.bytes_resumed,
            files_written: received.progress.entries_written,
            files_removed: received.removed,
            wire_in: wire.0,
            wire_out: wire.1,
            elapsed_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Fetches what is not here, through other artifacts as well where nobody can send it in
    /// this one. Gives the bytes that sockets received and sent.
    async fn fetch(
        &self,
        swarm: &Arc<Dialled>,
        receive: &Arc<Receive>,
    ) -> Result<(u64, u64), ApiError> {
        let fetch = swarm.fetch(Arc::clone(receive));
        let fetch = self.watch(fetch, receive, Some(swarm));
        let fetch = self.while_permitted(fetch);
        let Some(elsewhere) = Elsewhere::of(self.node, swarm, receive, &self.options())? else {
            fetch.await?;
            return Ok(wire(swarm));
        };
        let moved = elsewhere.moved();
        tokio::select! {
            fetched = fetch => fetched?,
            never = elsewhere.run() => match never {},
        };
        if moved.bytes() > 0 {
            let bytes = Size(moved.bytes());
            self.transfer.note(Note {
                level: Level::Info,
                message: format!("{bytes} came from other artifacts that hold the same"),
                hint: None,
            });
        }
        let (here, there) = (wire(swarm), moved.wire());
        Ok((here.0 + there.0, here.1 + there.1))
    }

    /// Says it of the team, where members were looked for and nobody was found.
    fn nobody_has_it(&self, error: ApiError) -> ApiError {
        if !self.plan.as_member || error.kind != ErrorKind::NoSource {
            return error;
        }
        let id = self.plan.key.snapshot.short();
        let message = format!(
            "no member who could be reached has {id} ({})",
            error.message
        );
        ApiError::new(ErrorKind::NoSource, message).hint(
            "was it added with --private, or is who has it off? `shoal whereis` asks who has it, \
             `shoal peers` shows who is connected; the same command goes on where it stopped",
        )
    }

    /// Does `work`, which gives up when this node is a member no more and goes on as one.
    async fn while_permitted<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        if !self.plan.as_member {
            return work.await;
        }
        tokio::select! {
            done = work => done,
            out = self.node.team().out() => Err(out.into()),
        }
    }

    /// Waits until no other get transfers this snapshot, as long as that one gets on. One that
    /// wants a part of it does not wait: that part may be the last of what the other brings.
    async fn turn(&self) -> Result<Option<Turn>, ApiError> {
        let key = &self.plan.key;
        if key.inside.is_some() {
            return Ok(None);
        }
        let turn = self.node.gets().turns().take(key.snapshot, || {
            let other = "another get of the same version".to_owned();
            self.transfer.progress(|p| p.waiting_for = Some(other));
        });
        let mut turn = std::pin::pin!(turn);
        let mut held = None;
        let turn = loop {
            tokio::select! {
                turn = &mut turn => break Some(turn),
                () = self.transfer.cancelled.cancelled() => return Err(ApiError::interrupted()),
                () = patience(self.plan.timeout) => {}
            }
            let row = self.row().await?;
            let now = row.map(|row| row.held.bytes(row.snapshot.bytes));
            if now == held {
                break None;
            }
            held = now;
        };
        self.transfer.progress(|p| p.waiting_for = None);
        Ok(turn)
    }

    /// What is known of the snapshot here.
    async fn row(&self) -> Result<Option<SnapshotRow>, ApiError> {
        let (store, id) = (self.node.store()?, self.plan.key.snapshot);
        blocking(move || store.view().snapshot(&id)).await
    }

    /// Opens the door to others who fetch the same. Without one this get does as well.
    async fn listen(&self) {
        if let Err(error) = self.node.plane().listen(self.node.is_daemon()).await {
            tracing::warn!(%error, "others cannot fetch from here");
        }
    }

    /// Connects to whom a ticket names, or to members of the team who are found to have it.
    async fn sources(&self) -> Result<Arc<Dialled>, ApiError> {
        self.listen().await;
        let access = match &self.plan.ticket {
            Some(ticket) => self.node.access(ticket)?,
            None => self.node.access_as_member(self.plan.key.snapshot),
        };
        let swarm = self.dial(access)?;
        if self.plan.ticket.is_none() {
            let finding = self.node.finding().await?;
            let whom = "a member of the team who has it".to_owned();
            self.transfer.progress(|p| p.waiting_for = Some(whom));
            self.node
                .look_for_sources(finding, self.plan.key.snapshot, &swarm);
        }
        Ok(swarm)
    }

    fn options(&self) -> SwarmOptions {
        SwarmOptions {
            timeout: self.plan.timeout,
            cancelled: self.transfer.cancelled.clone(),
            down: self.plan.down_max,
        }
    }

    fn dial(&self, access: Access) -> Result<Arc<Dialled>, ApiError> {
        let options = self.options();
        let (transfer, node) = (Arc::clone(self.transfer), self.node.clone());
        let snapshot = self.plan.key.snapshot;
        let swarm = self
            .node
            .plane()
            .swarm(access, options, move |event| match event {
                FetchEvent::Checkpoint => {
                    let node = node.clone();
                    let told = async move { node.plane().offer_changed(&snapshot).await };
                    tokio::spawn(told);
                }
                event => tell(&node, &transfer, event),
            })?;
        Ok(Arc::new(swarm))
    }

    /// Has the sources told which earlier versions stand in the destination and were got by
    /// leave of the same issuer, so that only what changed must travel.
    fn present_earlier(&self, swarm: &Dialled, receive: &Receive) {
        for earlier in receive.earlier_versions() {
            if self.plan.ticket.is_none() {
                swarm.present(self.node.access_as_member(earlier));
            } else if let Some(ticket) = self.node.shares().used_ticket(&earlier)
                && let Ok(access) = self.node.access(&ticket)
            {
                swarm.present(access);
            }
        }
    }

    /// Records by whose leave the snapshot comes, and opens the destination.
    async fn open(
        &self,
        snapshot: shoal_protocol::snapshot::Snapshot,
        dest: std::path::PathBuf,
    ) -> Result<Receive, ApiError> {
        let (store, node) = (self.node.store()?, self.node.clone());
        let (key, ticket) = (self.plan.key.clone(), self.plan.ticket.clone());
        blocking(move || {
            let issuer = match &ticket {
                Some(ticket) => Some(ticket.grant().grant.issuer),
                None => node.team().root(),
            };
            let row = row_of(
                &store,
                snapshot,
                &dest,
                issuer.filter(|i| *i != node.peer()),
            )?;
            // Only if it came by the issuer's leave: else whoever knows the id of something
            // that is here could make a ticket for it, and read it from those who use that.
            let leave = store.view().audience_peer(row.audience);
            if let Some(ticket) = ticket.filter(|_| leave.is_some() && leave == issuer) {
                let record = Record {
                    ticket,
                    role: Role::Used,
                    name: Some(dest.display().to_string()),
                    by_daemon: node.is_daemon(),
                };
                node.shares().remember(&store, record)?;
                if node.is_daemon() {
                    node.shares().keep(snapshot);
                }
            }
            let request = ReceiveRequest {
                snapshot: key.snapshot,
                dest,
                audience: row.audience,
                force: key.force,
                inside: key.inside,
            };
            Ok::<_, ApiError>(store.receive(request)?)
        })
        .await
    }

    /// Fills the destination from what is here; whether that was all of it.
    async fn filled_locally(&self, receive: &Arc<Receive>) -> Result<bool, ApiError> {
        let (filling, cancelled) = (Arc::clone(receive), self.transfer.cancelled.clone());
        let fill = blocking(move || fill(&filling, &cancelled));
        let cancel = async {
            self.transfer.cancelled.cancelled().await;
            receive.cancel();
            std::future::pending().await
        };
        tokio::select! {
            filled = self.watch(fill, receive, None) => filled,
            never = cancel => never,
        }
    }

    /// A daemon sees to it that what was got survives a power cut; a command does not wait
    /// for that unless `--sync` says so.
    fn sync_later(&self) {
        if !self.node.is_daemon() {
            return;
        }
        let node = self.node.clone();
        self.node.tasks().spawn(async move {
            let Ok(store) = node.store() else { return };
            if let Err(error) = blocking(move || store.sync_unsynced()).await {
                tracing::warn!(%error, "what was got is not synced to disk yet");
            }
        });
    }
}

/// How long to wait without progress; for ever, if nothing.
async fn patience(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// The snapshot's row, made if it is new here.
fn row_of(
    store: &Store,
    snapshot: shoal_protocol::snapshot::Snapshot,
    dest: &std::path::Path,
    issuer: Option<PeerKey>,
) -> Result<SnapshotRow, ApiError> {
    if let Some(row) = store.view().snapshot(&snapshot.id())? {
        return Ok(row);
    }
    let dest = AbsolutePath::new(dest).ok_or_else(|| {
        ApiError::new(
            ErrorKind::Usage,
            format!("{} is not a plain absolute path", dest.display()),
        )
    })?;
    let batch = store.begin();
    let row = SnapshotRow {
        snapshot,
        kept: false,
        audience: match issuer {
            Some(issuer) => batch.audience(&issuer),
            None => AudienceId::SELF,
        },
        origin: Origin::Received { dest },
        at_unix_s: unix_now_s(),
        held: Coverage::Ranges(Vec::new()),
        offered: Coverage::Ranges(Vec::new()),
    };
    batch.put_snapshot(row.clone());
    batch.commit(false)?;
    Ok(row)
}

/// Whether what is asked for is a file or a folder.
fn shape(source: &Source) -> Result<Shape, ApiError> {
    let Some(inside) = &source.inside else {
        return Ok(source.snapshot.shape);
    };
    let found = source.entry_at(inside)?;
    let is_it = found.item.path == *inside && found.item.kind != EntryKind::EmptyDirectory;
    Ok(if is_it { Shape::File } else { Shape::Folder })
}

/// What an artifact that is one file calls that file.
fn lone_name(source: &Source) -> Result<Option<String>, ApiError> {
    if source.inside.is_some() || source.snapshot.shape == Shape::Folder {
        return Ok(None);
    }
    let entry = source.lone_entry()?;
    Ok(Some(entry.item.path.file_name().to_owned()))
}

/// Fills the destination from this disk; `false` if something is not here.
fn fill(receive: &Receive, cancelled: &CancellationToken) -> Result<bool, ApiError> {
    let next = match cancelled.is_cancelled() {
        true => Err(ReceiveError::Cancelled),
        false => receive.next(),
    };
    match next {
        Ok(Next::Done) => Ok(true),
        Ok(Next::Run(run)) => {
            receive.give_back(run.id);
            Ok(false)
        }
        Ok(Next::Pages(_) | Next::Wait | Next::WaitForLast) => Ok(false),
        Err(ReceiveError::Cancelled) => {
            receive.checkpoint()?;
            Err(ApiError::interrupted())
        }
        Err(error) => Err(error.into()),
    }
}
