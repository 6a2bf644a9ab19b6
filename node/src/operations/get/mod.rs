//! `get`: an artifact comes to its place.
//!
//! Owns: what was asked for (which ticket, which destination), one transfer for any number
//! of equal requests ([`Gets`]), one at a time of the same snapshot ([`turns`]), and serving
//! on afterwards. The transfer itself is
//! [`transfer`]'s, the destination's name [`dest`]'s.

mod coalesce;
mod dest;
mod elsewhere;
mod telling;
mod transfer;
mod turns;

use std::time::Duration;

use shoal_protocol::access::Ticket;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::path::ManifestPath;
use shoal_store::index::Coverage;

use super::source::not_whole;
use crate::api::{ApiError, ErrorKind, Event, Events, GetRequest, Got, Phase, Served};
use crate::node::{Node, blocking, unix_now_s};
use crate::resolve::{Target, not_here, subject};
pub(crate) use coalesce::Gets;
use dest::Wish;

/// Everything that decides what a transfer does; equal plans are one transfer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    snapshot: SnapshotId,
    inside: Option<ManifestPath>,
    wish: Wish,
    force: bool,
    sync: bool,
}

/// What a transfer is to do.
#[derive(Debug, Clone)]
struct Plan {
    key: Key,
    /// The right to ask others; nothing where all of it is here.
    ticket: Option<Ticket>,
    /// Whether members of the team are to be asked.
    as_member: bool,
    timeout: Option<Duration>,
    /// The most bytes a second to receive; 0 for no limit.
    down_max: u64,
}

impl Node {
    /// Fetches an artifact to its place. Its item comes when it is whole; with `linger_s` the
    /// reply goes on, serving, for that time (a daemon ends it and serves on by itself).
    pub fn get(&self, request: GetRequest) -> Events<Served, Got> {
        self.operation("get", subject(&request.what), |node, reporter| async move {
            reporter.progress(|p| p.phase = Phase::Connecting);
            let linger = request.linger_s.map(Duration::from_secs);
            let plan = node.plan(request).await?;
            let id = plan.key.snapshot;
            let mut transfer = node.gets().join(&node, plan);
            let got = loop {
                let event = tokio::select! {
                    event = transfer.next() => event?,
                    () = reporter.token().cancelled() => {
                        transfer.leave().await;
                        return Err(ApiError::interrupted());
                    }
                };
                match event {
                    Event::Progress(progress) => reporter.progress(|p| *p = progress),
                    Event::Note(note) => reporter.note(note),
                    Event::Done(got) => break got,
                    Event::Item(never) => match never {},
                    Event::Error(error) => return Err(error),
                }
            };
            reporter.item(got).await?;
            node.linger(&id, linger, &reporter).await
        })
    }

    /// Serves what was got on to others.
    async fn linger(
        &self,
        id: &SnapshotId,
        time: Option<Duration>,
        reporter: &crate::api::Reporter<Got>,
    ) -> Result<Served, ApiError> {
        let Some(time) = time else {
            return Ok(Served::default());
        };
        let (store, id) = (self.store()?, *id);
        let row = blocking(move || store.view().snapshot(&id)).await?;
        let row = row.ok_or_else(|| ApiError::our_fault(&"the snapshot is not there"))?;
        let hold = self.shares().hold(row.snapshot);
        self.plane().listen(self.is_daemon()).await?;
        if !self.is_daemon() {
            return self.serve(&hold, Some(time), reporter).await;
        }
        let stop = self.stop().clone();
        self.tasks().spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = stop.cancelled() => {}
            }
            drop(hold);
        });
        Ok(Served::default())
    }

    /// Looks up what was asked for.
    async fn plan(&self, request: GetRequest) -> Result<Plan, ApiError> {
        let (store, what) = (self.store()?, request.what.clone());
        let view = store.view();
        let (target, row) = blocking(move || {
            let target = Target::of(&view, &what)?;
            let row = target.snapshot().map(|id| view.snapshot(&id)).transpose()?;
            Ok::<_, ApiError>((target, row.flatten()))
        })
        .await?;
        let Some(snapshot) = target.snapshot() else {
            let message = format!("{} is a path: there is nothing to get", request.what.text);
            return Err(ApiError::new(ErrorKind::Usage, message)
                .hint("`get` takes a ticket, an id or a name; `shoal add` keeps a path"));
        };
        let is_whole = row
            .as_ref()
            .is_some_and(|row| row.held == Coverage::Complete);
        let mut as_member = false;
        let (ticket, inside, name) = match target {
            Target::Ticket { ticket, inside } => {
                ticket.check(unix_now_s(), &self.peer())?;
                let name = ticket.name().map(str::to_owned);
                (Some(*ticket), inside, name)
            }
            Target::Snapshot { inside, name, .. } => {
                let ticket = self.shares().used_ticket(&snapshot);
                as_member = ticket.is_none() && self.team().is_in();
                if ticket.is_none() && !is_whole && !as_member {
                    return Err(self.out_of_team(not_whole(&snapshot)));
                }
                (ticket, inside, name)
            }
            Target::Unknown { inside, .. } => {
                if !self.team().is_in() {
                    return Err(self.out_of_team(not_here(&snapshot)));
                }
                as_member = true;
                (None, inside, None)
            }
            Target::Path(_) => unreachable!("a path has no snapshot"),
        };
        let wish = Wish::new(
            &request.what.cwd,
            request.dest.as_deref(),
            dest::Names {
                inside: inside.as_ref(),
                name: name.as_deref(),
                snapshot: &snapshot,
            },
        );
        Ok(Plan {
            key: Key {
                snapshot,
                inside,
                wish,
                force: request.force,
                sync: request.sync,
            },
            ticket,
            as_member,
            timeout: request.timeout_s.map(Duration::from_secs),
            down_max: request.down_max.unwrap_or(0),
        })
    }
}
