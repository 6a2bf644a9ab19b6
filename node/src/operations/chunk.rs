//! One chunk, by its id: from this disk, or from any member who has it in an artifact that
//! this node may read.
//!
//! Owns: the order in which these are tried. Refuses: to keep what came: nothing here refers
//! to it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use shoal_protocol::advert::Sought;
use shoal_protocol::id::ChunkId;
use shoal_store::ReadError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiError, ErrorKind, What};
use crate::data::SwarmOptions;
use crate::finding::Standing;
use crate::node::{Node, blocking};

/// How long one member may send nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many places are tried; a member tells two at most.
const TRIES_MAX: usize = 16;

/// The chunk that `what` names, if it names one.
pub(super) fn named(what: &What) -> Option<ChunkId> {
    what.text.trim().parse().ok()
}

impl Node {
    /// The bytes of a chunk, verified.
    pub(super) async fn chunk(
        &self,
        id: ChunkId,
        cancelled: &CancellationToken,
    ) -> Result<Bytes, ApiError> {
        let store = self.store()?;
        let here = blocking(move || {
            let mut bytes = Vec::new();
            match store.read_chunk(&id, &mut bytes) {
                Ok(_) => Ok(Some(Bytes::from(bytes))),
                Err(ReadError::Missing(_)) => Ok(None),
                Err(error) => Err(error),
            }
        });
        if let Some(bytes) = here.await? {
            return Ok(bytes);
        }
        if !self.team().is_in() {
            let message = format!("{} is not here", id.short());
            let not_here = ApiError::new(ErrorKind::NotFound, message)
                .hint("what others hold is found in a team: `shoal team join` enters one");
            return Err(self.out_of_team(not_here));
        }
        tokio::select! {
            bytes = self.chunk_of_others(id, cancelled) => bytes,
            () = cancelled.cancelled() => Err(ApiError::interrupted()),
        }
    }

    /// Tries places as they are told; the first that has the chunk ends the search.
    async fn chunk_of_others(
        &self,
        id: ChunkId,
        cancelled: &CancellationToken,
    ) -> Result<Bytes, ApiError> {
        let finding = self.finding().await?;
        let (told, mut standings) = mpsc::unbounded_channel();
        let sought = [Sought::Chunk(id)];
        let search = async move {
            let tell = |standing| {
                // This function has ended then.
                let _ = told.send(standing);
            };
            finding.locate(&sought, tell).await
        };
        tokio::pin!(search);
        let (mut searched, mut tried, mut last) = (None, 0, None);
        let mut tries = FuturesUnordered::new();
        loop {
            tokio::select! {
                ended = &mut search, if searched.is_none() => searched = Some(ended),
                Some(standing) = standings.recv() => if tried < TRIES_MAX {
                    tried += 1;
                    tries.push(self.read_at(standing, id, cancelled));
                },
                Some(read) = tries.next() => match read {
                    Ok(bytes) => return Ok(bytes),
                    Err(error) => last = Some(error),
                },
                else => break,
            }
        }
        let silent = searched.map_or(0, |searched| searched.silent.len());
        let nobody = match silent {
            0 => format!("no member that can be reached has {}", id.short()),
            silent => format!(
                "no member that answers has {}; {silent} did not answer",
                id.short()
            ),
        };
        let nobody = ApiError::new(ErrorKind::NoSource, nobody)
            .hint("`shoal whereis` says who is said to have it, `shoal peers` who is connected");
        Err(last.unwrap_or(nobody))
    }

    async fn read_at(
        &self,
        standing: Standing,
        id: ChunkId,
        cancelled: &CancellationToken,
    ) -> Result<Bytes, ApiError> {
        let Standing { at, place } = standing;
        let options = SwarmOptions {
            timeout: Some(PATIENCE),
            cancelled: cancelled.clone(),
            ..SwarmOptions::default()
        };
        let access = self.access_as_member(place.snapshot);
        let swarm = self.plane().swarm(access, options, |_| {})?;
        let peer = at.peer;
        swarm.meet(vec![at]);
        let (there, range) = swarm.chunk_at(place.position).await?;
        if there != id {
            let message = format!("{peer} has something else where it said that {id} is");
            return Err(ApiError::new(ErrorKind::Integrity, message)
                .hint("it may have changed meanwhile: try again"));
        }
        let mut bytes = BytesMut::new();
        let mut pieces = swarm.read(range);
        while let Some(piece) = pieces.recv().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.freeze())
    }
}
