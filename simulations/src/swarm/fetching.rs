//! What a node does to get what it lacks.
//!
//! Owns: feeding the fetch machine and carrying out what it decides, as the product's
//! `data::fetch` does: what arrives is verified, written, recorded now and then, and offered
//! from then on. Refuses: to choose.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_protocol::fetch::{Distance, DropReason, FetchConfig, Input, Output, State, Waiting};
use shoal_protocol::have::RangeSet;
use shoal_protocol::wire::RequestId;
use shoal_protocol::wire::limits::{REQUESTED_BYTES_MAX, REQUESTS_OPEN_MAX};

use super::connection::{ConnectionId, Item};
use super::event::{End, Event, Piece, Word};
use super::node::{OUTSTANDING_BYTES_MAX, RUN_BYTES, index_of};
use super::setup::{CHUNK, Conduct, Planted};
use super::watch::Note;
use super::world::{World, wants};

/// What came is recorded so often,
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// so often while others wait for it,
const CHECKPOINT_EVERY_FOR_OTHERS: Duration = Duration::from_millis(500);
/// and after so many bytes.
const CHECKPOINT_BYTES: u64 = 256 << 20;
/// What recording takes beyond the bytes.
const CHECKPOINT_TIME: Duration = Duration::from_millis(10);
/// Fewer bytes than this are no sign of progress.
const HEARD_BYTES_MIN: u64 = 16 << 10;
/// What nobody has is asked for again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Whoever answers within this is near.
const NEAR: Duration = Duration::from_millis(2);
/// How long a node waits for room on its disk before it looks again.
const ROOM_RETRY: Duration = Duration::from_secs(5);
/// A disk that is this far behind holds the network up.
const DISK_LAG: Duration = Duration::from_millis(1);

impl World {
    /// How far away a node finds another to be.
    pub(super) fn distance(&self, from: usize, to: usize) -> Distance {
        match 2 * self.network.delay(from, to) < NEAR {
            true => Distance::Lan,
            false => Distance::Wan,
        }
    }

    /// What is first on its way to the one who dialled arrives, and the words behind it.
    pub(super) fn arrive(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        let Some(item) = connection.on_its_way.pop_front() else {
            return;
        };
        match item {
            Item::Word(word, _) => self.hear_server(id, word),
            Item::Piece(piece) => {
                connection.pieces -= 1;
                connection.received += piece.bytes();
                if connection.client_is_there {
                    self.take(id, piece);
                }
                if self.connections[id.0].server_is_there {
                    self.is_ready(id);
                }
            }
        }
        while let Some(Item::Word(_, false)) = self.connections[id.0].on_its_way.front() {
            if let Some(Item::Word(word, _)) = self.connections[id.0].on_its_way.pop_front() {
                self.hear_server(id, word);
            }
        }
    }

    fn hear_server(&mut self, id: ConnectionId, word: Word) {
        let connection = &mut self.connections[id.0];
        if !connection.client_is_there {
            return;
        }
        let (client, server) = (connection.client, connection.server);
        let peer = self.nodes[server].key;
        match word {
            Word::Admitted { offers_all } => self.hear_verdict(id, Some(offers_all), false),
            Word::Refused { is_full } => self.hear_verdict(id, None, is_full),
            Word::Neighbours(peers) => self.meet(client, peers),
            Word::Offer { all, more } => {
                connection.offered = Arc::clone(&all);
                let input = match more.as_deref().cloned() {
                    Some(added) => Input::PeerOffersMore { peer, added },
                    None => Input::PeerOffers {
                        peer,
                        offered: (*all).clone(),
                    },
                };
                self.tell(client, input);
            }
            // The machine must hear of the bytes before it hears that no more come.
            Word::Ended(..) | Word::Busy(..) if connection.written > self.now => {
                let at = connection.written;
                connection.on_its_way.push_front(Item::Word(word, true));
                self.heap.put(at, Event::Arrive(id));
            }
            Word::Ended(request) => {
                connection.open.remove(&request);
                self.tell(client, Input::Ended { peer, request });
            }
            Word::Busy(request, retry) => {
                connection.open.remove(&request);
                self.tell(
                    client,
                    Input::Busy {
                        peer,
                        request,
                        retry,
                    },
                );
            }
            Word::Request { .. } | Word::Cancel(_) | Word::OfferWanted => {
                unreachable!("only clients say that")
            }
        }
    }

    /// Bytes arrived: they go to the disk.
    fn take(&mut self, id: ConnectionId, piece: Piece) {
        let client = self.connections[id.0].client;
        let disk = &mut self.nodes[client].disk;
        let (_, written) = disk.pipe.pass(self.now, self.now, piece.bytes());
        if written <= self.now + DISK_LAG {
            return self.written(id, &piece);
        }
        let connection = &mut self.connections[id.0];
        connection.written = connection.written.max(written);
        self.heap.put(written, Event::Written(id, piece));
    }

