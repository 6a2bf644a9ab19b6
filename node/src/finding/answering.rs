//! What members ask over the control plane.
//!
//! Owns: taking in what others advertise, saying who has what and where it stands, and the exchange of what is
//! known of the team. Refuses: everybody who is no member, but for the exchange, in which a
//! member shows that it is one.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shoal_protocol::advert::{AdvertAck, AdvertBatch, Find, Locate, Refusal as AdvertRefusal};
use shoal_protocol::peer::PeerKey;
use shoal_store::providers::ProviderStore;
use tokio::task::spawn_blocking;

use super::placing::Placing;
use super::turns::Turns;
use super::{discovery, key_of};
use crate::node::unix_now_s;
use crate::team::{Exchange, TeamBook};
use shoal_control::{Membership, PeerId, Protocol, Refusal, Requests};

/// Says who is a member.
pub(super) struct Members(pub(super) TeamBook);

impl Membership for Members {
    fn is_member(&self, peer: &PeerId) -> bool {
        key_of(peer).is_some_and(|peer| self.0.is_member(&peer))
    }
}

/// Answers.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) team: TeamBook,
    pub(super) providers: Arc<ProviderStore>,
    pub(super) placing: Placing,
    pub(super) turns: Turns,
}

impl Requests for Answers {
    fn handle(
        &self,
        peer: PeerId,
        protocol: Protocol,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let answers = self.clone();
        async move {
            let peer = key_of(&peer).ok_or(Refusal::Refused)?;
            let turns = answers.turns.clone();
            // Each reads or writes a little of the disk.
            let answer = move || answers.answer(peer, protocol, &request);
            let answer = match protocol {
                // Not behind what members ask: there are few, and who comes in waits for them.
                Protocol::Admit => spawn_blocking(answer).await,
                Protocol::Advert | Protocol::Find | Protocol::Locate => turns.take(answer).await,
            };
            answer.map_err(|_| Refusal::Refused)?
        }
        .boxed()
    }
}

impl Answers {
    fn answer(&self, peer: PeerKey, protocol: Protocol, said: &[u8]) -> Result<Bytes, Refusal> {
        if protocol == Protocol::Admit {
            let answer = Exchange::answer(&self.team, &peer, said, protocol.answer_bytes_max());
            let answer = answer.map_err(|error| {
                tracing::warn!(%error, "what is new of the team is not taken in");
                Refusal::Busy
            })?;
            return answer
                .map(|answer| answer.bytes.into())
                .ok_or(Refusal::Refused);
        }
        if !self.team.is_member(&peer) {
            return Err(Refusal::Refused);
        }
        let now = unix_now_s();
        let failed = |error| {
            tracing::warn!(%error, "the provider records cannot be used");
            Refusal::Busy
        };
        match protocol {
            Protocol::Advert => {
                let batch = AdvertBatch::from_bytes(said).map_err(|_| Refusal::Refused)?;
                let in_force = discovery(&self.team).map(|(number, _)| number);
                let ack = match in_force == Some(batch.epoch) {
                    true => self.providers.accept(peer, &batch, now).map_err(failed)?,
                    false => AdvertAck {
                        accepted: 0,
                        refusal: Some(AdvertRefusal::Epoch),
                        ttl_s: 0,
                        share: 0,
                    },
                };
                Ok(ack.to_bytes().into())
            }
            Protocol::Find => {
                let find = Find::from_bytes(said).map_err(|_| Refusal::Refused)?;
                let found = self.providers.find(&find.keys, now).map_err(failed)?;
                Ok(found.to_bytes().into())
            }
            Protocol::Locate => {
                let question = Locate::from_bytes(said).map_err(|_| Refusal::Refused)?;
                let located = self.placing.answer(&question).map_err(|error| {
                    tracing::warn!(%error, "it cannot be looked up where chunks stand");
                    Refusal::Busy
                })?;
                Ok(located.to_bytes().into())
            }
            Protocol::Admit => Err(Refusal::Refused),
        }
    }
}
