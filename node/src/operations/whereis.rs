//! `whereis`: who has something.
//!
//! Owns: searching the team, and asking those who are named how much they have. Refuses: to
//! believe who is named without asking, where there is something to ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shoal_protocol::advert::Subject;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::manifest::{Content, EntryKind};
use shoal_protocol::peer::PeerKey;
use tokio::sync::watch;
use tokio::time::Instant;

use super::chunk;
use super::source::Source;
use crate::api::{ApiError, ErrorKind, Holder, SnapshotText, What, Whereis, WhereisRequest};
use crate::data::{FetchEvent, Offering, SwarmOptions};
use crate::finding::{Finding, Searched, Sighting, Until};
use crate::node::{Node, blocking};
use crate::resolve::Target;
use crate::team::TeamError;

/// How long those who are named may take to say what they have, while none of them has.
const ANSWERS: Duration = Duration::from_secs(2);
/// Connecting, TLS and being let in take so many times what a question to a connected member
/// takes,
const VISIT: u32 = 4;
/// and so long at least may the others take once one has answered.
const OTHERS: Duration = Duration::from_millis(50);

/// What is said of who did not answer in time, for no reason that is known.
const SILENT: &str = "it does not answer";

/// Somebody who is said to have a snapshot, and was asked.
struct Asked {
    sighting: Sighting,
    offer: Option<Offering>,
    /// Why there is no answer.
    trouble: Option<String>,
}

/// What is looked for.
enum Sought {
    Snapshot(SnapshotId),
    Part(Subject),
}

impl Node {
    /// Who has something.
    pub async fn whereis(&self, request: WhereisRequest) -> Result<Whereis, ApiError> {
        let sought = self.sought(&request.what).await?;
        let finding = match self.team().is_in() {
            true => Some(self.finding().await?),
            false => None,
        };
        let found = match sought {
            Sought::Snapshot(id) => self.where_snapshot(finding, id).await,
            Sought::Part(subject) => self.where_part(finding, subject).await,
        }?;
        match self.team().check_in() {
            Err(ended @ TeamError::Ended(..)) if found.holders.is_empty() => Err(ended.into()),
            _ => Ok(found),
        }
    }

    async fn sought(&self, what: &What) -> Result<Sought, ApiError> {
        if let Some(chunk) = chunk::named(what) {
            return Ok(Sought::Part(Subject::Chunk(chunk)));
        }
        let (store, what) = (self.store()?, what.clone());
        blocking(move || {
            let view = store.view();
            let target = Target::of_artifact(&view, &what)?;
            let id = target.snapshot().expect("`of_artifact` gives no paths");
            let (row, inside) = match target {
                Target::Snapshot {
                    row,
                    inside: Some(inside),
                    ..
                } => (row, inside),
                Target::Unknown {
                    inside: Some(_), ..
                } => {
                    let message = "a path is looked up in an artifact that is known here";
                    return Err(ApiError::new(ErrorKind::NotFound, message)
                        .hint("ask for the whole snapshot, or get it first"));
                }
                _ => return Ok(Sought::Snapshot(id)),
            };
            let source = Source {
                id,
                snapshot: row.snapshot,
                inside: Some(inside.clone()),
                store: store.clone(),
                swarm: None,
            };
            let found = source.entry_at(&inside)?;
            let content = match found.item.kind {
                EntryKind::File { content, .. } if found.item.path == inside => content,
                _ => Content::Empty,
            };
            match content {
                Content::Chunk(chunk) => Ok(Sought::Part(Subject::Chunk(chunk))),
                Content::List(page) => Ok(Sought::Part(Subject::Content(page))),
                Content::Empty => Err(ApiError::new(
                    ErrorKind::NotFound,
                    format!("`{inside}` is no file with anything in it"),
                )
                .hint("a folder is where its snapshot is: leave the path out")),
            }
        })
        .await
    }

    async fn where_snapshot(
        &self,
        finding: Option<Arc<Finding>>,
        id: SnapshotId,
    ) -> Result<Whereis, ApiError> {
        let store = self.store()?;
        let row = blocking(move || store.view().snapshot(&id)).await?;
        let mut bytes = row.as_ref().map(|row| row.snapshot.bytes);
        let (mut holders, mut silent) = (Vec::new(), Vec::new());
        if let Some(row) = &row {
            holders.push(self.here(Some(row.held.bytes(row.snapshot.bytes))));
        }
        if let Some(finding) = finding {
            let asked;
            let until = until(&holders);
            (asked, silent) = self.ask_who_has(&finding, id, until).await?;
            bytes = bytes.or_else(|| asked.values().find_map(|a| Some(a.offer.as_ref()?.total)));
            for one in asked.into_values() {
                let at = (one.offer.as_ref()).and_then(|o| Some(o.address.as_ref()?.to_string()));
                let offered = one.offer.as_ref().map(|offer| offer.offered);
                let mut holder = self.holder(&one.sighting, at, offered);
                holder.trouble = one.trouble;
                holders.push(holder);
            }
        }
        Ok(Whereis {
            silent,
            ..answer(id.to_string(), Some(id), bytes, holders)
        })
    }

