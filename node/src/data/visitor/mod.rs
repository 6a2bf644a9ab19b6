//! One connection that somebody else made to us.
//!
//! Owns: what it may ask and how much at once, and its end: by a grant that ended, by bad
//! manners, by going away. Refuses: answering ([`serve`](super::serve)).

mod coming_in;
mod offering;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::select_all;
use futures::{FutureExt, future};
use shoal_protocol::access::Nonce;
use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::GRANTS_PER_CONNECTION_MAX;
use shoal_protocol::wire::{
    Admitted, Base, Busy, ByeReason, Features, Hello, Kind, Message, Outcome, PageRequest, Pages,
    Pong, Present, Refused, RefusedReason, RequestId, RunEnd, RunRequest,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::data::answer::Readers;
use crate::data::arrival::From;
use crate::data::crowd::{Member, Place, reachable};
use crate::data::greeting;
use crate::data::link::{LinkError, LinkReader};
use crate::data::open_requests::OpenRequests;
use crate::data::outbox::{Outbox, Payload};
use crate::data::redeeming::Redeeming;
use crate::data::rights::Rights;
use crate::data::serve::Server;
use crate::data::strangers::Origin;
use crate::data::traffic::Traffic;
use crate::data::{Admission, Allowed, Endpoint};

/// What a peer that asks for too much at once is told.
const BUSY_RETRY_MS: u32 = 200;

/// As what a connection is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetIn {
    /// One that may ask for what it has a right to.
    Peer,
    /// One that is told about the team, and leaves.
    Guest,
}

/// What all connections to a listener share.
pub(crate) struct House {
    pub(crate) endpoint: Endpoint,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) server: Arc<Server>,
    pub(crate) redeeming: Redeeming,
}

/// A connection, from its first message on.
pub(crate) struct Visitor {
    house: Arc<House>,
    peer: PeerKey,
    pub(crate) from: From,
    pub(crate) since: SystemTime,
    pub(crate) traffic: Arc<Traffic>,
    hello: OnceLock<Hello>,
    nonce: Nonce,
    rights: Rights,
    rights_changed: Notify,
    admitted: AtomicBool,
    /// Cancelled when the peer is no member of this node's team any more; nothing unless it
    /// entered as one.
    member: OnceLock<CancellationToken>,
    outbox: Outbox,
    closing: CancellationToken,
    readers: Arc<Readers>,
    requests: OpenRequests,
    generation: AtomicU64,
    /// Snapshots whose offer it wants to hear about, and what it was told last. Locked while
    /// it is told, so that it hears everything in order.
    told: tokio::sync::Mutex<HashMap<SnapshotId, RangeSet>>,
    /// Its places among those who fetch the same: one of a snapshot, however often it is
    /// presented.
    places: Mutex<HashMap<SnapshotId, Place>>,
}

