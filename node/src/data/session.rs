//! One connection that we made to somebody who serves a snapshot.
//!
//! Owns: asking to be let in, and the requests that are open. Refuses: deciding what to ask
//! for, and reading, which is the other half's ([`listening`](super::listening)).

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use shoal_protocol::access::{Address, Nonce, Presentation, presentation::Binding};
use shoal_protocol::bounded::List;
use shoal_protocol::fetch::Distance;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{GrantId, PageId, SnapshotId};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::{
    BASES_BYTES_MAX, BUSY_RETRY_MS_MAX, LISTEN_ADDRESSES_MAX, REQUEST_PAGES_MAX, RUN_BASES_MAX,
};
use shoal_protocol::wire::{
    Admitted, Base, Bye, ByeReason, Cancel, Codecs, Features, HaveRequest, Kind, Message,
    Neighbour, Outcome, PageRequest, Present, Refused, RefusedReason, RequestId, RunData,
    RunRequest,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::buffers::{Buffer, BufferPool};
use super::coding::Decoder;
use super::dial::Dialled;
use super::link::{Link, LinkError, LinkReader};
use super::listening::Listening;
use super::offer::{Offer, Telling};
use super::outbox::Outbox;
use super::swarm::Access;
use super::traffic::Traffic;
use super::way::Path;
use super::{Endpoint, entering, greeting};

/// How long a source may take to let us in.
const ADMISSION: Duration = Duration::from_secs(10);

/// Why there is no session (any more).
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// Unreachable, lost, or too slow: it may be tried again.
    #[error("{0}")]
    Lost(String),
    /// It does not honour the grant.
    #[error("{0}")]
    Refused(String),
    /// It asks to be tried later.
    #[error("too many peers are connected to it")]
    Full(Duration),
    /// It broke the protocol, or sent what it should not have.
    #[error("{0}")]
    Misbehaved(String),
}

impl From<LinkError> for SessionError {
    fn from(error: LinkError) -> Self {
        match error.is_misbehaviour() {
            true => Self::Misbehaved(error.to_string()),
            false => Self::Lost(error.to_string()),
        }
    }
}

/// What comes for a request for a run.
pub(crate) enum RunReply {
    /// Some of the bytes, as they travelled.
    Data(Frame),
    /// Nothing more comes.
    Ended(Outcome),
    /// Nothing comes; ask again later.
    Busy(Duration),
    /// The connection is over.
    Lost,
}

/// Bytes of a run, in the codec that `data` says.
pub(crate) struct Frame {
    pub(crate) data: RunData,
    pub(crate) bytes: Buffer,
}

/// How an answer to a run request may travel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Higher is answered earlier.
    pub(crate) priority: u8,
    /// What is here that resembles what is asked for, in the order of positions.
    pub(crate) bases: Vec<Base>,
}

/// Where replies to a run request go: the tag is the asker's own number for it.
pub(crate) type RunReplies = mpsc::UnboundedSender<(PeerKey, RequestId, RunReply)>;

/// What comes for a request for pages: pages, then nothing.
pub(crate) type PageReplies = mpsc::UnboundedSender<(PageId, Vec<u8>)>;

/// What a source tells unasked.
pub(crate) enum Told {
    /// Its offer changed.
    Offer,
    /// Of others.
    Neighbours(Vec<Neighbour>),
}

/// An open session, shared by all who ask through it.
pub(crate) struct Session {
    pub(crate) peer: PeerKey,
    /// Where; nothing for a stream of the control plane.
    pub(crate) address: Option<Address>,
    pub(crate) path: Path,
    pub(crate) distance: Distance,
    pub(crate) snapshot: Snapshot,
    /// How long the source took to let us in: about a round trip.
    pub(crate) round_trip: Duration,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) closing: CancellationToken,
    pub(super) offer: Mutex<Offer>,
    pub(super) outbox: Outbox,
    next: AtomicU64,
    open: Mutex<HashMap<RequestId, Open>>,
    pub(super) request_ended: Notify,
    features: Features,
    /// What the source wants signed when a grant is presented.
    nonce: Nonce,
    /// Earlier versions that the source lets us read as well.
    pub(super) also: Mutex<HashMap<GrantId, Option<SnapshotId>>>,
    /// Why the source is not worth another attempt.
    pub(super) dropped: Mutex<Option<String>>,
    /// Whether it sent nothing when it was asked for something.
    passed_over: AtomicBool,
    run_bytes: Mutex<RunBytes>,
}

/// Socket bytes that came while frames of runs were read.
#[derive(Debug, Default)]
struct RunBytes {
    /// For frames that are whole.
    done: u64,
    /// What had come when the frame that is read began, if one is.
    began: Option<u64>,
}