    /// Finds who is said to have a snapshot, and asks each how much. Gives the names of those
    /// too who did not say who has it.
    async fn ask_who_has(
        &self,
        finding: &Finding,
        id: SnapshotId,
        until: Until,
    ) -> Result<(HashMap<PeerKey, Asked>, Vec<String>), ApiError> {
        let failures: Arc<Mutex<HashMap<PeerKey, String>>> = Arc::default();
        let (failed, failed_now) = watch::channel(());
        let hears = Arc::clone(&failures);
        let access = self.access_as_member(id);
        let swarm = (self.plane()).swarm(access, SwarmOptions::default(), move |event| {
            if let FetchEvent::Lost { peer, why, .. } | FetchEvent::Dropped { peer, why } = event {
                lock(&hears).insert(*peer, why.clone());
                failed.send_replace(());
            }
        })?;
        let _expecting = swarm.expect_more();
        let mut named: HashMap<PeerKey, Sighting> = HashMap::new();
        let searched = finding
            .search(&[Subject::Snapshot(id)], until, |sighting| {
                swarm.meet(vec![sighting.neighbour.clone()]);
                named.entry(sighting.neighbour.peer).or_insert(sighting);
            })
            .await;
        let is_open = |peer: &PeerKey| {
            !lock(&failures).contains_key(peer) && swarm.offers().iter().all(|o| o.peer != *peer)
        };
        let others = (searched.patience * VISIT).clamp(OTHERS, ANSWERS);
        let mut deadline = Instant::now() + ANSWERS;
        let (mut changes, mut failed_now) = (swarm.changes(), failed_now);
        while named.keys().any(&is_open) {
            if !swarm.offers().is_empty() {
                deadline = deadline.min(Instant::now() + others);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { break },
                changed = failed_now.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        let mut offers: HashMap<_, _> = (swarm.offers().into_iter())
            .map(|offer| (offer.peer, offer))
            .collect();
        let mut failures = lock(&failures);
        let asked = named.into_iter().map(|(peer, sighting)| {
            let offer = offers.remove(&peer);
            let trouble = match &offer {
                Some(_) => None,
                None => Some(failures.remove(&peer).unwrap_or_else(|| SILENT.to_owned())),
            };
            let asked = Asked {
                sighting,
                offer,
                trouble,
            };
            (peer, asked)
        });
        Ok((asked.collect(), self.names_of(&searched)))
    }

    async fn where_part(
        &self,
        finding: Option<Arc<Finding>>,
        subject: Subject,
    ) -> Result<Whereis, ApiError> {
        let (store, mut holders, mut silent) = (self.store()?, Vec::new(), Vec::new());
        let (id, is_here) = match subject {
            Subject::Chunk(chunk) => {
                let known = blocking(move || store.chunk(&chunk)).await?;
                (chunk.to_string(), known.is_some())
            }
            Subject::Content(page) => {
                let known = blocking(move || store.page(&page)).await?;
                (page.to_string(), known.is_some())
            }
            Subject::Snapshot(id) => (id.to_string(), false),
        };
        if is_here {
            holders.push(self.here(None));
        }
        if let Some(finding) = finding {
            let named: Mutex<HashMap<PeerKey, Sighting>> = Mutex::default();
            let searched = finding
                .search(&[subject], until(&holders), |sighting| {
                    lock(&named)
                        .entry(sighting.neighbour.peer)
                        .or_insert(sighting);
                })
                .await;
            silent = self.names_of(&searched);
            let named = named.into_inner().unwrap_or_else(PoisonError::into_inner);
            holders.extend(
                named
                    .values()
                    .map(|sighting| self.holder(sighting, None, None)),
            );
        }
        Ok(Whereis {
            silent,
            ..answer(id, None, None, holders)
        })
    }

    fn here(&self, bytes: Option<u64>) -> Holder {
        Holder {
            peer: self.peer(),
            name: self.team().name_of(&self.peer()),
            is_me: true,
            address: None,
            bytes,
            trouble: None,
            found: "here".to_owned(),
            age_s: 0,
        }
    }

    fn holder(&self, sighting: &Sighting, at: Option<String>, bytes: Option<u64>) -> Holder {
        let peer = sighting.neighbour.peer;
        let said = sighting.neighbour.addresses.first();
        Holder {
            peer,
            name: self.team().name_of(&peer),
            is_me: false,
            address: at.or_else(|| said.map(ToString::to_string)),
            bytes,
            trouble: None,
            found: match sighting.told_by == self.peer() {
                true => "told".to_owned(),
                false => "dht".to_owned(),
            },
            age_s: sighting.age_s,
        }
    }

    /// What those are called who did not answer.
    fn names_of(&self, searched: &Searched) -> Vec<String> {
        let silent = searched.silent.iter();
        let mut names: Vec<_> = silent
            .map(|peer| {
                self.team()
                    .name_of(peer)
                    .unwrap_or_else(|| peer.to_string())
            })
            .collect();
        names.sort();
        names
    }
}

/// How long to search, where these have it: while nobody has, it may just have been added.
fn until(holders: &[Holder]) -> Until {
    match holders.is_empty() {
        true => Until::Found,
        false => Until::Settled,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(
    id: String,
    snapshot: Option<SnapshotId>,
    bytes: Option<u64>,
    mut holders: Vec<Holder>,
) -> Whereis {
    holders.sort_by_key(|holder| {
        let most = std::cmp::Reverse(holder.bytes.unwrap_or(0));
        (!holder.is_me, most, holder.name.clone(), holder.peer)
    });
    Whereis {
        id,
        snapshot: snapshot.map(SnapshotText),
        bytes,
        holders,
        silent: Vec::new(),
    }
}