    /// Bytes are verified, and written as far as they are good.
    pub(super) fn written(&mut self, id: ConnectionId, piece: &Piece) {
        let (client, server) = (self.connections[id.0].client, self.connections[id.0].server);
        if !self.connections[id.0].client_is_there || self.nodes[client].fetcher.is_none() {
            return;
        }
        self.connections[id.0].came(piece);
        let peer = self.nodes[server].key;
        let range = piece.start..piece.end;
        let mut good = RangeSet::of(range.clone());
        let mut bad = RangeSet::new();
        if let Conduct::Liar(share) = self.nodes[server].setup.conduct {
            for start in range.clone().step_by(CHUNK as usize) {
                if self.random.happens(share) {
                    bad.insert(start..(start + CHUNK).min(range.end));
                }
            }
        }
        let wrong = self.nodes[server].disk.wrong.intersect_range(range.clone());
        bad = bad.union(&wrong);
        if self.setup.planted == Some(Planted::NoVerification) {
            self.nodes[client].disk.wrong = self.nodes[client].disk.wrong.union(&bad);
        } else {
            good = good.subtract(&bad);
        }
        let room = self.nodes[client].disk.room;
        if self.nodes[client].disk.held.total_bytes() + good.total_bytes() > room {
            return self.wait_for_room(client);
        }
        for range in good.iter() {
            let (start, bytes) = (range.start, range.end - range.start);
            self.watch.note(
                self.now,
                Note::Writes {
                    node: client,
                    start,
                    bytes,
                },
            );
            let node = &mut self.nodes[client];
            let already = node.disk.held.intersect_range(range.clone()).total_bytes();
            node.repeated += already;
            node.disk.held.insert(range.clone());
            self.note_unrecorded(client, bytes - already);
            self.tell(client, Input::Delivered { peer, range });
        }
        for range in bad.subtract(&good).iter() {
            for start in range.clone().step_by(CHUNK as usize) {
                let chunk = start..(start + CHUNK).min(range.end);
                self.refute(id, client, server, chunk);
            }
        }
        let wrong = self.nodes[client].disk.wrong.total_bytes();
        self.watch.require(wrong == 0, || {
            format!("node {client} has {wrong} wrong bytes on its disk")
        });
        self.go_on_fetching(client);
    }

    fn refute(
        &mut self,
        id: ConnectionId,
        client: usize,
        server: usize,
        range: std::ops::Range<u64>,
    ) {
        let position = range.start;
        self.watch.note(
            self.now,
            Note::Refutes {
                node: client,
                sender: server,
                position,
            },
        );
        let honest = self.nodes[server].setup.conduct == Conduct::Honest;
        self.watch.require(!honest, || {
            format!("node {server} is honest and sent a wrong chunk")
        });
        let peer = self.nodes[server].key;
        if let Some(fetcher) = &mut self.nodes[client].fetcher {
            *fetcher.bad_chunks.entry(server).or_default() += 1;
        }
        if self.connections[id.0].client_is_there {
            self.tell(client, Input::BadChunk { peer, range });
        }
    }

    /// Tells the fetch machine something, and does what it says.
    pub(super) fn tell(&mut self, node: usize, input: Input) {
        let Some(fetcher) = &mut self.nodes[node].fetcher else {
            return;
        };
        fetcher.machine.handle(self.now, input);
        while let Some(output) = self.nodes[node]
            .fetcher
            .as_mut()
            .and_then(|f| f.machine.poll())
        {
            self.carry_out_fetching(node, output);
        }
        self.set_alarm(node);
    }

    fn carry_out_fetching(&mut self, node: usize, output: Output) {
        match output {
            Output::Request {
                peer,
                request,
                ranges,
                urgent,
                ..
            } => {
                self.request(node, index_of(&peer), request, ranges, u8::from(urgent));
            }
            Output::Cancel { peer, request } => {
                let fetcher = self.nodes[node].fetcher.as_ref();
                let id = fetcher.and_then(|f| f.sessions.get(&index_of(&peer)).copied());
                if let Some(id) = id {
                    self.connections[id.0].open.remove(&request);
                    self.say_to_server(id, Word::Cancel(request));
                }
            }
            Output::Drop { peer, why } => {
                self.leave_peer(node, &peer, why == DropReason::BadChunks);
            }
            Output::RunDone(run) => {
                if let Some(fetcher) = &mut self.nodes[node].fetcher
                    && let Some(run) = fetcher.open_runs.remove(&run)
                {
                    fetcher.open_bytes -= run.bytes();
                    let whole = self.nodes[node].disk.held.contains_range(run.range());
                    self.watch.require(whole, || {
                        format!("node {node} counts {run:?} as done, and lacks some of it")
                    });
                }
            }
            Output::State(State::Waiting(Waiting::Offer { .. })) => {
                self.nodes[node].ask_again = Some(self.now + ASK_AGAIN);
            }
            Output::State(_) => {}
        }
    }

