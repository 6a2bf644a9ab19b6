//! One connection that somebody else made to us.
//!
//! Owns: letting it in, what it may ask and how much at once, and its end: by a grant that
//! ended, by bad manners, by going away. Refuses: answering ([`serve`](super::serve)).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::select_all;
use futures::{FutureExt, future};
use shoal_protocol::access::grant::Rights as GrantRights;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::{GrantError, Nonce, PresentationError};
use shoal_protocol::bounded::{List, Text};
use shoal_protocol::have::{RANGES_MAX, RangeSet};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::{FRAME_PAYLOAD_BYTES_MAX, GRANTS_PER_CONNECTION_MAX};
use shoal_protocol::wire::{
    Admitted, Base, Busy, Bye, ByeReason, Enter, Entered, Features, Have, HaveRequest, HaveUpdate,
    Hello, Kind, Message, NotEntered, NotEnteredReason, NotWelcome, Outcome, PageRequest, Pages,
    Pong, Present, Redeem, Refused, RefusedReason, RequestId, RunEnd, RunRequest, TeamOperations,
    TeamSecret, Welcome,
};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::Readers;
use super::arrival::From;
use super::crowd::{Member, Place, reachable};
use super::greeting;
use super::link::{LinkError, LinkReader};
use super::open_requests::OpenRequests;
use super::outbox::{Outbox, Payload};
use super::redeeming::{self, Redeeming};
use super::rights::Rights;
use super::serve::Server;
use super::strangers::Origin;
use super::traffic::Traffic;
use super::{Admission, Allowed, Endpoint};
use crate::team::{Entry, Guest};

/// A stranger may be mistaken about its grant so often.
const REFUSALS_MAX: usize = 3;
/// The most ranges of an offer that are told at once.
const OFFER_RANGES_MAX: usize = {
    let fit = FRAME_PAYLOAD_BYTES_MAX / shoal_protocol::have::RANGE_BYTES;
    if RANGES_MAX < fit { RANGES_MAX } else { fit }
};
/// What a peer that asks for too much at once is told.
const BUSY_RETRY_MS: u32 = 200;

