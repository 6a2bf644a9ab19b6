//! Answers the peers that were let in.
//!
//! Owns: the serve machine that all connections share, carrying out what it decides, and the
//! buffers of all answers. Refuses: deciding whose turn it is (`shoal_protocol::serve`) and
//! who may ask (the visitor's rights).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::serve::{Input, Output, Serve, ServeConfig};
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::{
    Base, Codecs, Features, Outcome, PageRequest, Pages, RequestId, RunData, RunRequest,
};
use shoal_store::{ReadError, Store};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::answer::{Coding, Piece, RunAnswer, outcome, read_pages};
use super::buffers::{Buffer, BufferPool};
use super::coding::Encoders;
use super::outbox::{Closed, Payload};
use super::page_set::PageSets;
use super::strangers::Origin;
use super::visitor::Visitor;

/// Answers that run at once.
const ACTIVE_MAX: usize = 16;
/// The same, for peers of one origin.
const ACTIVE_PER_ORIGIN_MAX: usize = ACTIVE_MAX / 2;
/// Frames in memory, over all connections. A peer that takes nothing holds three: one being
/// written, and two queued or in the making. Those of one origin together leave some.
const BUFFERS: usize = 2 * ACTIVE_MAX;
const _: () = assert!(3 * ACTIVE_PER_ORIGIN_MAX < BUFFERS);
/// Frames of pages in memory. Those of one origin have half of them at most.
const PAGE_BUFFERS: usize = 8;
const PAGE_BUFFERS_PER_ORIGIN: usize = PAGE_BUFFERS / 2;

/// What serves all connections of a node.
pub(crate) struct Server {
    store: Store,
    machine: Mutex<Machine>,
    buffers: BufferPool,
    page_buffers: BufferPool,
    page_sets: PageSets,
    encoders: Arc<Encoders>,
}

struct Machine {
    serve: Serve,
    next: u64,
    /// The requests that the machine knows, by the number that it knows them by: peers
    /// choose their own, and may be connected more than once.
    asked: HashMap<RequestId, Asked>,
}

#[derive(Clone)]
struct Asked {
    visitor: Arc<Visitor>,
    /// The peer's number.
    request: RequestId,
    /// Whether nothing of what was asked had to be left out.
    whole: bool,
    codecs: Codecs,
    bases: Arc<[(Base, Snapshot)]>,
    stop: CancellationToken,
}

impl Server {
    /// A server for what is in `store`.
    pub(crate) fn new(store: Store) -> Self {
        let config = ServeConfig {
            active_max: ACTIVE_MAX,
            active_per_origin_max: ACTIVE_PER_ORIGIN_MAX,
            ..ServeConfig::default()
        };
        Self {
            store,
            machine: Mutex::new(Machine {
                serve: Serve::new(config),
                next: 0,
                asked: HashMap::new(),
            }),
            buffers: BufferPool::new(BUFFERS),
            page_buffers: BufferPool::shared(PAGE_BUFFERS, PAGE_BUFFERS_PER_ORIGIN),
            page_sets: PageSets::default(),
            encoders: Arc::new(Encoders::new()),
        }
    }

    /// Takes a request for a run; the visitor has noted that it is open.
    pub(crate) fn ask(self: &Arc<Self>, visitor: &Arc<Visitor>, asked: RunRequest) {
        let ranges = visitor.offered_of(&asked.snapshot, &asked.ranges);
        let Some(ranges) = ranges.filter(|ranges| !ranges.is_empty()) else {
            // The same whether it may not be had, is not here, or does not exist.
            visitor.end(asked.request, Outcome::NotHeld);
            return;
        };
        let whole = ranges == asked.ranges;
        let bases = visitor.readable_bases(&asked.bases);
        let number = {
            let mut machine = self.machine();
            machine.next += 1;
            let number = RequestId(machine.next);
            let stop = CancellationToken::new();
            machine.asked.insert(
                number,
                Asked {
                    visitor: Arc::clone(visitor),
                    request: asked.request,
                    whole,
                    codecs: asked.codecs,
                    bases,
                    stop,
                },
            );
            number
        };
        self.handle(Input::Request {
            peer: visitor.peer(),
            origin: number_of(visitor.origin()),
            request: number,
            snapshot: asked.snapshot,
            ranges,
            priority: asked.priority,
        });
    }

