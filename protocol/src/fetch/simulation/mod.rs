//! The machine against modelled peers: rates, delays, lies, stalls and departures, on one
//! event heap, with the clock in the model.
//!
//! Each scenario checks on every step that nothing is asked of a peer that does not offer
//! it or sent it wrong before, and in the end that every wanted run was delivered, and how
//! long that took against what the peers could do at best.

use std::cmp::Reverse;
mod scenarios;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::*;
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::RequestId;

const MIB: u64 = 1 << 20;
const CHUNK: u64 = 64 << 10;
const FRAME: u64 = 4 * CHUNK;
const RUN: u64 = 4 * MIB;
/// How often something comes from who dribbles: often enough not to be silent.
const DRIBBLE: Duration = Duration::from_secs(2);

/// How a peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It sends what it was asked for.
    Sends,
    /// It says that it was told to stop, and was not.
    Cancels,
    /// It is always busy, and wants to be asked again at once.
    Busy,
    /// It begins a frame, and never comes to its end.
    Dribbles,
    /// The same, once it has sent so many bytes.
    DribblesAfter(u64),
}

/// A peer that serves its requests one after the other.
struct Model {
    manner: Manner,
    rate: u64,
    delay: Duration,
    distance: Distance,
    offered: RangeSet,
    joins: Duration,
    leaves: Option<Duration>,
    /// Sends nothing more after so many bytes.
    stalls_after: u64,
    /// Of a hundred chunks, so many are wrong.
    lies_percent: u64,
    /// Turns down requests beyond so many.
    queue_max: usize,
    queue: VecDeque<(RequestId, RangeSet)>,
    sending: bool,
    gone: bool,
    sent: u64,
    found_bad: RangeSet,
}

