//! Requests under way, in both directions.
//!
//! Owns: who waits for which answer, how much may be at work for one peer and in all, and
//! the time each may take. Refuses: sending (the swarm's) and answering ([`Requests`] does).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::request_response::{OutboundFailure, OutboundRequestId, ResponseChannel};
use libp2p::swarm::ConnectionId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::codec::{Answer, Parcel};
use super::config::Limits;
use super::errors::RequestError;
use super::names::Protocol;
use super::requests::{Refusal, Requests};

/// Requests for admission of strangers at work at a time; members' do not wait for them.
const ADMISSIONS_MAX: usize = 8;

/// A request of somebody else.
pub(super) struct Asked {
    pub peer: PeerId,
    pub protocol: Protocol,
    pub connection: ConnectionId,
    pub channel: ResponseChannel<Answer>,
}

/// What came of it.
pub(super) struct Done {
    pub asked: Asked,
    pub answer: Answer,
}

/// The requests of others that are at work.
pub(super) struct Incoming {
    requests: Arc<dyn Requests>,
    at_work: JoinSet<Done>,
    per_peer: HashMap<PeerId, usize>,
    admissions: usize,
    all_max: usize,
    per_peer_max: usize,
    time: Duration,
}

impl Incoming {
    pub(super) fn new(requests: Arc<dyn Requests>, limits: &Limits) -> Self {
        Self {
            requests,
            at_work: JoinSet::new(),
            per_peer: HashMap::new(),
            admissions: 0,
            all_max: limits.requests_max,
            per_peer_max: limits.requests_per_peer_max,
            time: limits.request,
        }
    }

    /// Sets a request to work, or gives it back if there is too much of it.
    pub(super) fn start(&mut self, asked: Asked, request: Parcel) -> Result<(), Asked> {
        let admission = asked.protocol == Protocol::Admit;
        let (at_work, most) = match admission {
            true => (self.admissions, ADMISSIONS_MAX),
            false => (
                self.at_work.len().saturating_sub(self.admissions),
                self.all_max,
            ),
        };
        let of_peer = self.per_peer.entry(asked.peer).or_default();
        if at_work >= most || *of_peer >= self.per_peer_max {
            if *of_peer == 0 {
                self.per_peer.remove(&asked.peer);
            }
            return Err(asked);
        }
        *of_peer += 1;
        self.admissions += usize::from(admission);
        let Parcel { bytes, room } = request;
        let answer = self.requests.handle(asked.peer, asked.protocol, bytes);
        let time = self.time;
        self.at_work.spawn(async move {
            let answer = match tokio::time::timeout(time, answer).await {
                Ok(answer) => answer.map(Parcel::from),
                Err(_) => Err(Refusal::Busy),
            };
            drop(room);
            Done { asked, answer }
        });
        Ok(())
    }

    /// The next that is done; never, while none is at work. One whose answer panicked is
    /// not answered.
    pub(super) async fn done(&mut self) -> Option<Done> {
        match self.at_work.join_next().await {
            None => std::future::pending().await,
            Some(Ok(done)) => {
                self.over(&done.asked);
                Some(done)
            }
            Some(Err(error)) => {
                tracing::error!(%error, "an answer to a request failed");
                // Whose it was is not known any more: count anew when all are done.
                if self.at_work.is_empty() {
                    self.per_peer.clear();
                    self.admissions = 0;
                }
                None
            }
        }
    }

    fn over(&mut self, asked: &Asked) {
        let admission = usize::from(asked.protocol == Protocol::Admit);
        self.admissions = self.admissions.saturating_sub(admission);
        if let Some(count) = self.per_peer.get_mut(&asked.peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&asked.peer);
            }
        }
    }
}

/// Where the answer to a request of this node goes.
pub(super) type Reply = oneshot::Sender<Result<Bytes, RequestError>>;

/// The requests of this node that wait for an answer.
#[derive(Default)]
pub(super) struct Outgoing {
    waiting: HashMap<(Protocol, OutboundRequestId), Reply>,
}

impl Outgoing {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A request was sent.
    pub(super) fn sent(&mut self, protocol: Protocol, id: OutboundRequestId, reply: Reply) {
        self.waiting.insert((protocol, id), reply);
    }

    /// An answer came.
    pub(super) fn answered(
        &mut self,
        protocol: Protocol,
        id: OutboundRequestId,
        peer: PeerId,
        answer: Answer,
    ) {
        self.end(
            protocol,
            id,
            match answer {
                Ok(parcel) => Ok(parcel.bytes),
                Err(Refusal::Refused) => Err(RequestError::Refused { peer }),
                Err(Refusal::Busy) => Err(RequestError::Busy { peer }),
            },
        );
    }

    /// None will come.
    pub(super) fn failed(
        &mut self,
        protocol: Protocol,
        id: OutboundRequestId,
        peer: PeerId,
        failure: OutboundFailure,
    ) {
        let error = match failure {
            OutboundFailure::DialFailure => RequestError::Unreachable { peer },
            OutboundFailure::Timeout => RequestError::Timeout { peer },
            OutboundFailure::UnsupportedProtocols => RequestError::NotSpoken { peer, protocol },
            OutboundFailure::ConnectionClosed => RequestError::Broken {
                peer,
                reason: "the connection ended".to_owned(),
            },
            OutboundFailure::Io(error) => RequestError::Broken {
                peer,
                reason: error.to_string(),
            },
        };
        self.end(protocol, id, Err(error));
    }

    fn end(
        &mut self,
        protocol: Protocol,
        id: OutboundRequestId,
        result: Result<Bytes, RequestError>,
    ) {
        if let Some(reply) = self.waiting.remove(&(protocol, id)) {
            // Whoever asked may have given up.
            reply.send(result).ok();
        }
    }
}
