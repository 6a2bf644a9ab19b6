//! One connection that we made to somebody who serves a snapshot.
//!
//! Owns: asking to be let in, and what is known of the source by this connection. Refuses:
//! deciding what to ask for, and reading, which is the other half's
//! ([`listening`](super::listening)).

mod asking;
mod ending;

pub(in crate::data) use asking::Open;
pub(crate) use asking::{Frame, RunReplies, RunReply, Wish};
pub(crate) use ending::{SessionError, retry_in};
pub(in crate::data) use ending::{farewell, refusal};

use std::collections::HashMap;
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
use shoal_protocol::id::{GrantId, SnapshotId};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::LISTEN_ADDRESSES_MAX;
use shoal_protocol::wire::{
    Admitted, ByeReason, Features, HaveRequest, Kind, Message, Neighbour, Present, RequestId,
};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::data::buffers::BufferPool;
use crate::data::coding::Decoder;
use crate::data::dial::Dialled;
use crate::data::link::{Link, LinkError, LinkReader};
use crate::data::listening::Listening;
use crate::data::offer::{Offer, Telling};
use crate::data::outbox::Outbox;
use crate::data::swarm::Access;
use crate::data::traffic::Traffic;
use crate::data::way::Path;
use crate::data::{Endpoint, entering, greeting};

/// How long a source may take to let us in.
const ADMISSION: Duration = Duration::from_secs(10);

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
    pub(in crate::data) offer: Mutex<Offer>,
    pub(in crate::data) outbox: Outbox,
    next: AtomicU64,
    open: Mutex<HashMap<RequestId, Open>>,
    pub(in crate::data) request_ended: Notify,
    features: Features,
    /// What the source wants signed when a grant is presented.
    nonce: Nonce,
    /// Earlier versions that the source lets us read as well.
    pub(in crate::data) also: Mutex<HashMap<GrantId, Option<SnapshotId>>>,
    /// Why the source is not worth another attempt.
    pub(in crate::data) dropped: Mutex<Option<String>>,
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
            let admitted = hear_verdict(&mut reader, access.snapshot(), &told).await?;
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
    pub(in crate::data) fn ask_offer(&self) {
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

    pub(in crate::data) fn offer(&self) -> MutexGuard<'_, Offer> {
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
    pub(in crate::data) fn begin_run_data(&self) {
        self.run_bytes().began = Some(self.traffic.received());
    }

    /// It was read.
    pub(in crate::data) fn end_run_data(&self) {
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

    pub(in crate::data) fn also(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<GrantId, Option<SnapshotId>>> {
        self.also.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both sides have a feature.
    pub(in crate::data) fn reads(&self, feature: Features) -> bool {
        self.features.contains(feature)
    }

    /// Ends the session, and with it every other attempt with this source, because of what
    /// it did.
    pub(crate) fn drop_for(&self, reason: ByeReason, why: &str) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.get_or_insert_with(|| why.to_owned());
        drop(dropped);
        self.leave(reason, why);
    }

    /// Ends the session.
    pub(crate) fn leave(&self, reason: ByeReason, detail: &str) {
        self.outbox.leave(reason, detail);
    }
}

/// Whether we are let in. One that is full may tell, once, of others who are there for the same.
async fn hear_verdict(
    reader: &mut LinkReader,
    snapshot: SnapshotId,
    told: &(dyn Fn(Told) + Send + Sync),
) -> Result<Admitted, SessionError> {
    let mut has_told = false;
    loop {
        let expected = |kind| match kind {
            Kind::Neighbours => !has_told,
            Kind::Admitted | Kind::Refused | Kind::Bye | Kind::Ping | Kind::Pong => true,
            _ => false,
        };
        match reader.message(expected).await? {
            (Message::Admitted(admitted), _) => return Ok(admitted),
            (Message::Refused(refused), _) => return Err(refusal(refused)),
            (Message::Bye(bye), _) => return Err(farewell(&bye)),
            (Message::Neighbours(others), _) => {
                has_told = true;
                if others.snapshot == snapshot {
                    told(Told::Neighbours(others.peers.into_vec()));
                }
            }
            _ => {}
        }
    }
}