    /// Asks a peer for positions, within all bounds.
    fn request(
        &mut self,
        node: usize,
        server: usize,
        request: RequestId,
        ranges: RangeSet,
        priority: u8,
    ) {
        let fetcher = self.nodes[node].fetcher.as_ref();
        let Some(id) = fetcher.and_then(|f| f.sessions.get(&server)).copied() else {
            return self.watch.require(false, || {
                format!("node {node} asks {server}, which it has left")
            });
        };
        let (start, bytes) = (
            ranges.iter().next().map_or(0, |r| r.start),
            ranges.total_bytes(),
        );
        self.watch.note(
            self.now,
            Note::Asks {
                client: node,
                server,
                start,
                bytes,
            },
        );
        let is_offered = ranges.is_subset_of(&self.connections[id.0].offered);
        self.watch.require(is_offered, || {
            format!("node {node} asks {server} for {ranges:?}, which it does not offer")
        });
        let is_missing = ranges.intersect(&self.nodes[node].disk.held).is_empty();
        self.watch.require(is_missing, || {
            format!("node {node} asks {server} for what it has")
        });
        if self.setup.planted == Some(Planted::OffersTooSoon) {
            for range in ranges.iter() {
                Arc::make_mut(&mut self.nodes[node].disk.recorded).insert(range);
            }
        }
        self.connections[id.0].open.insert(request, bytes);
        self.say_to_server(
            id,
            Word::Request {
                request,
                ranges,
                priority,
            },
        );
        self.check_window(id);
    }

    /// What is asked of a peer stays within the bounds of the protocol, and about within what
    /// the peer could deliver in the time that the window stands for.
    fn check_window(&mut self, id: ConnectionId) {
        let connection = &self.connections[id.0];
        let (client, server) = (connection.client, connection.server);
        let (requests, bytes) = (connection.open.len(), connection.expected());
        let within = requests <= REQUESTS_OPEN_MAX && bytes <= REQUESTED_BYTES_MAX;
        self.watch.require(within, || {
            format!("node {client} has {requests} requests for {bytes} bytes open with {server}")
        });
        let rate = self.nodes[server]
            .setup
            .up
            .min(self.nodes[client].setup.down);
        let config = FetchConfig::default();
        let time = config.window_slack + 2 * connection.round_trip;
        let window = config.window_bytes_initial + (2.0 * rate * time.as_secs_f64()) as u64;
        let within = bytes <= window + 2 * RUN_BYTES;
        self.watch.require(within, || {
            format!(
                "node {client} has {bytes} bytes open with {server}, which sends {rate} a second"
            )
        });
    }

    /// Gives the machine more runs, and notices when there is nothing left to do.
    pub(super) fn go_on_fetching(&mut self, node: usize) {
        loop {
            let Some(fetcher) = &mut self.nodes[node].fetcher else {
                return;
            };
            let has_room = fetcher.open_bytes < OUTSTANDING_BYTES_MAX;
            if !fetcher.machine.wants_runs() || !has_room || fetcher.is_all_planned {
                break;
            }
            let input = match fetcher.plan.pop_front() {
                Some(run) => {
                    fetcher.open_runs.insert(run.id, run);
                    fetcher.open_bytes += run.bytes();
                    Input::Wanted(run)
                }
                None => {
                    fetcher.is_all_planned = true;
                    Input::NoMoreRuns
                }
            };
            self.tell(node, input);
        }
        if self.nodes[node]
            .disk
            .held
            .contains_range(0..self.setup.bytes)
        {
            self.finish(node);
        }
    }

    /// Everything is here.
    fn finish(&mut self, node: usize) {
        self.watch.note(self.now, Note::Finishes { node });
        let this = &mut self.nodes[node];
        let Some(fetcher) = this.fetcher.take() else {
            return;
        };
        if this.finished.is_none() && wants(&this.setup) {
            self.unfinished -= 1;
        }
        this.finished = Some(self.now);
        let epoch = this.epoch;
        for id in fetcher.sessions.into_values() {
            self.part(id, End::Client);
        }
        self.recorded(node, self.nodes[node].disk.held.clone());
        if let Some(linger) = self.setup.linger {
            self.heap.put(self.now + linger, Event::Leave(node, epoch));
        }
    }