impl RunBytes {
    fn since_began(&self, traffic: &Traffic) -> u64 {
        self.began.map_or(0, |began| traffic.received() - began)
    }
}

/// A request that is open.
pub(super) enum Open {
    Run {
        tag: RequestId,
        left: RangeSet,
        codecs: Codecs,
        bases: Vec<Base>,
        replies: RunReplies,
    },
    Pages {
        left: HashSet<PageId>,
        replies: PageReplies,
    },
}

impl Session {
    /// Says hello, presents the grant, and is let in. The first future reads, the second
    /// writes; the session lives as long as both run.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        access: &Access,
        dialled: Dialled,
        traffic: Arc<Traffic>,
        buffers: BufferPool,
        told: Box<dyn Fn(Told) + Send + Sync>,
    ) -> Result<
        (
            Arc<Self>,
            Listening,
            BoxFuture<'static, Result<(), LinkError>>,
        ),
        SessionError,
    > {
        let Dialled {
            link,
            address,
            distance,
            path,
        } = dialled;
        let Link {
            peer,
            mut reader,
            mut writer,
        } = link;
        let began = Instant::now();
        let mut listen = endpoint.listening();
        listen.truncate(LISTEN_ADDRESSES_MAX);
        let listen = List::new(listen).expect("truncated");
        let enter = async {
            let nonce = greeting::nonce();
            greeting::say_hello(&mut writer, nonce, endpoint.agent(), listen).await?;
            let hello = greeting::hear_hello(&mut reader).await?;
            let binding = Binding {
                client: endpoint.peer_key(),
                server: peer,
                nonce: hello.nonce,
            };
            if access.as_member {
                entering::enter(endpoint.team(), &mut reader, &mut writer, &binding, nonce).await?;
            }
            let presentation = Presentation::new(access.grant.clone(), &access.holder, &binding);
            writer.send(Present { presentation }, &[]).await?;
            writer.flush().await?;
            let asked = Instant::now();
            let admitted = hear_verdict(&mut reader).await?;
            Ok::<_, SessionError>((hello, admitted, asked.elapsed()))
        };
        let (hello, admitted, round_trip) = timeout(ADMISSION, enter)
            .await
            .map_err(|_| SessionError::Lost("it does not answer".to_owned()))??;
        if admitted.grant != access.grant.id() || !admitted.answers(&access.grant.grant) {
            let why = "it admits us to something else than it granted".to_owned();
            return Err(SessionError::Misbehaved(why));
        }
        let way = path.way;
        tracing::debug!(%peer, ?address, %way, why = %path.why, took = ?began.elapsed(), "let in");
        let closing = CancellationToken::new();
        let (outbox, writing) = Outbox::new(writer, closing.clone());
        let snapshot = admitted.snapshot;
        let offered = match admitted.offers_all {
            true => RangeSet::of(0..snapshot.bytes),
            false => RangeSet::new(),
        };
        let session = Arc::new(Self {
            peer,
            address,
            path,
            distance,
            snapshot,
            round_trip,
            traffic,
            closing,
            offer: Mutex::new(Offer::new(offered)),
            outbox,
            next: AtomicU64::new(1),
            open: Mutex::default(),
            request_ended: Notify::new(),
            features: hello.features.common(greeting::FEATURES),
            nonce: hello.nonce,
            also: Mutex::default(),
            dropped: Mutex::default(),
            passed_over: AtomicBool::new(false),
            run_bytes: Mutex::default(),
        });
        if !admitted.offers_all {
            session.ask_offer();
        }
        let listening = Listening {
            session: Arc::clone(&session),
            reader,
            buffers,
            told,
            decoder: Decoder::new(),
            telling: Telling::default(),
        };
        Ok((session, listening, writing.boxed()))
    }

    /// Asks what the source offers, and to be told of changes.
    pub(super) fn ask_offer(&self) {
        self.outbox.say(HaveRequest {
            snapshot: self.snapshot.id(),
            subscribe: true,
        });
    }

    /// What the source offers now.
    pub(crate) fn offered(&self) -> RangeSet {
        self.offer().ranges().clone()
    }

    /// The same, and how often it had changed by then.
    pub(crate) fn offered_now(&self) -> (RangeSet, u64) {
        let offer = self.offer();
        (offer.ranges().clone(), offer.changes())
    }

    /// The same, if it changed since it had changed so often.
    pub(crate) fn offered_since(&self, changes: u64) -> Option<(RangeSet, u64)> {
        let offer = self.offer();
        let is_new = offer.changes() != changes;
        is_new.then(|| (offer.ranges().clone(), offer.changes()))
    }

    /// How many bytes the source offers now.
    pub(crate) fn offered_bytes(&self) -> u64 {
        self.offer().ranges().total_bytes()
    }

    /// Whether the source offers all of `range` now.
    pub(crate) fn offers(&self, range: &Range<u64>) -> bool {
        self.offer().ranges().contains_range(range.clone())
    }

    /// Up to where the source offers all of `range`; where that begins, if it does not offer that.
    pub(crate) fn offers_up_to(&self, range: &Range<u64>) -> u64 {
        let offer = self.offer();
        let first = offer.ranges().within(range.clone()).next();
        first
            .filter(|offered| offered.start == range.start)
            .map_or(range.start, |offered| offered.end)
    }

    pub(super) fn offer(&self) -> MutexGuard<'_, Offer> {
        self.offer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is known what the source offers: it may have been asked, and not have
    /// answered yet.
    pub(crate) fn has_told_offer(&self) -> bool {
        let offer = self.offer();
        offer.changes() > 0 || !offer.ranges().is_empty()
    }

    /// Notes that the source does not have positions that it offered.
    pub(crate) fn lacks(&self, range: Range<u64>) {
        self.offer().lacks(range);
    }

    /// Notes that the source sent nothing of what it was asked for: from now on it is asked
    /// where nobody else is left.
    pub(crate) fn pass_over(&self) {
        self.passed_over.store(true, Ordering::Relaxed);
    }

    /// Whether it is the last to be asked.
    pub(crate) fn is_passed_over(&self) -> bool {
        self.passed_over.load(Ordering::Relaxed)
    }

    /// A frame of a run begins to be read.
    pub(super) fn begin_run_data(&self) {
        self.run_bytes().began = Some(self.traffic.received());
    }

    /// It was read.
    pub(super) fn end_run_data(&self) {
        let mut run_bytes = self.run_bytes();
        run_bytes.done += run_bytes.since_began(&self.traffic);
        run_bytes.began = None;
    }

    /// About how many bytes of runs came, those of a frame included that is not whole.
    pub(crate) fn run_bytes_received(&self) -> u64 {
        let run_bytes = self.run_bytes();
        run_bytes.done + run_bytes.since_began(&self.traffic)
    }

    fn run_bytes(&self) -> MutexGuard<'_, RunBytes> {
        let lock = self.run_bytes.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// Presents a further grant, for an earlier version that may serve as base. The answer is
    /// heard by the half that reads.
    pub(crate) fn present(&self, me: PeerKey, access: &Access) {
        let binding = Binding {
            client: me,
            server: self.peer,
            nonce: self.nonce,
        };
        let presentation = Presentation::new(access.grant.clone(), &access.holder, &binding);
        let mut also = self.also();
        if also.insert(access.grant.id(), None).is_none() {
            self.outbox.say(Present { presentation });
        }
    }

    pub(super) fn also(&self) -> std::sync::MutexGuard<'_, HashMap<GrantId, Option<SnapshotId>>> {
        self.also.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both sides have a feature.
    pub(super) fn reads(&self, feature: Features) -> bool {
        self.features.contains(feature)
    }

    /// The codecs that both sides read.
    fn codecs(&self) -> Codecs {
        let mut codecs = Codecs::RAW;
        for (feature, codec) in [
            (Features::ZSTD, Codecs::ZSTD),
            (Features::ZSTD_WITH_BASE, Codecs::ZSTD_WITH_BASE),
        ] {
            if self.reads(feature) {
                codecs = codecs.and(codec);
            }
        }
        codecs
    }

    /// Those of `bases` that the source lets us read, as many as a request takes.
    fn allowed_bases(&self, bases: Vec<Base>) -> Vec<Base> {
        if !self.reads(Features::ZSTD_WITH_BASE) {
            return Vec::new();
        }
        let also = self.also();
        let mut left = BASES_BYTES_MAX;
        let fits = move |base: &Base| {
            let room = left.checked_sub(base.bytes());
            left = room.unwrap_or(left);
            room.is_some()
        };
        let allowed = |base: &Base| also.values().any(|s| *s == Some(base.snapshot));
        let bases = bases.into_iter().filter(allowed).filter(fits);
        bases.take(RUN_BASES_MAX).collect()
    }

    /// Asks for positions. Replies come with `tag`.
    pub(crate) fn ask_run(
        &self,
        tag: RequestId,
        ranges: RangeSet,
        wish: Wish,
        replies: RunReplies,
    ) {
        let request = self.number();
        let (codecs, bases) = (self.codecs(), self.allowed_bases(wish.bases));
        self.requests().insert(
            request,
            Open::Run {
                tag,
                left: ranges.clone(),
                codecs,
                bases: bases.clone(),
                replies,
            },
        );
        self.outbox.say(RunRequest {
            request,
            snapshot: self.snapshot.id(),
            ranges,
            codecs,
            priority: wish.priority,
            bases: List::new(bases).expect("no more than a request takes"),
        });
        self.lose_if_closed();
    }

    /// Tells the source that the answer to `tag` is not wanted any more.
    pub(crate) fn cancel_run(&self, tag: RequestId) {
        let found = self
            .requests()
            .iter()
            .find_map(|(request, open)| match open {
                Open::Run { tag: theirs, .. } if *theirs == tag => Some(*request),
                _ => None,
            });
        if let Some(request) = found {
            self.outbox.say(Cancel { request });
        }
    }

    /// Asks for pages; those that come are verified. The channel ends when no more come.
    pub(crate) fn ask_pages(&self, pages: &[PageId], replies: PageReplies) {
        let request = self.number();
        let asked: List<_, REQUEST_PAGES_MAX> =
            List::new(pages.to_vec()).expect("the caller asks in batches");
        let left = pages.iter().copied().collect();
        self.requests()
            .insert(request, Open::Pages { left, replies });
        self.outbox.say(PageRequest {
            request,
            snapshot: self.snapshot.id(),
            pages: asked,
        });
        self.lose_if_closed();
    }

    /// Takes back all requests for runs.
    pub(crate) fn cancel_all_runs(&self) {
        let runs: Vec<_> = self
            .requests()
            .iter()
            .filter(|(_, open)| matches!(open, Open::Run { .. }))
            .map(|(request, _)| *request)
            .collect();
        for request in runs {
            self.outbox.say(Cancel { request });
        }
    }

    /// Ends the session, and with it every other attempt with this source, because of what
    /// it did.
    pub(crate) fn drop_for(&self, reason: ByeReason, why: &str) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.get_or_insert_with(|| why.to_owned());
        drop(dropped);
        self.leave(reason, why);
    }

    /// Waits until no request is open, or the session is over.
    pub(crate) async fn drained(&self) {
        while !self.requests().is_empty() && !self.closing.is_cancelled() {
            tokio::select! {
                () = self.request_ended.notified() => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// Ends the session.
    pub(crate) fn leave(&self, reason: ByeReason, detail: &str) {
        self.outbox.leave(reason, detail);
    }

    fn number(&self) -> RequestId {
        RequestId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn requests(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that was opened while the session ended would wait for ever.
    fn lose_if_closed(&self) {
        if self.closing.is_cancelled() {
            self.lose_all();
        }
    }

    /// Tells all who wait that nothing comes.
    pub(super) fn lose_all(&self) {
        for (_, open) in self.requests().drain() {
            if let Open::Run { tag, replies, .. } = open {
                // Nobody may be waiting any more.
                let _ = replies.send((self.peer, tag, RunReply::Lost));
            }
        }
    }
}

async fn hear_verdict(reader: &mut LinkReader) -> Result<Admitted, SessionError> {
    let expected = |kind| {
        matches!(
            kind,
            Kind::Admitted | Kind::Refused | Kind::Bye | Kind::Ping | Kind::Pong
        )
    };
    loop {
        match reader.message(expected).await? {
            (Message::Admitted(admitted), _) => return Ok(admitted),
            (Message::Refused(refused), _) => return Err(refusal(refused)),
            (Message::Bye(bye), _) => return Err(farewell(&bye)),
            _ => {}
        }
    }
}

pub(super) fn refusal(refused: Refused) -> SessionError {
    match refused.reason {
        RefusedReason::NotPermitted => {
            SessionError::Refused("it does not honour this ticket (any more)".to_owned())
        }
        RefusedReason::Expired => {
            SessionError::Refused("the ticket has expired by its clock".to_owned())
        }
        RefusedReason::NotYet => {
            SessionError::Refused("the ticket is not valid yet by its clock".to_owned())
        }
        RefusedReason::Full { retry_ms } => SessionError::Full(retry_in(retry_ms)),
    }
}

pub(super) fn farewell(bye: &Bye) -> SessionError {
    let why = match bye.reason {
        ByeReason::Revoked => return SessionError::Refused("the ticket ended".to_owned()),
        ByeReason::NotAdmitted => "it did not let us in",
        ByeReason::ShuttingDown => "it stopped",
        ByeReason::TooSlow => "it found us too slow",
        ByeReason::Protocol => "it says that we broke the protocol",
        ByeReason::BadData => "it says that we sent bad data",
        ByeReason::Done | ByeReason::TooMany => "it ended the connection",
    };
    SessionError::Lost(match bye.detail.as_str() {
        "" => why.to_owned(),
        detail => format!("{why} ({detail})"),
    })
}

pub(crate) fn retry_in(retry_ms: u32) -> Duration {
    Duration::from_millis(u64::from(retry_ms.min(BUSY_RETRY_MS_MAX)))
}