    /// Takes back a visitor's request.
    pub(crate) fn cancel(self: &Arc<Self>, visitor: &Arc<Visitor>, request: RequestId) {
        let theirs = |asked: &Asked| asked.request == request;
        self.cancel_where(visitor, theirs);
    }

    /// Takes back all of a visitor's requests: the connection is over.
    pub(crate) fn leave(self: &Arc<Self>, visitor: &Arc<Visitor>) {
        self.cancel_where(visitor, |_| true);
    }

    fn cancel_where(self: &Arc<Self>, visitor: &Arc<Visitor>, which: impl Fn(&Asked) -> bool) {
        let numbers: Vec<_> = self
            .machine()
            .asked
            .iter()
            .filter(|(_, asked)| Arc::ptr_eq(&asked.visitor, visitor) && which(asked))
            .map(|(number, _)| *number)
            .collect();
        for request in numbers {
            let peer = visitor.peer();
            self.handle(Input::Cancel { peer, request });
        }
    }

    fn machine(&self) -> std::sync::MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(self: &Arc<Self>, input: Input) {
        let mut machine = self.machine();
        machine.serve.handle(Instant::now(), input);
        while let Some(output) = machine.serve.poll() {
            self.carry_out(&mut machine, output);
        }
    }

    fn carry_out(self: &Arc<Self>, machine: &mut Machine, output: Output) {
        match output {
            Output::Start {
                peer,
                request,
                ranges,
                snapshot,
            } => {
                let asked = machine.asked.get(&request).expect("known until it ends");
                let (server, asked) = (Arc::clone(self), asked.clone());
                tokio::spawn(async move {
                    let bytes = server.answer(&asked, snapshot, ranges).await;
                    server.machine().asked.remove(&request);
                    server.handle(Input::Ended {
                        peer,
                        request,
                        bytes,
                    });
                });
            }
            Output::Stop { request, .. } => {
                if let Some(asked) = machine.asked.get(&request) {
                    asked.stop.cancel();
                }
            }
            Output::Busy { request, retry, .. } => {
                if let Some(asked) = machine.asked.remove(&request) {
                    let retry_ms = u32::try_from(retry.as_millis()).unwrap_or(u32::MAX);
                    asked.visitor.turn_down(asked.request, retry_ms);
                }
            }
            Output::Cancelled { request, .. } => {
                if let Some(asked) = machine.asked.remove(&request) {
                    asked.visitor.end(asked.request, Outcome::Cancelled);
                }
            }
        }
    }

    /// Sends what was asked for; gives the bytes that were sent.
    async fn answer(&self, asked: &Asked, snapshot: SnapshotId, ranges: RangeSet) -> u64 {
        let visitor = &asked.visitor;
        let mut sent = 0;
        let complete = match asked.whole {
            true => Outcome::Complete,
            false => Outcome::NotHeld,
        };
        let Some(allowed) = visitor.allowed(&snapshot) else {
            visitor.end(asked.request, Outcome::NotHeld);
            return sent;
        };
        let record = &allowed.snapshot;
        let coding = Coding {
            codecs: asked.codecs,
            bases: asked.bases.to_vec(),
            encoders: Arc::clone(&self.encoders),
            compression: visitor.outbox().compression(),
        };
        let mut run = RunAnswer::open(&self.store, record, ranges, visitor.readers(), coding);
        let end = loop {
            if asked.stop.is_cancelled() {
                break Outcome::Cancelled;
            }
            if visitor.allowed(&snapshot).is_none() {
                break Outcome::NotHeld;
            }
            let free = async {
                let slot = visitor.outbox().room().await?;
                Ok::<_, Closed>((slot, self.buffers.take().await))
            };
            let (slot, buffer) = tokio::select! {
                free = free => match free {
                    Ok(free) => free,
                    Err(Closed) => return sent,
                },
                () = asked.stop.cancelled() => break Outcome::Cancelled,
            };
            let (read, back) = read(run, buffer).await;
            run = back;
            let (Piece { range, codec }, buffer) = match read {
                Ok(Some(read)) => read,
                Ok(None) if run.is_whole() => break complete,
                Ok(None) => break Outcome::NotHeld,
                Err(error) => {
                    tracing::warn!(%error, "cannot read what is offered");
                    break outcome(&error);
                }
            };
            let length = range.end - range.start;
            let data = RunData {
                request: asked.request,
                position: range.start,
                codec,
                plain_length: u32::try_from(length).expect("a frame is short"),
            };
            slot.send(data, Payload::Pooled(buffer));
            sent += length;
            allowed.traffic.add_sent(length);
        };
        visitor.end_behind_data(asked.request, end).await;
        sent
    }

