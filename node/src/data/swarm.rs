//! The connections to those who serve one snapshot, and what can be had through them.
//!
//! Owns: one task for each source, which connects, and connects again after a while when
//! the source is lost; taking up others whom sources tell of. Refuses: deciding what to ask
//! of whom (`fetch`, `pages`, `remote`).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p_identity::ed25519;
use shoal_protocol::access::{
    Address, Grant, HolderSecret, Rights, Scope, SignedGrant, Source, Ticket,
};
use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{ChunkId, PageId, SnapshotId};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::{ByeReason, Neighbour};
use shoal_store::receive::Receive;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::dial::{Dialled, dial};
use super::hub::{GivenUp, Hub};
use super::link::LinkError;
use super::listening::Listening;
use super::session::{Session, SessionError, Told};
use super::way::Way;
use super::{Endpoint, FetchError, FetchEvent, Traffic, fetch, pages, remote, upgrade};
use crate::identity::Identity;

/// How long to wait before a source is tried again; doubles up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A source that only others told of is forgotten after so many attempts in a row. The first
/// may come before it serves: whoever begins to fetch is told on at once.
const ATTEMPTS_MAX: u32 = 8;

/// A right to read a snapshot, the key that proves it, and whom to ask.
#[derive(Clone)]
pub struct Access {
    /// The right.
    pub grant: SignedGrant,
    /// The key pair of the grant's holder.
    pub holder: ed25519::Keypair,
    /// Whom to ask, best first.
    pub sources: Vec<Source>,
    /// Whether it is membership in the team that opens the sources, and the grant only says
    /// what is wanted.
    pub as_member: bool,
}

/// How long a grant is good that a member gives itself to say what it wants.
const MEMBER_GRANT_S: u64 = 30 * 24 * 3600;

impl Access {
    /// What membership gives the node with this identity at `now_unix_s`: whatever the team may
    /// read, at these of its members.
    pub fn of_member(
        snapshot: SnapshotId,
        identity: &Identity,
        sources: Vec<Source>,
        now_unix_s: u64,
    ) -> Self {
        let me = identity.peer_key();
        let grant = Grant {
            issuer: me,
            holder: me,
            scope: Scope::Snapshot(snapshot),
            rights: Rights::READ,
            issued_unix_s: now_unix_s,
            expires_unix_s: Some(now_unix_s + MEMBER_GRANT_S),
            nonce: rand::random(),
        };
        Self {
            grant: SignedGrant::sign(grant, identity.keypair()),
            holder: identity.keypair().clone(),
            sources,
            as_member: true,
        }
    }

    /// What `ticket` gives the node with this identity at `now_unix_s`.
    pub fn of_ticket(
        ticket: &Ticket,
        identity: &Identity,
        now_unix_s: u64,
    ) -> Result<Self, FetchError> {
        ticket.check(now_unix_s, &identity.peer_key())?;
        let own = || identity.keypair().clone();
        Ok(Self {
            grant: ticket.grant().clone(),
            holder: ticket.secret().map_or_else(own, HolderSecret::keypair),
            sources: ticket.sources().to_vec(),
            as_member: false,
        })
    }

    /// The snapshot that it is for.
    pub fn snapshot(&self) -> SnapshotId {
        let Scope::Snapshot(id) = self.grant.grant.scope;
        id
    }
}

/// How patiently a swarm works.
#[derive(Debug, Clone, Default)]
pub struct SwarmOptions {
    /// Give up after so long without progress; never, if nothing.
    pub timeout: Option<Duration>,
    /// The most bytes a second that it receives, in all; 0 for no limit.
    pub down: u64,
    /// Stops everything that the swarm does. What came is kept.
    pub cancelled: CancellationToken,
}

/// What moved for a fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchOutcome {
    /// Socket bytes received by this swarm.
    pub wire_in: u64,
    /// Socket bytes sent by this swarm.
    pub wire_out: u64,
}

/// Connections to the sources of one snapshot. They are made, and made again, in the
/// background, until it is dropped.
pub struct Swarm {
    hub: Arc<Hub>,
    _leave: DropGuard,
}

