//! What a node does for others.
//!
//! Owns: carrying out what the serving machine decides, piece by piece. Refuses: to choose.

use std::time::Duration;

use shoal_protocol::have::RangeSet;
use shoal_protocol::serve::{Input, Output};
use shoal_protocol::wire::RequestId;

use super::connection::{Answer, ConnectionId, Item, PIECE_BYTES_MAX, PIECES_ON_THEIR_WAY};
use super::event::{Event, Piece, Word};
use super::node::Asked;
use super::rights::{Rights, snapshot};
use super::setup::Conduct;
use super::watch::Note;
use super::world::World;

/// How long a small packet waits at an interface that is busy (the lab's queues hold this).
pub(super) const QUEUE: Duration = Duration::from_millis(30);

impl World {
    /// A visitor asks for positions.
    pub(super) fn ask(
        &mut self,
        id: ConnectionId,
        request: RequestId,
        asked: RangeSet,
        priority: u8,
    ) {
        let connection = &self.connections[id.0];
        let (client, server) = (connection.client, connection.server);
        let peer = self.nodes[client].key;
        let node = &mut self.nodes[server];
        let ranges = asked.intersect(&node.disk.recorded);
        if ranges.is_empty() {
            return self.say(id, Word::Ended(request));
        }
        node.requests += 1;
        let number = RequestId(node.requests);
        let connection = id;
        node.asked.insert(
            number,
            Asked {
                connection,
                request,
            },
        );
        self.serve(
            server,
            Input::Request {
                peer,
                // Every node of the world has an address of its own.
                origin: client as u64,
                request: number,
                snapshot: snapshot(),
                ranges,
                priority,
            },
        );
    }

    /// A visitor takes a request back.
    pub(super) fn cancel(&mut self, id: ConnectionId, request: RequestId) {
        let connection = &self.connections[id.0];
        let (client, server) = (connection.client, connection.server);
        let peer = self.nodes[client].key;
        let asked = self.nodes[server].asked.iter();
        let theirs = |asked: &Asked| asked.connection == id && asked.request == request;
        let found = asked
            .filter(|(_, a)| theirs(a))
            .map(|(number, _)| *number)
            .next();
        if let Some(request) = found {
            self.serve(server, Input::Cancel { peer, request });
        }
    }

    /// Tells a node's serving machine something, and does what it says.
    pub(super) fn serve(&mut self, server: usize, input: Input) {
        self.nodes[server].serve.handle(self.now, input);
        while let Some(output) = self.nodes[server].serve.poll() {
            self.carry_out_serving(server, output);
        }
    }

    fn carry_out_serving(&mut self, server: usize, output: Output) {
        let asked = |world: &Self, number| world.nodes[server].asked.get(&number).copied();
        match output {
            Output::Start {
                request: number,
                ranges,
                ..
            } => {
                let Some(Asked {
                    connection,
                    request,
                }) = asked(self, number)
                else {
                    return;
                };
                self.connections[connection.0].answers.push_back(Answer {
                    number,
                    request,
                    ranges: ranges.iter().collect(),
                    sent: 0,
                    is_stopped: false,
                });
                self.is_ready(connection);
            }
            Output::Stop {
                request: number, ..
            } => {
                let Some(Asked { connection, .. }) = asked(self, number) else {
                    return;
                };
                let mut answers = self.connections[connection.0].answers.iter_mut();
                if let Some(answer) = answers.find(|answer| answer.number == number) {
                    answer.is_stopped = true;
                }
                self.is_ready(connection);
            }
            Output::Busy {
                request: number,
                retry,
                ..
            } => {
                if let Some(asked) = self.nodes[server].asked.remove(&number) {
                    self.say(asked.connection, Word::Busy(asked.request, retry));
                }
            }
            Output::Cancelled {
                request: number, ..
            } => {
                if let Some(asked) = self.nodes[server].asked.remove(&number) {
                    self.say(asked.connection, Word::Ended(asked.request));
                }
            }
        }
    }

    /// A connection may have something to send: it waits for its turn at the uplink.
    pub(super) fn is_ready(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        let has_room = connection.pieces < PIECES_ON_THEIR_WAY;
        if connection.is_ready || connection.answers.is_empty() || !has_room {
            return;
        }
        let server = connection.server;
        connection.is_ready = true;
        self.nodes[server].uplink.ready.push_back(id);
        if !self.nodes[server].uplink.is_busy {
            self.go_on_sending(server);
        }
    }

    /// The uplink of a node takes the next piece.
    pub(super) fn go_on_sending(&mut self, server: usize) {
        self.nodes[server].uplink.is_busy = false;
        while let Some(id) = self.nodes[server].uplink.ready.pop_front() {
            if self.connections[id.0].server != server {
                if self.pass_on(server, id) {
                    return;
                }
                continue;
            }
            self.connections[id.0].is_ready = false;
            let Some(piece) = self.next_piece(id) else {
                continue;
            };
            self.send(id, piece);
            self.is_ready(id);
            return;
        }
    }