    /// Sends the pages that were asked for, as far as they are here and belong to the
    /// snapshot.
    pub(crate) async fn send_pages(self: Arc<Self>, visitor: Arc<Visitor>, asked: PageRequest) {
        let request = asked.request;
        let Some(allowed) = visitor.allowed(&asked.snapshot) else {
            visitor.end_pages(request, Payload::Empty).await;
            return;
        };
        let compress = visitor.has(Features::ZSTD);
        // Nothing is read for a peer that takes nothing.
        let free = async || {
            let slot = visitor.outbox().room().await?;
            Ok::<_, Closed>((slot, self.page_buffers.take_for(visitor.origin()).await))
        };
        let Ok(mut next) = free().await else {
            return;
        };
        let server = Arc::clone(&self);
        let pages = asked.pages.into_vec();
        let of_snapshot = spawn_blocking(move || {
            (server.page_sets).of_snapshot(&server.store, &allowed.snapshot, &pages)
        });
        let mut pages = match of_snapshot.await.expect("reading does not panic") {
            Ok(pages) => pages.into_iter(),
            Err(error) => {
                tracing::warn!(%error, "cannot tell which pages a snapshot has");
                Vec::new().into_iter()
            }
        };
        loop {
            let (slot, mut buffer) = next;
            let (store, encoders) = (self.store.clone(), Arc::clone(&self.encoders));
            let read = spawn_blocking(move || {
                let heads = match compress {
                    true => encoders.with(|encoder| {
                        read_pages(&store, &mut pages, Some(encoder), buffer.vec_mut())
                    }),
                    false => read_pages(&store, &mut pages, None, buffer.vec_mut()),
                };
                (heads, pages, buffer)
            });
            let (heads, left, buffer) = read.await.expect("reading does not panic");
            let heads = heads.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot read a page");
                List::empty()
            });
            let last = left.as_slice().is_empty() || heads.is_empty();
            pages = left;
            let answer = Pages {
                request,
                last,
                pages: heads,
            };
            if last {
                visitor.close_request(request);
            }
            let payload = match answer.pages.is_empty() {
                true => Payload::Empty,
                false => Payload::Pooled(buffer),
            };
            slot.send(answer, payload);
            if last {
                return;
            }
            next = match free().await {
                Ok(next) => next,
                Err(Closed) => return,
            };
        }
    }
}

/// A number for each origin.
fn number_of(origin: Origin) -> u64 {
    let mut hasher = DefaultHasher::new();
    origin.hash(&mut hasher);
    hasher.finish()
}

async fn read(
    mut run: RunAnswer,
    mut buffer: Buffer,
) -> (Result<Option<(Piece, Buffer)>, ReadError>, RunAnswer) {
    let reading = spawn_blocking(move || {
        let piece = run.next(buffer.vec_mut());
        (piece.map(|piece| piece.map(|piece| (piece, buffer))), run)
    });
    reading.await.expect("reading does not panic")
}