    /// The machine is woken when it wants to be, and after whom was heard since.
    pub(super) fn wake(&mut self, node: usize) {
        let now = self.now;
        let this = &mut self.nodes[node];
        let Some(fetcher) = &mut this.fetcher else {
            return;
        };
        fetcher.wake_at = None;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(this.ask_again) {
            this.ask_again = None;
            for (server, id) in fetcher.sessions.clone() {
                let offered = (*self.connections[id.0].offered).clone();
                let peer = self.nodes[server].key;
                self.tell(node, Input::PeerOffers { peer, offered });
            }
        }
        let Some(fetcher) = &mut self.nodes[node].fetcher else {
            return;
        };
        if is_due(fetcher.machine.next_timeout()) {
            for (server, id) in fetcher.sessions.clone() {
                let connection = &mut self.connections[id.0];
                let bytes = connection.received_by(now);
                if bytes >= connection.heard + HEARD_BYTES_MIN {
                    connection.heard = bytes;
                    let peer = self.nodes[server].key;
                    self.tell(node, Input::Heard { peer });
                }
            }
            self.tell(node, Input::Timeout);
        } else {
            self.set_alarm(node);
        }
    }

    fn set_alarm(&mut self, node: usize) {
        let this = &mut self.nodes[node];
        let Some(fetcher) = &mut this.fetcher else {
            return;
        };
        let times = [fetcher.machine.next_timeout(), this.ask_again];
        let Some(at) = times.into_iter().flatten().min() else {
            return;
        };
        let at = at.max(self.now);
        if fetcher.wake_at.is_none_or(|before| at < before) {
            fetcher.wake_at = Some(at);
            self.heap.put(at, Event::Wake(node, this.epoch));
        }
    }

    fn note_unrecorded(&mut self, node: usize, bytes: u64) {
        let this = &mut self.nodes[node];
        let epoch = this.epoch;
        let Some(fetcher) = &mut this.fetcher else {
            return;
        };
        fetcher.unrecorded += bytes;
        if fetcher.unrecorded == 0 || fetcher.is_recording || fetcher.is_checkpoint_due {
            return;
        }
        let every = match this.visitors.is_empty() {
            true => CHECKPOINT_EVERY,
            false => CHECKPOINT_EVERY_FOR_OTHERS,
        };
        let at = match fetcher.unrecorded < CHECKPOINT_BYTES {
            true => (fetcher.recorded_at + every).max(self.now),
            false => self.now,
        };
        fetcher.is_checkpoint_due = true;
        self.heap.put(at, Event::Checkpoint(node, epoch));
    }

    /// It is time to record what is here.
    pub(super) fn checkpoint(&mut self, node: usize) {
        let this = &mut self.nodes[node];
        let Some(fetcher) = &mut this.fetcher else {
            return;
        };
        fetcher.is_checkpoint_due = false;
        fetcher.is_recording = true;
        fetcher.unrecorded = 0;
        fetcher.recorded_at = self.now;
        let held = Box::new(this.disk.held.clone());
        let at = self.now + CHECKPOINT_TIME;
        self.heap.put(at, Event::Recorded(node, this.epoch, held));
    }

    /// What was here is recorded: others are told of it.
    pub(super) fn recorded(&mut self, node: usize, held: RangeSet) {
        let bytes = held.total_bytes();
        self.watch.note(self.now, Note::Records { node, bytes });
        let this = &mut self.nodes[node];
        this.disk.recorded = Arc::new(this.disk.recorded.union(&held));
        if let Some(fetcher) = &mut this.fetcher {
            fetcher.is_recording = false;
        }
        let is_held = this.disk.recorded.is_subset_of(&this.disk.held);
        self.watch.require(is_held, || {
            format!("node {node} offers what it does not hold")
        });
        let all = Arc::clone(&this.disk.recorded);
        // What is new to one who was told so much. Nearly all were told the same.
        let mut news: Option<(Arc<RangeSet>, Arc<RangeSet>)> = None;
        for id in self.nodes[node].visitors.clone() {
            let Some(told) = &mut self.connections[id.0].told else {
                continue;
            };
            let more = match &news {
                Some((before, more)) if Arc::ptr_eq(before, told) => Arc::clone(more),
                _ => Arc::new(all.subtract(told)),
            };
            news = Some((Arc::clone(told), Arc::clone(&more)));
            if !more.is_empty() {
                *told = Arc::clone(&all);
                let (all, more) = (Arc::clone(&all), Some(more));
                self.say(id, Word::Offer { all, more });
            }
        }
        self.note_unrecorded(node, 0);
    }

    /// The disk is full: the fetch ends, and begins again when there is room.
    fn wait_for_room(&mut self, node: usize) {
        self.stop(node);
        self.heap.put(self.now + ROOM_RETRY, Event::Restart(node));
    }
}