impl Swarm {
    /// Begins to connect. `events` is called from async threads and must return quickly.
    pub fn start(
        endpoint: &Endpoint,
        access: Access,
        options: SwarmOptions,
        events: impl Fn(FetchEvent) + Send + Sync + 'static,
    ) -> Self {
        let hub = Arc::new(Hub::new(endpoint, access, &options, Box::new(events)));
        for source in hub.access.sources.clone() {
            let hub = Arc::clone(&hub);
            tokio::spawn(async move { keep_connected(&hub, source, None).await });
        }
        Self {
            _leave: hub.leaving.clone().drop_guard(),
            hub,
        }
    }

    /// The snapshot's record, from the first source that lets us in.
    pub async fn snapshot(&self) -> Result<Snapshot, FetchError> {
        self.hub.progressed();
        self.hub.snapshot().await
    }

    /// Fetches pages of the snapshot, verifies them and puts them into the store. They are
    /// visible there when this returns.
    pub async fn fetch_pages(&self, pages: Vec<PageId>) -> Result<(), FetchError> {
        self.hub.progressed();
        pages::fetch(&self.hub, pages).await
    }

    /// Fetches everything that `receive` wants. [`Receive::finish`] is left to the caller,
    /// who also owns what happens after an error; a checkpoint was written by then.
    pub async fn fetch(&self, receive: Arc<Receive>) -> Result<FetchOutcome, FetchError> {
        self.hub.progressed();
        fetch::fetch(&self.hub, receive).await?;
        Ok(FetchOutcome {
            wire_in: self.hub.traffic.received(),
            wire_out: self.hub.traffic.sent(),
        })
    }

    /// Presents a right to an earlier version to every source, so that it may send what is new
    /// as what it is beside that one. It has to come from the same issuer: others need not
    /// know of it.
    pub fn present(&self, access: Access) {
        if access.grant.grant.issuer != self.hub.access.grant.grant.issuer {
            return;
        }
        let me = self.hub.endpoint.peer_key();
        self.hub.change(|table| {
            for session in table.sessions.values() {
                session.present(me, &access);
            }
            table.also.push(access);
        });
    }

    /// Takes up further sources, who were found by other means, as far as they are new.
    pub fn meet(&self, sources: Vec<Neighbour>) {
        meet(&self.hub, sources);
    }

    /// Cancelled when the swarm is dropped or stopped.
    pub fn leaving(&self) -> &CancellationToken {
        &self.hub.leaving
    }

    /// Tells of every change to who is connected and what they offer.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.hub.changes()
    }

    /// What those who are connected offer now.
    pub fn offers(&self) -> Vec<Offering> {
        let sessions = self.hub.sessions();
        let offering = |session: &Arc<Session>| Offering {
            peer: session.peer,
            address: session.address.clone(),
            offered: session.offered_bytes(),
            total: session.snapshot.bytes,
        };
        sessions.values().map(offering).collect()
    }

    /// Waits for sources that are still to be found, even if none is left to try: until the
    /// guard is dropped.
    pub fn expect_more(&self) -> Expecting {
        self.hub.change(|table| table.expecting += 1);
        Expecting(Arc::clone(&self.hub))
    }

    /// The bytes at `positions` of the snapshot, verified and in order, with nothing else
    /// fetched than the pages that lead there. Ends behind the last byte or the first error.
    pub fn read(&self, positions: Range<u64>) -> mpsc::Receiver<Result<Bytes, FetchError>> {
        self.hub.progressed();
        remote::read(Arc::clone(&self.hub), positions)
    }

    /// The chunk that begins at `position` of the snapshot, and its positions.
    pub async fn chunk_at(&self, position: u64) -> Result<(ChunkId, Range<u64>), FetchError> {
        self.hub.progressed();
        remote::chunk_at(&self.hub, position).await
    }

    /// The positions that a fetch waits for because no source can send them, as they change.
    pub(crate) fn stranded(&self) -> watch::Receiver<RangeSet> {
        self.hub.stranded()
    }

    /// Says that chunks were handed to the fetch's [`Receive`] which `peer` sent by another way.
    pub(crate) fn landed(&self, peer: PeerKey, range: Range<u64>) {
        self.hub.landed(peer, range);
    }

    /// What its sockets moved so far.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.hub.traffic
    }
}