/// Unix time, which grants are measured by.
pub(crate) fn now_unix_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Visitor {
    pub(crate) fn new(
        house: Arc<House>,
        peer: PeerKey,
        from: From,
        traffic: Arc<Traffic>,
        nonce: Nonce,
        outbox: Outbox,
        closing: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            house,
            peer,
            from,
            since: SystemTime::now(),
            traffic,
            hello: OnceLock::new(),
            nonce,
            rights: Rights::default(),
            rights_changed: Notify::new(),
            admitted: AtomicBool::new(false),
            member: OnceLock::new(),
            outbox,
            closing,
            readers: Arc::default(),
            requests: OpenRequests::default(),
            generation: AtomicU64::new(0),
            told: tokio::sync::Mutex::default(),
            places: Mutex::default(),
        })
    }

    pub(crate) fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Whom its place is counted under.
    pub(crate) fn origin(&self) -> Origin {
        let address = self.from.address;
        address.map_or(Origin::Member(self.peer), Origin::of)
    }

    /// Whether the connection is ending.
    pub(crate) fn is_leaving(&self) -> bool {
        self.closing.is_cancelled()
    }

    pub(crate) fn agent(&self) -> &str {
        self.hello.get().map_or("", |hello| hello.agent.as_str())
    }

    /// Ends the connection once what is queued in words is sent.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.places().clear();
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<SnapshotId, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, feature: Features) -> bool {
        self.hello
            .get()
            .is_some_and(|hello| hello.features.contains(feature))
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn readers(&self) -> Arc<Readers> {
        Arc::clone(&self.readers)
    }

    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    pub(crate) fn allowed(&self, snapshot: &SnapshotId) -> Option<Allowed> {
        self.rights.allowed(snapshot, now_unix_s())
    }

    /// Which positions of a snapshot the peer may ask for now.
    pub(crate) fn offered(&self, snapshot: &SnapshotId) -> Option<RangeSet> {
        self.see_offered(snapshot, RangeSet::clone)
    }

    /// Those of `ranges` that the peer may ask for now.
    pub(crate) fn offered_of(&self, snapshot: &SnapshotId, ranges: &RangeSet) -> Option<RangeSet> {
        self.see_offered(snapshot, |offered| ranges.intersect(offered))
    }

    fn see_offered<T>(&self, snapshot: &SnapshotId, see: impl FnOnce(&RangeSet) -> T) -> Option<T> {
        let store = self.house.endpoint.store();
        let seen = self.rights.offered(store, snapshot, now_unix_s(), see);
        seen.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read what is offered");
            None
        })
    }

    /// Those of `bases` that the peer may read, and that are on offer here.
    pub(crate) fn readable_bases(&self, bases: &[Base]) -> Arc<[(Base, Snapshot)]> {
        let readable = |base: &Base| {
            let allowed = self.allowed(&base.snapshot)?;
            let within = base.start..base.end;
            let is_here = |offered: &RangeSet| offered.contains_range(within);
            let is_here = self.see_offered(&base.snapshot, is_here)?;
            is_here.then_some((*base, allowed.snapshot))
        };
        bases.iter().filter_map(readable).collect()
    }

    /// Reads and obeys until the connection ends; says why it did.
    pub(crate) async fn attend(
        self: &Arc<Self>,
        reader: &mut LinkReader,
        let_in: impl FnOnce(LetIn) -> bool,
    ) -> Result<(), LinkError> {
        let hello = greeting::hear_hello(reader).await?;
        self.hello.set(hello).expect("said once");
        if !self.come_in(reader, let_in).await? {
            self.outbox.leave(ByeReason::NotAdmitted, "");
            return Ok(());
        }
        tokio::select! {
            ended = self.obey(reader) => {
                self.house.server.leave(self);
                if let Err(error) = &ended && error.is_misbehaviour() {
                    self.outbox.leave(ByeReason::Protocol, &error.to_string());
                }
                ended
            }
            () = self.rights_end() => {
                self.house.server.leave(self);
                self.outbox.leave(ByeReason::Revoked, "");
                Ok(())
            }
            () = self.closing.cancelled() => {
                self.house.server.leave(self);
                Ok(())
            }
        }
    }

    fn admit(&self, present: &Present, allowed: Allowed) {
        let signed = &present.presentation.grant;
        let snapshot = allowed.snapshot;
        self.rights.add(allowed, signed.grant.expires_unix_s);
        self.admitted.store(true, Ordering::Release);
        self.rights_changed.notify_one();
        let all = RangeSet::of(0..snapshot.bytes);
        let offers_all = self.offered(&snapshot.id()).is_some_and(|o| o == all);
        self.outbox.say(Admitted {
            grant: signed.id(),
            snapshot,
            offers_all,
        });
        self.join_crowd(snapshot.id());
    }

    /// Has those who fetch the same told of each other.
    fn join_crowd(&self, snapshot: SnapshotId) {
        let mut places = self.places();
        if places.contains_key(&snapshot) {
            return;
        }
        let listen = self.hello.get().map_or(&[][..], |hello| &hello.listen);
        let member = Member {
            peer: self.peer,
            addresses: (self.from.address)
                .map_or_else(List::empty, |seen| reachable(seen.ip(), listen)),
            outbox: (self.has(Features::NEIGHBOURS)).then(|| self.outbox.clone()),
        };
        let place = self.house.endpoint.crowd().join(snapshot, member);
        places.insert(snapshot, place);
    }

    /// Waits until no grant is in force any more.
    async fn rights_end(&self) {
        loop {
            let revoked = self.rights.revocations();
            let revoked: Vec<_> = revoked.iter().map(|t| t.cancelled().boxed()).collect();
            let any_revoked = async move {
                match revoked.is_empty() {
                    true => future::pending().await,
                    false => select_all(revoked).await.0,
                }
            };
            let next_end = self.rights.next_end(now_unix_s());
            let any_expired = async move {
                match next_end {
                    Some(end) => tokio::time::sleep(end).await,
                    None => future::pending().await,
                }
            };
            let member_gone = async {
                match self.member.get() {
                    Some(revoked) => revoked.cancelled().await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                () = member_gone => return,
                () = any_revoked => {}
                () = any_expired => {}
                () = self.rights_changed.notified() => {}
            }
            if self.rights.expire(now_unix_s()) == 0 && self.member.get().is_none() {
                return;
            }
        }
    }

    async fn obey(self: &Arc<Self>, reader: &mut LinkReader) -> Result<(), LinkError> {
        let expected = |kind| {
            !matches!(
                kind,
                Kind::Hello
                    | Kind::Admitted
                    | Kind::Refused
                    | Kind::RunData
                    | Kind::Pages
                    | Kind::Enter
                    | Kind::Redeem
                    | Kind::TeamOperations
            )
        };
        loop {
            let (message, payload) = reader.message(expected).await?;
            if payload > 0 {
                // Offers of our visitors are of no use until we fetch from them.
                reader.payload(&mut vec![0; payload]).await?;
            }
            self.recheck_membership();
            match message {
                Message::Present(present) => self.present_again(&present),
                Message::RunRequest(asked) => self.ask_for_run(asked),
                Message::PageRequest(asked) => self.ask_for_pages(asked),
                Message::Cancel(cancel) => self.house.server.cancel(self, cancel.request),
                Message::HaveRequest(asked) => self.tell_offer(&asked).await,
                Message::Ping(ping) => self.outbox.mention(Pong { token: ping.token }),
                Message::Bye(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Looks whether the peer is a member still, if it came as one: what it presented to read
    /// as a member ends otherwise, and then the connection.
    fn recheck_membership(&self) {
        if self.member.get().is_some() {
            self.house.endpoint.team().recheck(&self.peer);
        }
    }

    fn ask_for_run(self: &Arc<Self>, asked: RunRequest) {
        if self.open_request(asked.request, asked.ranges.total_bytes()) {
            self.house.server.ask(self, asked);
        }
    }

    fn ask_for_pages(self: &Arc<Self>, asked: PageRequest) {
        if self.open_request(asked.request, 0) {
            let server = Arc::clone(&self.house.server);
            tokio::spawn(server.send_pages(Arc::clone(self), asked));
        }
    }

    fn present_again(&self, present: &Present) {
        match self.judge(present) {
            Ok(allowed) if self.rights.count() < GRANTS_PER_CONNECTION_MAX => {
                self.admit(present, allowed);
            }
            Ok(_) => {
                let grant = present.presentation.grant.id();
                let reason = RefusedReason::Full { retry_ms: 60_000 };
                self.outbox.say(Refused { grant, reason });
            }
            Err(refused) => self.outbox.say(refused),
        }
    }

    /// Notes that a request is open, or says that it has to wait, since too much is.
    fn open_request(&self, request: RequestId, bytes: u64) -> bool {
        let opened = self.requests.open(request, bytes);
        if !opened {
            let retry_ms = BUSY_RETRY_MS;
            self.outbox.say(Busy { request, retry_ms });
        }
        opened
    }

    /// Notes that a request is not open any more.
    pub(crate) fn close_request(&self, request: RequestId) {
        self.requests.close(request);
    }

    /// Ends a request of which no data was sent.
    pub(crate) fn end(&self, request: RequestId, outcome: Outcome) {
        self.close_request(request);
        self.outbox.say(RunEnd { request, outcome });
    }

    /// Ends a request behind the data that was sent for it.
    pub(crate) async fn end_behind_data(&self, request: RequestId, outcome: Outcome) {
        self.close_request(request);
        // A connection that is over needs no end of answer.
        let _ = self
            .outbox
            .send(RunEnd { request, outcome }, Payload::Empty)
            .await;
    }

    /// Ends a request for pages that gets none.
    pub(crate) async fn end_pages(&self, request: RequestId, payload: Payload) {
        self.close_request(request);
        let none = Pages {
            request,
            last: true,
            pages: List::empty(),
        };
        // As above.
        let _ = self.outbox.send(none, payload).await;
    }

    /// Says that a request has to wait.
    pub(crate) fn turn_down(&self, request: RequestId, retry_ms: u32) {
        self.close_request(request);
        self.outbox.say(Busy { request, retry_ms });
    }
}
