//! The serve machine: takes turns.
//!
//! Owns: the bounds of the queues, whose turn it is, how long to send someone away. Refuses:
//! the order within one peer's requests, which is the queue's.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::copies::Copies;
use super::events::{Input, Output, ServeConfig};
use super::origins::{Count, Origins};
use super::queue::{Queue, Request};
use crate::peer::PeerKey;
use crate::wire::RequestId;

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Bytes per second that are assumed until some were sent.
const RATE_ASSUMED: f64 = 50e6;
/// The rate is looked at no more often than this.
const RATE_SAMPLE: Duration = Duration::from_millis(500);
/// How much a new sample counts against what was measured before.
const RATE_SAMPLE_WEIGHT: f64 = 0.3;

/// The machine. See the [module](super) for how it decides.
#[derive(Debug)]
pub struct Serve {
    config: ServeConfig,
    peers: BTreeMap<PeerKey, Queue>,
    origins: Origins,
    /// Whose turn it was last.
    turn: Option<PeerKey>,
    active: usize,
    waiting: usize,
    copies: Copies,
    rate: f64,
    sent_bytes: u64,
    sampled: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Serve {
    /// A machine with nothing to answer.
    pub fn new(config: ServeConfig) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            origins: Origins::default(),
            turn: None,
            active: 0,
            waiting: 0,
            copies: Copies::default(),
            rate: RATE_ASSUMED,
            sent_bytes: 0,
            sampled: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes note of what happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request {
                peer,
                origin,
                request,
                snapshot,
                ranges,
                priority,
            } => self.queue(
                peer,
                origin,
                Request {
                    id: request,
                    snapshot,
                    ranges,
                    priority,
                    asked: now,
                },
            ),
            Input::Ended {
                peer,
                request,
                bytes,
            } => self.end(now, peer, request, bytes),
            Input::Cancel { peer, request } => self.cancel(peer, request),
            Input::PeerLeft { peer } => self.leave(&peer),
            Input::Timeout => {}
        }
        self.copies.expire(now, self.config.copies_kept);
        while self.active < self.config.active_max && self.start_one(now) {}
    }

    /// What to do next; nothing until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to wake the machine if nothing happens.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.copies.next_expiry(self.config.copies_kept)
    }

    /// How many answers are running.
    pub fn active(&self) -> usize {
        self.active
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    fn queue(&mut self, peer: PeerKey, origin: u64, request: Request) {
        let full = self.waiting >= self.config.queued_max
            || self.origins.at(origin).waiting >= self.config.queued_per_origin_max;
        let theirs = self.peers.get(&peer);
        if theirs.is_some_and(|queue| queue.contains(request.id)) {
            return;
        }
        let waiting = theirs.map_or(0, Queue::waiting);
        if full || waiting >= self.config.queued_per_peer_max {
            let retry = self.retry();
            let request = request.id;
            self.outputs.push_back(Output::Busy {
                peer,
                request,
                retry,
            });
            return;
        }
        let new = || Queue::new(origin);
        let queue = self.peers.entry(peer).or_insert_with(new);
        self.origins.take(queue.origin, queue.count());
        queue.origin = origin;
        queue.push(request);
        self.origins.add(origin, queue.count());
        self.waiting += 1;
    }

    fn end(&mut self, now: Instant, peer: PeerKey, id: RequestId, bytes: u64) {
        let Some(queue) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(request) = queue.end(id) else {
            return;
        };
        let ended = Count {
            active: 1,
            waiting: 0,
        };
        self.origins.take(queue.origin, ended);
        if queue.is_empty() {
            self.peers.remove(&peer);
        }
        self.active -= 1;
        self.copies
            .take_back(&request.snapshot, &request.ranges, bytes);
        self.measure(now, bytes);
    }

    fn cancel(&mut self, peer: PeerKey, request: RequestId) {
        let Some(queue) = self.peers.get_mut(&peer) else {
            return;
        };
        if queue.is_active(request) {
            self.outputs.push_back(Output::Stop { peer, request });
        } else if queue.withdraw(request).is_some() {
            let withdrawn = Count {
                active: 0,
                waiting: 1,
            };
            self.origins.take(queue.origin, withdrawn);
            self.waiting -= 1;
            self.outputs.push_back(Output::Cancelled { peer, request });
        }
        if queue.is_empty() {
            self.peers.remove(&peer);
        }
    }

    fn leave(&mut self, peer: &PeerKey) {
        let Some(queue) = self.peers.remove(peer) else {
            return;
        };
        self.origins.take(queue.origin, queue.count());
        self.active -= queue.active();
        self.waiting -= queue.waiting();
        for request in queue.active_requests() {
            self.copies.take_back(&request.snapshot, &request.ranges, 0);
        }
    }

    /// Starts the answer whose turn it is; false if there is none.
    fn start_one(&mut self, now: Instant) -> bool {
        let Some((peer, index)) = self.next(now) else {
            return false;
        };
        let queue = self.peers.get_mut(&peer).expect("it was just chosen");
        self.origins.start(queue.origin);
        let request = queue.start(index);
        self.copies.note(now, request.snapshot, &request.ranges);
        self.outputs.push_back(Output::Start {
            peer,
            request: request.id,
            snapshot: request.snapshot,
            ranges: request.ranges.clone(),
        });
        self.turn = Some(peer);
        if self.active == 0 {
            self.start_measuring(now);
        }
        self.active += 1;
        self.waiting -= 1;
        true
    }

    /// The next peer in turn with an eager request, else the next with any.
    fn next(&self, now: Instant) -> Option<(PeerKey, usize)> {
        if self.waiting == 0 {
            return None;
        }
        let eager = |request: &Request| {
            request.priority > 0
                || now.saturating_duration_since(request.asked) >= self.config.patience
                || self.copies.is_fresh(&request.snapshot, &request.ranges)
        };
        let mut patient = None;
        for (peer, queue) in self.in_turn() {
            if queue.waiting() == 0
                || queue.active() >= self.config.active_per_peer_max
                || self.origins.at(queue.origin).active >= self.config.active_per_origin_max
            {
                continue;
            }
            match queue.next(eager) {
                Some((index, true)) => return Some((*peer, index)),
                Some((index, false)) => patient = patient.or(Some((*peer, index))),
                None => {}
            }
        }
        patient
    }

    /// All peers, beginning behind the one whose turn it was.
    fn in_turn(&self) -> impl Iterator<Item = (&PeerKey, &Queue)> {
        let turn = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let first = self.peers.range((turn, Bound::Unbounded));
        let then = self.turn.map(|turn| self.peers.range(..=turn));
        first.chain(then.into_iter().flatten())
    }

    /// When the queues that there are will be answered, about.
    fn retry(&self) -> Duration {
        let bytes: u64 = self.peers.values().map(Queue::waiting_bytes).sum();
        let time = Duration::from_secs_f64(bytes as f64 / self.rate.max(1.0));
        time.clamp(RETRY_MIN, RETRY_MAX)
    }

    /// Time in which there was nothing to send says nothing about the rate.
    fn start_measuring(&mut self, now: Instant) {
        self.sent_bytes = 0;
        self.sampled = Some(now);
    }

    fn measure(&mut self, now: Instant, bytes: u64) {
        self.sent_bytes += bytes;
        let since = self.sampled.unwrap_or(now);
        let time = now.saturating_duration_since(since);
        if time >= RATE_SAMPLE {
            let sample = self.sent_bytes as f64 / time.as_secs_f64();
            self.rate += (sample - self.rate) * RATE_SAMPLE_WEIGHT;
            self.start_measuring(now);
        }
    }
}