/// What one source offers.
#[derive(Debug, Clone)]
pub struct Offering {
    /// Who.
    pub peer: PeerKey,
    /// Where it was reached; nothing for a stream of the control plane.
    pub address: Option<Address>,
    /// Bytes of the snapshot that it offers.
    pub offered: u64,
    /// Bytes that the snapshot has.
    pub total: u64,
}

/// Somebody still looks for sources.
pub struct Expecting(Arc<Hub>);

impl Drop for Expecting {
    fn drop(&mut self) {
        self.0.change(|table| table.expecting -= 1);
    }
}

/// Takes up those of whom a source tells, as far as they are new.
fn meet(hub: &Arc<Hub>, neighbours: Vec<Neighbour>) {
    for neighbour in neighbours {
        let peer = neighbour.peer;
        // A name would have to be asked for, wherever a source wants it to be.
        let addresses = neighbour.addresses.into_vec().into_iter();
        let addresses: Vec<_> = addresses.filter(|a| a.ip().is_some()).collect();
        let is_reachable = !addresses.is_empty() || hub.endpoint.has_detour(&peer);
        if peer == hub.endpoint.peer_key() || !is_reachable {
            continue;
        }
        let mut wanted = None;
        hub.change(|table| {
            if table.company.told_of(peer, rand::random()) {
                let token = hub.leaving.child_token();
                table.wanted.insert(peer, token.clone());
                wanted = Some(token);
            }
        });
        let Some(wanted) = wanted else { continue };
        let addresses = List::new(addresses).expect("few");
        let source = Source { peer, addresses };
        let hub = Arc::clone(hub);
        tokio::spawn(async move { keep_connected(&hub, source, Some(wanted)).await });
    }
}

/// Connects to a source, and again when it was lost, until it proves to be of no use. One that
/// only others told of is left when it is not `wanted` any more.
async fn keep_connected(hub: &Arc<Hub>, source: Source, wanted: Option<CancellationToken>) {
    let peer = source.peer;
    let named = wanted.is_none();
    let wanted = wanted.unwrap_or_else(|| hub.leaving.clone());
    let mut pause = RETRY.0;
    let mut attempts = 0;
    let mut last = None;
    loop {
        let (way, ended) = connect(hub, &source, named, last, &wanted).await;
        if wanted.is_cancelled() {
            return;
        }
        if way.is_some() {
            last = way;
            pause = RETRY.0;
            attempts = 0;
        }
        attempts += 1;
        let why = ended.to_string();
        let error = match ended {
            SessionError::Misbehaved(why) => GivenUp::Misbehaved { peer, why },
            _ if !named && attempts >= ATTEMPTS_MAX => {
                hub.change(|table| table.give_up(&peer, &wanted, false));
                return;
            }
            SessionError::Refused(why) if named => GivenUp::Refused(format!("{peer}: {why}")),
            SessionError::Refused(_) | SessionError::Lost(_) | SessionError::Full(_) => {
                let retry = match ended {
                    SessionError::Full(retry) => retry.max(pause),
                    _ => pause,
                };
                pause = (pause * 2).min(RETRY.1);
                if named {
                    hub.failed(format!("{peer}: {why}"));
                }
                hub.tell(FetchEvent::Lost {
                    peer,
                    address: source.addresses.first().cloned(),
                    why,
                    retry,
                    named,
                });
                tokio::select! {
                    () = sleep(retry) => continue,
                    () = wanted.cancelled() => return,
                }
            }
        };
        hub.tell(FetchEvent::Dropped { peer, why });
        hub.change(|table| {
            table.give_up(&peer, &wanted, true);
            if named {
                table.given_up = Some(error);
            }
        });
        return;
    }
}

