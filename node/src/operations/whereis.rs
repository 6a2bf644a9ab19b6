//! `whereis`: who has something.
//!
//! Owns: searching the team, and asking those who are named how much they have. Refuses: to
//! believe who is named without asking, where there is something to ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shoal_protocol::advert::Subject;
use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::manifest::{Content, EntryKind};
use shoal_protocol::peer::PeerKey;

use super::source::Source;
use crate::api::{ApiError, ErrorKind, Holder, SnapshotText, What, Whereis, WhereisRequest};
use crate::data::SwarmOptions;
use crate::finding::{Finding, Sighting};
use crate::node::{Node, blocking};
use crate::resolve::Target;

/// How long those who are named may take to say what they have.
const ANSWERS: Duration = Duration::from_secs(2);
/// How often it is looked whether all have.
const LOOK: Duration = Duration::from_millis(5);

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
        match sought {
            Sought::Snapshot(id) => self.where_snapshot(finding, id).await,
            Sought::Part(subject) => self.where_part(finding, subject).await,
        }
    }

    async fn sought(&self, what: &What) -> Result<Sought, ApiError> {
        if let Ok(chunk) = what.text.trim().parse::<ChunkId>() {
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
        let mut holders = Vec::new();
        if let Some(row) = &row {
            holders.push(self.here(Some(row.held.bytes(row.snapshot.bytes))));
        }
        if let Some(finding) = finding {
            let access = self.access_as_member(id);
            let swarm = self
                .plane()
                .swarm(access, SwarmOptions::default(), |_| {})?;
            let _expecting = swarm.expect_more();
            let mut named: HashMap<PeerKey, Sighting> = HashMap::new();
            finding
                .search(&[Subject::Snapshot(id)], |sighting| {
                    swarm.meet(vec![sighting.neighbour.clone()]);
                    named.entry(sighting.neighbour.peer).or_insert(sighting);
                })
                .await;
            let answered = async {
                while swarm.offers().len() < named.len() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            // Who does not answer in time is listed as said to have it.
            let _ = tokio::time::timeout(ANSWERS, answered).await;
            let offers: HashMap<_, _> = (swarm.offers().into_iter())
                .map(|offer| (offer.peer, offer))
                .collect();
            bytes = bytes.or_else(|| offers.values().next().map(|offer| offer.total));
            for sighting in named.into_values() {
                let offer = offers.get(&sighting.neighbour.peer);
                holders.push(self.holder(
                    &sighting,
                    offer.and_then(|offer| Some(offer.address.as_ref()?.to_string())),
                    offer.map(|offer| offer.offered),
                ));
            }
        }
        Ok(answer(id.to_string(), Some(id), bytes, holders))
    }

    async fn where_part(
        &self,
        finding: Option<Arc<Finding>>,
        subject: Subject,
    ) -> Result<Whereis, ApiError> {
        let (store, mut holders) = (self.store()?, Vec::new());
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
            finding
                .search(&[subject], |sighting| {
                    let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
                    named.entry(sighting.neighbour.peer).or_insert(sighting);
                })
                .await;
            let named = named.into_inner().unwrap_or_else(PoisonError::into_inner);
            holders.extend(
                named
                    .values()
                    .map(|sighting| self.holder(sighting, None, None)),
            );
        }
        Ok(answer(id, None, None, holders))
    }

    fn here(&self, bytes: Option<u64>) -> Holder {
        Holder {
            peer: self.peer(),
            name: self.name_of(&self.peer()),
            is_me: true,
            address: None,
            bytes,
            found: "here".to_owned(),
            age_s: 0,
        }
    }

    fn holder(&self, sighting: &Sighting, at: Option<String>, bytes: Option<u64>) -> Holder {
        let peer = sighting.neighbour.peer;
        let said = sighting.neighbour.addresses.first();
        Holder {
            peer,
            name: self.name_of(&peer),
            is_me: false,
            address: at.or_else(|| said.map(ToString::to_string)),
            bytes,
            found: match sighting.told_by == self.peer() {
                true => "told".to_owned(),
                false => "dht".to_owned(),
            },
            age_s: sighting.age_s,
        }
    }

    /// What a member is called.
    fn name_of(&self, peer: &PeerKey) -> Option<String> {
        let members = self.team().members();
        let member = members.into_iter().find(|member| member.node == *peer);
        member.map(|member| member.name)
    }
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
    }
}