fn peer(rate_mib: u64, bytes: u64) -> Model {
    Model {
        manner: Manner::Sends,
        rate: rate_mib * MIB,
        delay: Duration::from_millis(5),
        distance: Distance::Lan,
        offered: RangeSet::of(0..bytes),
        joins: Duration::ZERO,
        leaves: None,
        stalls_after: u64::MAX,
        lies_percent: 0,
        queue_max: usize::MAX,
        queue: VecDeque::new(),
        sending: false,
        gone: false,
        sent: 0,
        found_bad: RangeSet::new(),
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Join(usize),
    Leave(usize),
    Asked(usize, RequestId),
    Cancelled(usize, RequestId),
    Sent(usize, u64, u64),
    Arrived(usize, u64, u64),
    Ended(usize, RequestId),
    TurnedDown(usize, RequestId, Duration),
    Dribbled(usize),
    Wake,
}

struct World {
    start: Instant,
    now: Instant,
    heap: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    events: u64,
    fetch: Fetch,
    peers: Vec<Model>,
    asked: BTreeMap<(usize, RequestId), RangeSet>,
    runs: VecDeque<Run>,
    open_runs: BTreeSet<RunId>,
    delivered: RangeSet,
    repeated: u64,
    dropped: Vec<(usize, DropReason)>,
}

fn key(index: usize) -> PeerKey {
    PeerKey::from_bytes([index as u8 + 1; 32])
}

fn index(key: PeerKey) -> usize {
    usize::from(key.as_bytes()[0]) - 1
}

impl World {
    fn new(bytes: u64, peers: Vec<Model>) -> Self {
        let start = Instant::now();
        let runs = (0..bytes.div_ceil(RUN)).map(|i| Run {
            id: RunId(i),
            start: i * RUN,
            end: ((i + 1) * RUN).min(bytes),
        });
        let config = FetchConfig {
            seed: 7,
            ..FetchConfig::default()
        };
        let mut world = Self {
            start,
            now: start,
            heap: BinaryHeap::new(),
            events: 0,
            fetch: Fetch::new(config),
            peers,
            asked: BTreeMap::new(),
            runs: runs.collect(),
            open_runs: BTreeSet::new(),
            delivered: RangeSet::new(),
            repeated: 0,
            dropped: Vec::new(),
        };
        for i in 0..world.peers.len() {
            world.schedule(world.peers[i].joins, Event::Join(i));
            if let Some(leaves) = world.peers[i].leaves {
                world.schedule(leaves, Event::Leave(i));
            }
        }
        world
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.events += 1;
        let entry = (self.now + after, self.events, event);
        self.heap.push(Reverse(entry));
    }

    /// Runs until all is delivered; the time that it took.
    fn run(&mut self) -> Duration {
        self.feed();
        let mut wake = None;
        while !(self.runs.is_empty() && self.open_runs.is_empty()) {
            let next = self.fetch.next_timeout();
            if let Some(at) = next.filter(|at| wake.is_none_or(|w| w <= self.now || *at < w)) {
                wake = Some(at.max(self.now));
                let after = at.saturating_duration_since(self.now);
                self.schedule(after, Event::Wake);
            }
            let Reverse((at, _, event)) = self.heap.pop().unwrap_or_else(|| {
                panic!(
                    "stuck: {:?}, wanted {:?}",
                    self.fetch.state(),
                    self.open_runs
                )
            });
            self.now = at;
            assert!(self.events < 200_000, "runs for ever");
            self.happen(event);
            self.feed();
        }
        self.now - self.start
    }

    fn feed(&mut self) {
        while self.fetch.wants_runs() {
            let Some(run) = self.runs.pop_front() else {
                self.tell(Input::NoMoreRuns);
                break;
            };
            self.open_runs.insert(run.id);
            self.tell(Input::Wanted(run));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Join(i) => self.tell(Input::PeerJoined {
                peer: key(i),
                distance: self.peers[i].distance,
                offered: self.peers[i].offered.clone(),
                is_seed: false,
            }),
            Event::Leave(i) => {
                self.peers[i].gone = true;
                self.tell(Input::PeerLeft { peer: key(i) });
            }
            Event::Wake => self.tell(Input::Timeout),
            _ if self.is_gone(&event) => {}
            Event::Asked(i, id) => self.take_request(i, id),
            Event::Cancelled(i, id) => {
                self.peers[i].queue.retain(|(queued, _)| *queued != id);
                self.tell_ended(i, id);
            }
            Event::Sent(i, start, end) => self.sent(i, start..end),
            Event::Arrived(i, start, end) => self.arrive(i, start..end),
            Event::Ended(i, id) => self.tell_ended(i, id),
            Event::TurnedDown(i, request, retry) => self.tell(Input::Busy {
                peer: key(i),
                request,
                retry,
            }),
            Event::Dribbled(i) => {
                self.tell(Input::Heard { peer: key(i) });
                self.schedule(DRIBBLE, Event::Dribbled(i));
            }
        }
    }

    fn is_gone(&self, event: &Event) -> bool {
        match event {
            Event::Asked(i, _)
            | Event::Cancelled(i, _)
            | Event::Sent(i, ..)
            | Event::Arrived(i, ..)
            | Event::Ended(i, ..)
            | Event::Dribbled(i)
            | Event::TurnedDown(i, ..) => self.peers[*i].gone,
            Event::Join(_) | Event::Leave(_) | Event::Wake => false,
        }
    }

    fn take_request(&mut self, i: usize, id: RequestId) {
        let ranges = self.asked[&(i, id)].clone();
        let model = &mut self.peers[i];
        let delay = model.delay;
        match model.manner {
            Manner::Cancels => return self.schedule(delay, Event::Cancelled(i, id)),
            Manner::Busy => {
                return self.schedule(delay, Event::TurnedDown(i, id, Duration::ZERO));
            }
            Manner::Dribbles => return self.schedule(delay, Event::Dribbled(i)),
            Manner::DribblesAfter(bytes) if model.sent >= bytes => {
                return self.schedule(delay, Event::Dribbled(i));
            }
            Manner::Sends | Manner::DribblesAfter(_) => {}
        }
        if model.queue.len() >= model.queue_max {
            let retry = Duration::from_millis(300);
            return self.schedule(delay, Event::TurnedDown(i, id, retry));
        }
        model.queue.push_back((id, ranges));
        self.send_next(i);
    }

    fn send_next(&mut self, i: usize) {
        let model = &mut self.peers[i];
        if model.sending || model.sent >= model.stalls_after {
            return;
        }
        if let Manner::DribblesAfter(bytes) = model.manner
            && model.sent >= bytes
        {
            let delay = model.delay;
            return self.schedule(delay, Event::Dribbled(i));
        }
        let Some((id, ranges)) = model.queue.front_mut() else {
            return;
        };
        let id = *id;
        let Some(range) = ranges.iter().next() else {
            model.queue.pop_front();
            let delay = model.delay;
            self.schedule(delay, Event::Ended(i, id));
            return self.send_next(i);
        };
        let frame = range.start..range.end.min(range.start + FRAME);
        ranges.remove(frame.clone());
        model.sending = true;
        let nanos = (frame.end - frame.start) * 1_000_000_000 / model.rate;
        let event = Event::Sent(i, frame.start, frame.end);
        self.schedule(Duration::from_nanos(nanos), event);
    }

    fn sent(&mut self, i: usize, range: Range<u64>) {
        let model = &mut self.peers[i];
        model.sending = false;
        model.sent += range.end - range.start;
        let delay = model.delay;
        self.schedule(delay, Event::Arrived(i, range.start, range.end));
        self.send_next(i);
    }

    fn arrive(&mut self, i: usize, range: Range<u64>) {
        let mut good = RangeSet::new();
        for start in range.step_by(CHUNK as usize) {
            let chunk = start..start + CHUNK;
            if (start / CHUNK * 37 + 11) % 100 < self.peers[i].lies_percent {
                self.peers[i].found_bad.insert(chunk.clone());
                let range = chunk;
                self.tell(Input::BadChunk {
                    peer: key(i),
                    range,
                });
            } else {
                good.insert(chunk);
            }
        }
        for range in good.iter() {
            let already = self.delivered.intersect_range(range.clone()).total_bytes();
            self.repeated += already;
            self.delivered.insert(range.clone());
            self.tell(Input::Delivered {
                peer: key(i),
                range,
            });
        }
    }

    fn tell_ended(&mut self, i: usize, request: RequestId) {
        self.tell(Input::Ended {
            peer: key(i),
            request,
        });
    }

    fn tell(&mut self, input: Input) {
        self.fetch.handle(self.now, input);
        self.fetch.check_findings(self.now);
        while let Some(output) = self.fetch.poll() {
            self.obey(output);
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Request {
                peer,
                request,
                ranges,
                ..
            } => {
                let i = index(peer);
                let model = &self.peers[i];
                assert!(!model.gone, "asked a peer that is gone");
                assert!(ranges.is_subset_of(&model.offered), "asked for no offer");
                assert!(ranges.intersect(&model.found_bad).is_empty(), "asked again");
                assert!(
                    ranges.intersect(&self.delivered).is_empty(),
                    "asked in vain"
                );
                let delay = model.delay;
                self.asked.insert((i, request), ranges);
                self.schedule(delay, Event::Asked(i, request));
            }
            Output::Cancel { peer, request } => {
                let i = index(peer);
                self.schedule(self.peers[i].delay, Event::Cancelled(i, request));
            }
            Output::Drop { peer, why } => {
                self.peers[index(peer)].gone = true;
                self.dropped.push((index(peer), why));
            }
            Output::RunDone(run) => {
                assert!(self.open_runs.remove(&run), "done once");
                let range = run.0 * RUN..(run.0 + 1) * RUN;
                assert!(self.delivered.contains_range(range), "done means delivered");
            }
            Output::State(_) => {}
        }
    }
}
