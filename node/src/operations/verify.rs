//! `verify`: hashing what is held, and with `--repair` fetching what is damaged.

use std::ops::Range;

use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::size::Size;
use shoal_store::check::{FileLoss, RepairError, SnapshotHealth, VerifyReport, VerifyScope};
use shoal_store::index::{Coverage, Origin, SnapshotRow, View};

use super::progress::Relay;
use super::source::{Source, holders};
use crate::api::{ApiError, ErrorKind, Events, Phase, Problem, Reporter, Verified, VerifyRequest};
use crate::data::SwarmOptions;
use crate::node::{Node, blocking};
use crate::resolve::{Target, subject};
use crate::versions::{self, History};

/// What becomes of files of the user whose bytes were had from elsewhere.
const STAYS: &str = "what was repaired is in the store; a file of yours that is damaged stays as \
                     it is until `shoal get --force` writes it anew";

impl Node {
    /// Hashes what is held and compares.
    pub fn verify(&self, request: VerifyRequest) -> Events<Verified, Problem> {
        let what = request
            .what
            .as_ref()
            .map_or_else(|| "everything".to_owned(), subject);
        self.operation("verify", what, |node, reporter| async move {
            let report = node.check(&request, &reporter).await?;
            let mut verified = Verified {
                snapshots: report.snapshots.len() as u64,
                bytes: report.bytes_hashed,
                ..Verified::default()
            };
            let is_well = |health: &&SnapshotHealth| health.is_whole() && health.bytes_away == 0;
            for health in report.snapshots.iter().filter(|health| !is_well(health)) {
                if !health.kept && !health.is_whole() && node.lets_go(health, &reporter).await? {
                    continue;
                }
                let mended = match request.repair && !health.is_whole() {
                    true => node.repair(health, request.timeout_s, &reporter).await,
                    false => Ok(None),
                };
                let left = mended.unwrap_or_else(|error| {
                    reporter.warn(error.message, error.hint);
                    None
                });
                for problem in node.problems(health, left.as_ref()).await? {
                    verified.problems += 1;
                    verified.repaired += u64::from(problem.repaired);
                    reporter.item(problem).await?;
                }
            }
            for place in &report.damaged.named {
                reporter.warn(format!("{place}; they are not used any more"), None);
            }
            if verified.repaired > 0 {
                reporter.info(STAYS);
            }
            for place in &report.away.named {
                reporter.warn(place.to_string(), None);
            }
            Ok(verified)
        })
    }

    /// Whether nobody misses what is gone of a snapshot that is not kept: it was got, and a
    /// later version stands in its place, or files were shared where they are and have changed.
    /// It is forgotten if nobody can ask for it either.
    async fn lets_go(
        &self,
        health: &SnapshotHealth,
        reporter: &Reporter<Problem>,
    ) -> Result<bool, ApiError> {
        let (id, store, team) = (health.snapshot, self.store()?, self.team().root());
        let (replaced, by_team) = blocking(move || {
            let view = store.view();
            let Some(row) = view.snapshot(&id)? else {
                return Ok((None, false));
            };
            let by_team = team.is_some() && view.audience_peer(row.audience) == team;
            Ok::<_, ApiError>((place_taken(&view, &row)?, by_team))
        })
        .await?;
        let is_asked_for = self.shares().knows(&id);
        if replaced.is_none() && (is_asked_for || by_team) {
            return Ok(false);
        }
        if !is_asked_for {
            self.forget_unkept(id).await?;
        }
        let why = match (replaced, is_asked_for) {
            (Some(place), false) => format!("is forgotten: a later version stands in {place}"),
            (Some(place), true) => format!("is here in part: a later version stands in {place}"),
            (None, _) => {
                "is forgotten: its files have changed, and nobody keeps or shares it".to_owned()
            }
        };
        reporter.info(format!("{} {why}", id.short()));
        Ok(true)
    }

    /// Forgets a snapshot that nobody asked to keep.
    pub(super) async fn forget_unkept(&self, snapshot: SnapshotId) -> Result<(), ApiError> {
        let store = self.store()?;
        blocking(move || {
            let batch = store.begin();
            batch.forget_unkept_snapshot(&snapshot);
            batch.commit(false)
        })
        .await
    }

    async fn check(
        &self,
        request: &VerifyRequest,
        reporter: &Reporter<Problem>,
    ) -> Result<VerifyReport, ApiError> {
        let (store, what) = (self.store()?, request.what.clone());
        let relay = Relay(reporter.clone());
        blocking(move || {
            let view = store.view();
            let target = what
                .map(|what| Target::of_artifact(&view, &what))
                .transpose()?;
            drop(view);
            let scope = match target.and_then(|target| target.snapshot()) {
                Some(id) => VerifyScope::Snapshot(id),
                None => VerifyScope::All,
            };
            Ok::<_, ApiError>(store.verify(scope, &relay)?)
        })
        .await
    }