/// How long a guest that is welcome may take for all of it: as long as it waits itself.
const WELCOME: Duration = Duration::from_secs(30);

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

    /// Waits for a valid grant; false if none came. Nothing else is read from a stranger.
    async fn come_in(
        &self,
        reader: &mut LinkReader,
        let_in: impl FnOnce(LetIn) -> bool,
    ) -> Result<bool, LinkError> {
        let expected = |kind| {
            matches!(
                kind,
                Kind::Present | Kind::Enter | Kind::Redeem | Kind::Ping | Kind::Pong | Kind::Bye
            )
        };
        let mut let_in = Some(let_in);
        for _ in 0..REFUSALS_MAX {
            let knock = loop {
                match reader.message(expected).await? {
                    (Message::Ping(ping), _) => self.outbox.mention(Pong { token: ping.token }),
                    (Message::Pong(_), _) => {}
                    (Message::Bye(_), _) => return Ok(false),
                    (knock, _) => break knock,
                }
            };
            let is_in = match &knock {
                Message::Present(present) => self.come_with_grant(present, &mut let_in),
                Message::Enter(enter) => self.come_as_member(enter, &mut let_in).await,
                Message::Redeem(redeem) => {
                    // The place that it has is given up with the rest.
                    let _ = timeout(WELCOME, self.welcome(redeem, &mut let_in)).await;
                    return Ok(false);
                }
                _ => None,
            };
            if let Some(is_in) = is_in {
                return Ok(is_in);
            }
        }
        Ok(false)
    }

    /// Whether a grant lets the peer in; nothing if it may try again.
    fn come_with_grant(
        &self,
        present: &Present,
        let_in: &mut Option<impl FnOnce(LetIn) -> bool>,
    ) -> Option<bool> {
        let allowed = match self.judge(present) {
            Ok(allowed) => allowed,
            Err(refused) => {
                self.outbox.say(refused);
                return None;
            }
        };
        if !let_in.take().is_some_and(|let_in| let_in(LetIn::Peer)) {
            let grant = present.presentation.grant.id();
            let reason = RefusedReason::Full { retry_ms: 5_000 };
            self.outbox.say(Refused { grant, reason });
            return Some(false);
        }
        self.admit(present, allowed);
        Some(true)
    }

    /// Whether the peer is let in as a member of this node's team; nothing if it may try
    /// again.
    async fn come_as_member(
        &self,
        enter: &Enter,
        let_in: &mut Option<impl FnOnce(LetIn) -> bool>,
    ) -> Option<bool> {
        let client_nonce = self.hello.get().expect("said first").nonce;
        let team = self.house.endpoint.team();
        match team.judge(enter, &self.binding(), client_nonce) {
            Entry::Closed(reason) => {
                self.outbox.say(NotEntered { reason });
                None
            }
            Entry::Open {
                tag,
                proof,
                revoked,
            } => {
                if !let_in.take().is_some_and(|let_in| let_in(LetIn::Peer)) {
                    let reason = NotEnteredReason::Full { retry_ms: 5_000 };
                    self.outbox.say(NotEntered { reason });
                    return Some(false);
                }
                self.member.set(revoked).expect("it enters once");
                self.admitted.store(true, Ordering::Release);
                self.outbox.say(Entered { tag, proof });
                Some(true)
            }
        }
    }

    /// Lets a guest in who has an invitation, and tells it all about the team.
    async fn welcome(&self, redeem: &Redeem, let_in: &mut Option<impl FnOnce(LetIn) -> bool>) {
        let (team, binding) = (self.house.endpoint.team().clone(), self.binding());
        if let Err(reason) = team.check_redemption(redeem, &binding) {
            return self.outbox.say(NotWelcome { reason });
        }
        let Some(place) = self.house.redeeming.enter(self.origin()) else {
            let retry_ms = redeeming::RETRY_MS;
            let reason = NotEnteredReason::Full { retry_ms };
            return self.outbox.say(NotEntered { reason });
        };
        // From here on it is no stranger, whose time would be too short to write and to tell all.
        let is_in = let_in.take().is_some_and(|let_in| let_in(LetIn::Guest));
        assert!(is_in, "guests have their places, and each is let in once");
        let redeem = redeem.clone();
        // What was begun is ended, also for one that has gone: the place goes with it.
        let guest = spawn_blocking(move || (team.redeem(&redeem, &binding), place)).await;
        let (guest, _place) = guest.expect("writing a file does not panic");
        let (proof, operations, secret) = match guest {
            Guest::NotWelcome(reason) => return self.outbox.say(NotWelcome { reason }),
            Guest::Welcome {
                proof,
                operations,
                secret,
            } => (proof, operations, secret),
        };
        self.outbox.say(Welcome { proof });
        let count = operations.len();
        for (number, batch) in operations.into_iter().enumerate() {
            let last = number + 1 == count;
            let sending = (self.outbox).send(TeamOperations { last }, Payload::Owned(batch));
            if sending.await.is_err() {
                return;
            }
        }
        if let Some((epoch, secret)) = secret {
            // A connection that is over needs no secret.
            let sending = (self.outbox).send(TeamSecret { epoch, secret }, Payload::Empty);
            let _ = sending.await;
        }
        let bye = Bye {
            reason: ByeReason::Done,
            detail: Text::cut(""),
        };
        // As above. It goes behind what was sent, unlike a word.
        let _ = self.outbox.send(bye, Payload::Empty).await;
        self.closing.cancelled().await;
    }

    fn binding(&self) -> Binding {
        Binding {
            client: self.peer,
            server: self.house.endpoint.peer_key(),
            nonce: self.nonce,
        }
    }

    /// Whether a presented grant opens anything here. What is wrong with a grant as such is
    /// told; whether the thing exists is not.
    fn judge(&self, present: &Present) -> Result<Allowed, Refused> {
        let presentation = &present.presentation;
        let grant = presentation.grant.id();
        let refused = |reason| Refused { grant, reason };
        presentation
            .check(now_unix_s(), &self.binding())
            .map_err(|error| match error {
                PresentationError::Grant(GrantError::Expired { .. }) => {
                    refused(RefusedReason::Expired)
                }
                PresentationError::Grant(GrantError::NotYet { .. }) => {
                    refused(RefusedReason::NotYet)
                }
                PresentationError::Grant(GrantError::Signature) | PresentationError::Proof => {
                    refused(RefusedReason::NotPermitted)
                }
            })?;
        let not_permitted = refused(RefusedReason::NotPermitted);
        if !(presentation.grant.grant.rights).contains(GrantRights::READ) {
            return Err(not_permitted);
        }
        let admission = &self.house.admission;
        let allowed = match self.member.get() {
            Some(revoked) if self.grants_itself(present) => {
                admission.admit_member(&presentation.grant, revoked)
            }
            _ => admission.admit(&presentation.grant, self.peer),
        };
        allowed
            .filter(|allowed| !allowed.revoked.is_cancelled())
            .ok_or(not_permitted)
    }

    /// Whether a grant is one that a member gave itself, to name what it wants to read.
    fn grants_itself(&self, present: &Present) -> bool {
        let grant = &present.presentation.grant.grant;
        grant.issuer == self.peer && grant.holder == self.peer
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

    async fn tell_offer(&self, asked: &HaveRequest) {
        let mut told = self.told.lock().await;
        let offered = self.offered(&asked.snapshot).unwrap_or_default();
        self.tell_all(asked.snapshot, &offered).await;
        if asked.subscribe
            && (told.len() < GRANTS_PER_CONNECTION_MAX || told.contains_key(&asked.snapshot))
        {
            told.insert(asked.snapshot, offered);
        }
    }

    /// Says what changed of a snapshot's offer, if the peer wants to know.
    pub(crate) async fn offer_changed(&self, snapshot: &SnapshotId) {
        let mut told = self.told.lock().await;
        let Some(before) = told.get_mut(snapshot) else {
            return;
        };
        self.rights.forget_offer(snapshot);
        let offered = self.offered(snapshot).unwrap_or_default();
        if *before == offered {
            return;
        }
        let is_less = !before.subtract(&offered).is_empty();
        let added = offered.subtract(before);
        if is_less || added.range_count() > OFFER_RANGES_MAX || !self.has(Features::HAVE_UPDATES) {
            self.tell_all(*snapshot, &offered).await;
        } else {
            let update = HaveUpdate {
                snapshot: *snapshot,
                generation: self.next_generation(),
            };
            self.tell(update, &added).await;
        }
        *before = offered;
    }

    async fn tell_all(&self, snapshot: SnapshotId, offered: &RangeSet) {
        let have = Have {
            snapshot,
            generation: self.next_generation(),
        };
        self.tell(have, &offered.largest(OFFER_RANGES_MAX)).await;
    }

    fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn tell(&self, message: impl Into<Message>, ranges: &RangeSet) {
        let bytes = ranges.to_bytes().expect("cut to what can be told");
        let payload = match bytes.is_empty() {
            true => Payload::Empty,
            false => Payload::Owned(bytes),
        };
        // A connection that is over hears nothing.
        let _ = self.outbox.send(message, payload).await;
    }
}