/// Connects and stays connected as long as it can; says by what way it was, if it was, and why
/// not any more. The last time it was by the way `last`.
async fn connect(
    hub: &Arc<Hub>,
    source: &Source,
    named: bool,
    last: Option<Way>,
    wanted: &CancellationToken,
) -> (Option<Way>, SessionError) {
    let peer = source.peer;
    hub.tell(FetchEvent::Connecting {
        peer,
        addresses: source.addresses.to_vec(),
        named,
    });
    let entered = tokio::select! {
        entered = dial_in(hub, source, last) => entered,
        () = wanted.cancelled() => {
            return (None, SessionError::Lost("not wanted".to_owned()));
        }
    };
    let mut entered = match entered {
        Ok(entered) => entered,
        Err(error) => return (None, error),
    };
    loop {
        let (session, listening, writing) = entered;
        take_up(hub, &session);
        let mut running = Box::pin(run(
            Arc::clone(hub),
            Arc::clone(&session),
            listening,
            writing,
            wanted.clone(),
        ));
        entered = tokio::select! {
            ended = &mut running => return (Some(session.path.way), ended),
            better = upgrade::better(hub, source, &session) => better,
        };
        let (way, why) = (&entered.0.path.way, &entered.0.path.why);
        tracing::debug!(%peer, %way, %why, "there is a better way");
        tokio::spawn(upgrade::retire(Arc::clone(hub), session, running));
    }
}

/// Has a session asked for what is wanted, in the place of one with the same source.
fn take_up(hub: &Hub, session: &Arc<Session>) {
    hub.tell(FetchEvent::Connected {
        peer: session.peer,
        address: session.address.clone(),
        path: session.path.clone(),
        round_trip: session.round_trip,
    });
    hub.change(|table| {
        for access in &table.also {
            session.present(hub.endpoint.peer_key(), access);
        }
        let peer = session.peer;
        table.sessions.insert(peer, Arc::clone(session));
        if let Some(other) = table.company.let_in(&peer, rand::random()) {
            table.dismiss(&other);
        }
    });
}

/// Keeps a session going until it ends, or is not `wanted` any more; says why it did.
async fn run(
    hub: Arc<Hub>,
    session: Arc<Session>,
    listening: Listening,
    writing: BoxFuture<'static, Result<(), LinkError>>,
    wanted: CancellationToken,
) -> SessionError {
    let say_goodbye = async {
        wanted.cancelled().await;
        let why = match hub.leaving.is_cancelled() {
            true => ByeReason::Done,
            false => ByeReason::TooMany,
        };
        session.leave(why, "");
    };
    let ((ended, _), ()) = tokio::join!(
        async {
            let ended = tokio::join!(listening.run(), writing);
            hub.change(|table| {
                let current = table.sessions.get(&session.peer);
                if current.is_some_and(|current| Arc::ptr_eq(current, &session)) {
                    table.sessions.remove(&session.peer);
                }
            });
            ended
        },
        async {
            tokio::select! {
                () = say_goodbye => {}
                () = session.closing.cancelled() => {}
            }
        }
    );
    ended
}

/// A session that was let in, and the two futures that keep it going.
pub(super) type Entered = (
    Arc<Session>,
    Listening,
    BoxFuture<'static, Result<(), LinkError>>,
);

async fn dial_in(
    hub: &Arc<Hub>,
    source: &Source,
    last: Option<Way>,
) -> Result<Entered, SessionError> {
    let (endpoint, peer) = (&hub.endpoint, source.peer);
    let traffic = endpoint.connection(&hub.traffic);
    let dialled = dial(endpoint, peer, &source.addresses, last, &traffic)
        .await
        .map_err(|error| SessionError::Lost(error.to_string()))?;
    enter(hub, dialled, traffic).await
}

/// Has the other end let us in.
pub(super) async fn enter(
    hub: &Arc<Hub>,
    dialled: Dialled,
    traffic: Arc<Traffic>,
) -> Result<Entered, SessionError> {
    let told = Arc::downgrade(hub);
    Session::open(
        &hub.endpoint,
        &hub.access,
        dialled,
        traffic,
        hub.buffers.clone(),
        Box::new(move |what| match (what, told.upgrade()) {
            (Told::Neighbours(neighbours), Some(hub)) => meet(&hub, neighbours),
            (Told::Offer, Some(hub)) => hub.change(|_| ()),
            (_, None) => {}
        }),
    )
    .await
}