    /// Fetches what a snapshot lost from those it came from, or from members of the team who
    /// have it, and looks again.
    async fn repair(
        &self,
        health: &SnapshotHealth,
        timeout_s: Option<u64>,
        reporter: &Reporter<Problem>,
    ) -> Result<Option<SnapshotHealth>, ApiError> {
        let id = health.snapshot;
        reporter.progress(|p| p.phase = Phase::Transferring);
        let options = SwarmOptions {
            timeout: timeout_s.map(std::time::Duration::from_secs),
            cancelled: reporter.token().clone(),
            ..SwarmOptions::default()
        };
        let swarm = self.ask_others(id, None, options, |_| {}).await?;
        let swarm = swarm.ok_or_else(|| {
            let message = format!("nobody is known to ask for what {} lost", id.short());
            ApiError::new(ErrorKind::NoSource, message)
                .hint("get it again with a ticket, or join the team of those who have it")
        })?;
        let what = format!("somebody who has what {} lost", id.short());
        reporter.progress(|p| p.waiting_for = Some(what));
        let snapshot = swarm.snapshot().await?;
        reporter.progress(|p| p.waiting_for = None);
        if !health.pages_missing.is_empty() {
            swarm.fetch_pages(health.pages_missing.clone()).await?;
        }
        let source = Source {
            id,
            snapshot,
            inside: None,
            store: self.store()?,
            swarm: Some(swarm),
        };
        // Pages that came may have shown that more is missing.
        let (store, relooked) = (self.store()?, !health.pages_missing.is_empty());
        let missing = match relooked {
            true => blocking(move || store.repaired(&id)).await?.missing,
            false => health.missing.clone(),
        };
        for range in missing {
            self.refetch(&source, range).await?;
        }
        let store = self.store()?;
        blocking(move || store.repaired(&id)).await.map(Some)
    }

    /// Fetches the chunks in `range`, which begins and ends on chunk boundaries.
    async fn refetch(&self, source: &Source, range: Range<u64>) -> Result<(), ApiError> {
        let swarm = source.swarm.as_ref().expect("repair has somebody to ask");
        let mut bytes = swarm.read(range.clone());
        let source = source.clone();
        blocking(move || {
            let mut cursor = SnapshotCursor::new(&source.snapshot);
            cursor.seek(range.start);
            let mut come: Vec<u8> = Vec::new();
            while let Some(step) = cursor.next(&source)? {
                let chunk = match step {
                    Step::Chunk { position, .. } if position >= range.end => break,
                    Step::Entry { position, .. } if position >= range.end => break,
                    Step::Entry { .. } => continue,
                    Step::Chunk { chunk, .. } => chunk,
                };
                let length = chunk.length as usize;
                while come.len() < length {
                    let Some(piece) = bytes.blocking_recv() else {
                        return Err(ApiError::new(
                            ErrorKind::NoSource,
                            "the source ended too early",
                        ));
                    };
                    come.extend_from_slice(&piece?);
                }
                source.store.repair_chunk(&chunk.id, &come[..length])?;
                come.drain(..length);
            }
            Ok(())
        })
        .await
    }

    /// What there is to say about a snapshot that was not whole; `now` is how it is after a
    /// repair.
    async fn problems(
        &self,
        health: &SnapshotHealth,
        now: Option<&SnapshotHealth>,
    ) -> Result<Vec<Problem>, ApiError> {
        let (id, store, node) = (health.snapshot, self.store()?, self.clone());
        let (names, holders) = blocking(move || names_and_holders(&node, &store, &id)).await?;
        let who = if names.is_empty() {
            id.to_string()
        } else {
            names.join(", ")
        };
        let repaired = now.is_some_and(SnapshotHealth::is_whole);
        let elsewhere = match holders.as_slice() {
            _ if repaired => String::new(),
            [] => String::new(),
            holders => format!("; {} may hold it", holders.join(", ")),
        };
        let problem = |path: Option<String>, bytes, what: String| Problem {
            snapshot: Some(who.clone()),
            path,
            bytes,
            message: format!("{what}{elsewhere}"),
            away: false,
            repaired,
        };
        let mut problems = Vec::new();
        if !health.pages_missing.is_empty() {
            let what = match health.pages_missing.len() {
                1 => "a page of its lists is gone, and with it whatever it leads to".to_owned(),
                count => format!("{count} pages of its lists are gone, and what they lead to"),
            };
            problems.push(problem(None, 0, what));
        }
        let files = &health.lost;
        for FileLoss { path, bytes } in &files.named {
            let what = match repaired {
                true => format!("{} of `{path}` were gone", Size(*bytes)),
                false => format!("{} of `{path}` are gone", Size(*bytes)),
            };
            problems.push(problem(Some(path.to_string()), *bytes, what));
        }
        let unnamed = files.total - files.named.len() as u64;
        if unnamed > 0 {
            let named: u64 = files.named.iter().map(|loss| loss.bytes).sum();
            let what = format!("{unnamed} more files are damaged");
            problems.push(problem(None, health.bytes_gone - named, what));
        }
        if health.bytes_away > 0 {
            let what = "only in files that cannot be looked at now".to_owned();
            problems.push(Problem {
                away: true,
                repaired: false,
                ..problem(None, health.bytes_away, what)
            });
        }
        Ok(problems)
    }
}

/// Where a snapshot was got to, if another came there later and is whole.
fn place_taken(view: &View, row: &SnapshotRow) -> Result<Option<String>, ApiError> {
    let Origin::Received { dest } = &row.origin else {
        return Ok(None);
    };
    let is_there = |other: &SnapshotRow| {
        let is_same_place = matches!(&other.origin, Origin::Received { dest: at } if at == dest);
        let is_whole = other.held == Coverage::Complete;
        is_same_place && is_whole && other.at_unix_s >= row.at_unix_s && other.id() != row.id()
    };
    let taken = view.snapshots()?.iter().any(is_there);
    Ok(taken.then(|| dest.to_string()))
}

fn names_and_holders(
    node: &Node,
    store: &shoal_store::Store,
    id: &SnapshotId,
) -> Result<(Vec<String>, Vec<String>), ApiError> {
    let view = store.view();
    let histories = History::all(&view)?;
    Ok((
        versions::names_of(&histories, id),
        holders(node, &view, id)?,
    ))
}

impl From<RepairError> for ApiError {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Mismatch(_) => Self::new(ErrorKind::Integrity, error.to_string())
                .hint("what the source sent was thrown away"),
            RepairError::Store(error) => error.into(),
        }
    }
}