    /// The next piece of a connection's answers, which take turns. Ends those that are through.
    fn next_piece(&mut self, id: ConnectionId) -> Option<Piece> {
        let server = self.connections[id.0].server;
        let node = &mut self.nodes[server];
        if let Conduct::Staller(after) = node.setup.conduct
            && node.misbehaved >= after
        {
            return None;
        }
        loop {
            let mut answer = self.connections[id.0].answers.pop_front()?;
            if !answer.is_stopped
                && let Some(range) = answer.ranges.front_mut()
            {
                let start = range.start;
                let end = range.end.min(start + PIECE_BYTES_MAX);
                range.start = end;
                if range.is_empty() {
                    answer.ranges.pop_front();
                }
                answer.sent += end - start;
                let request = answer.request;
                self.connections[id.0].answers.push_back(answer);
                let (first, last) = (self.now, self.now);
                return Some(Piece {
                    request,
                    start,
                    end,
                    first,
                    last,
                });
            }
            self.end_answer(id, &answer);
        }
    }

    fn end_answer(&mut self, id: ConnectionId, answer: &Answer) {
        let connection = &self.connections[id.0];
        let (client, server) = (connection.client, connection.server);
        let peer = self.nodes[client].key;
        self.nodes[server].asked.remove(&answer.number);
        self.say(id, Word::Ended(answer.request));
        let (request, bytes) = (answer.number, answer.sent);
        self.serve(
            server,
            Input::Ended {
                peer,
                request,
                bytes,
            },
        );
    }

    /// Puts a piece on its way: it occupies the uplink now.
    fn send(&mut self, id: ConnectionId, mut piece: Piece) {
        let (client, server) = (self.connections[id.0].client, self.connections[id.0].server);
        let bytes = piece.bytes();
        self.check_sent(id, &piece);
        let node = &mut self.nodes[server];
        node.sent += bytes;
        node.misbehaved += bytes;
        node.uplink.is_busy = true;
        let on_line = self.network.bytes_on_line(server, client, bytes);
        let node = &mut self.nodes[server];
        let (first, last) = node.uplink.pipe.pass(self.now, self.now, on_line);
        self.heap.put(last, Event::UplinkFree(server));
        (piece.first, piece.last) = (first, last);
        let connection = &mut self.connections[id.0];
        connection.pieces += 1;
        connection.on_its_way.push_back(Item::Piece(piece.clone()));
        if let Some(relay) = self.relay(id) {
            return self.reach_relay(id, relay, piece);
        }
        match self.network.crossing(server, client) {
            None => self.reach(id, piece),
            Some((from, to)) => {
                self.connections[id.0].at_line.push_back((piece, self.now));
                let line = &mut self.network.lines[from][to];
                line.ready.push_back(id);
                if !line.is_busy {
                    self.go_on_crossing(from, to);
                }
            }
        }
    }

    /// The line between two sites takes the next piece.
    pub(super) fn go_on_crossing(&mut self, from: usize, to: usize) {
        let line = &mut self.network.lines[from][to];
        line.is_busy = false;
        let Some(id) = line.ready.pop_front() else {
            return;
        };
        let connection = &mut self.connections[id.0];
        let (mut piece, _) = connection
            .at_line
            .pop_front()
            .expect("it waits for the line");
        let (server, client) = (connection.server, connection.client);
        let on_line = self.network.bytes_on_line(server, client, piece.bytes());
        let line = &mut self.network.lines[from][to];
        line.is_busy = true;
        let (first, last) = line
            .pipe
            .pass(piece.first.max(self.now), piece.last, on_line);
        let free_at = line.pipe.free_at();
        (piece.first, piece.last) = (first, last);
        self.heap.put(free_at, Event::LineFree(from, to));
        self.reach(id, piece);
    }

    /// A piece gets to the downlink of its receiver; when it arrives is known from here on.
    pub(super) fn reach(&mut self, id: ConnectionId, mut piece: Piece) {
        let (client, server) = (self.connections[id.0].client, self.connections[id.0].server);
        let delay = self.network.delay(server, client);
        let more = self.network.delay_by_loss(server, client, piece.bytes());
        let (first, last) = (piece.first + delay, piece.last + delay);
        let downlink = &mut self.nodes[client].downlink;
        let (first, last) = downlink.pass(first, last, piece.bytes());
        let connection = &mut self.connections[id.0];
        let last = (last + more).max(connection.last_arrival);
        connection.last_arrival = last;
        (piece.first, piece.last) = (first, last);
        let same = |item: &&mut Item| match item {
            Item::Piece(p) => p.request == piece.request && p.start == piece.start,
            Item::Word(..) => false,
        };
        if let Some(item) = connection.on_its_way.iter_mut().find(same) {
            *item = Item::Piece(piece);
        }
        self.heap.put(last, Event::Arrive(id));
    }

    /// What a node sends it must have, have offered, and be allowed to give.
    fn check_sent(&mut self, id: ConnectionId, piece: &Piece) {
        let (client, server) = (self.connections[id.0].client, self.connections[id.0].server);
        let (start, bytes) = (piece.start, piece.bytes());
        self.watch.note(
            self.now,
            Note::Sends {
                server,
                client,
                start,
                bytes,
            },
        );
        let node = &self.nodes[server];
        let range = piece.start..piece.end;
        let holds = node.disk.held.contains_range(range.clone());
        self.watch.require(holds, || {
            format!("node {server} sends {range:?}, which it does not hold")
        });
        let elapsed = self.now - self.start;
        let ahead = node.setup.clock_ahead_s;
        let may = Rights::are_in_force(&self.setup, elapsed, ahead)
            && self.nodes[client].setup.conduct != Conduct::Stranger;
        self.watch.require(may, || {
            format!("node {server} serves {client}, which has no right")
        });
    }
}
