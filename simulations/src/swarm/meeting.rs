//! How nodes come to know and reach each other, and how they part.
//!
//! Owns: dialling, being let in, being told of others, and trying again, with the numbers of the
//! product's `data::swarm` and `data::crowd`. Refuses: what is said on a connection after that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shoal_protocol::fetch::{Company, Fetch, FetchConfig, Input, Run, RunId};
use shoal_protocol::have::RangeSet;
use shoal_protocol::serve;
use shoal_protocol::wire::limits::{NEIGHBOURS_MAX, SILENCE_MS_MAX};

use super::connection::{Connection, ConnectionId, Item};
use super::event::{End, Event, Word};
use super::node::{Contact, Fetcher, RUN_BYTES, index_of};
use super::setup::{Conduct, Planted};
use super::watch::Note;
use super::world::World;

/// Round trips until somebody is let in: TCP, TLS, greeting, grant.
const ROUND_TRIPS: u32 = 4;
/// What the handshake's signatures and the first look at the destination take.
const HANDSHAKE: Duration = Duration::from_millis(5);
/// How long to wait before somebody is tried again; doubles up to the second.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Somebody that others told of is forgotten after so many attempts in a row.
const ATTEMPTS_MAX: u32 = 8;
/// A connection is silent for so long before it is given up.
pub(super) const SILENCE: Duration = Duration::from_millis(SILENCE_MS_MAX);

impl World {
    /// A node begins to fetch what it lacks.
    pub(super) fn begin(&mut self, node: usize) {
        let bytes = self.setup.bytes;
        let now = self.now;
        self.watch.note(now, Note::Begins { node });
        let sources = (0..self.nodes.len()).filter(|i| self.setup.nodes[*i].is_source);
        let to_dial: Vec<usize> = sources.collect();
        let company = Company::of(to_dial.iter().map(|source| self.nodes[*source].key));
        let contacts = to_dial.iter().map(|source| (*source, Contact::new()));
        let contacts = contacts.collect();
        let mut config = FetchConfig {
            seed: self.random.number(),
            me: Some(self.nodes[node].key),
            ..FetchConfig::default()
        };
        if self.setup.planted == Some(Planted::WindowNeverShrinks) {
            config.window_slack = Duration::from_secs(3600);
        }
        let this = &mut self.nodes[node];
        this.is_up = true;
        this.fetcher = Some(Fetcher {
            machine: Fetch::new(config),
            is_open: false,
            sessions: BTreeMap::new(),
            company,
            contacts,
            plan: plan(&this.disk.held, bytes),
            open_runs: BTreeMap::new(),
            open_bytes: 0,
            is_all_planned: false,
            unrecorded: 0,
            recorded_at: now,
            is_checkpoint_due: false,
            is_recording: false,
            wake_at: None,
            bad_chunks: BTreeMap::new(),
        });
        let epoch = this.epoch;
        for to in to_dial {
            let from = node;
            self.heap.put(now, Event::Dial { from, to, epoch });
        }
        self.go_on_fetching(node);
    }

    /// A node tries to reach another.
    pub(super) fn dial(&mut self, from: usize, to: usize, epoch: u32) {
        if !self.lives(from, epoch) {
            return;
        }
        let Some(fetcher) = &self.nodes[from].fetcher else {
            return;
        };
        if fetcher.sessions.contains_key(&to) {
            return;
        }
        if !fetcher.company.is_in_touch(&self.nodes[to].key) {
            return;
        }
        let is_parted = self.network.parted_until(self.now, from, to).is_some();
        if is_parted || !self.nodes[to].is_up {
            return self.try_later(from, to);
        }
        let Ok(circuit) = self.circuit(from, to) else {
            return self.try_later(from, to);
        };
        // By a relay it is twice as far.
        let ways = 1 + u32::from(circuit.is_some());
        let round_trip = 2 * ways * self.network.delay(from, to);
        let id = ConnectionId(self.connections.len());
        let mut connection = Connection::new(self.now, from, to, round_trip);
        connection.circuit = circuit;
        self.connections.push(connection);
        let at = self.now + round_trip * ROUND_TRIPS - round_trip / 2 + HANDSHAKE;
        self.heap.put(at, Event::Enter(id));
    }

    /// Somebody presents its right at the node that it dialled.
    pub(super) fn enter(&mut self, id: ConnectionId) {
        let Connection { client, server, .. } = self.connections[id.0];
        let is_parted = self
            .network
            .parted_until(self.now, client, server)
            .is_some();
        let node = &self.nodes[server];
        if is_parted || !node.is_up {
            return self.lose_session(id);
        }
        let conduct = self.nodes[client].setup.conduct;
        let elapsed = self.now - self.start;
        let right = self
            .rights
            .lets_in(elapsed, node.setup.clock_ahead_s, conduct);
        if right.is_err() || !node.serves() {
            return self.say(id, Word::Refused { is_full: false });
        }
        let is_full = node.visitors.len() >= self.setup.visitors_max;
        let offers_all = node.disk.recorded.contains_range(0..self.setup.bytes);
        let others: Vec<_> = node.visitors.clone();
        if is_full {
            self.introduce(id, &others);
            return self.say(id, Word::Refused { is_full });
        }
        self.watch.note(self.now, Note::LetIn { client, server });
        self.say(id, Word::Admitted { offers_all });
        self.introduce(id, &others);
        for other in self.random.choose(&others, NEIGHBOURS_MAX) {
            self.say(other, Word::Neighbours(vec![client]));
        }
        self.nodes[server].visitors.push(id);
    }

    /// Tells a client of some of these visitors.
    fn introduce(&mut self, id: ConnectionId, others: &[ConnectionId]) {
        let peers = self.random.choose(others, NEIGHBOURS_MAX);
        let peers = peers.iter().map(|id| self.connections[id.0].client);
        let peers: Vec<_> = peers.collect();
        if !peers.is_empty() {
            self.say(id, Word::Neighbours(peers));
        }
    }

    /// The one who dialled hears that it was let in, or not.
    pub(super) fn hear_verdict(
        &mut self,
        id: ConnectionId,
        offers_all: Option<bool>,
        is_full: bool,
    ) {
        let Connection {
            client,
            server,
            round_trip,
            ..
        } = self.connections[id.0];
        let Some(offers_all) = offers_all else {
            self.connections[id.0].leave(End::Client);
            self.connections[id.0].leave(End::Server);
            let key = self.nodes[server].key;
            let is_named = (self.nodes[client].fetcher.as_ref())
                .is_some_and(|fetcher| fetcher.company.is_named(&key));
            if is_named && !is_full {
                return self.give_up(client, server);
            }
            return self.try_later(client, server);
        };
        let stranger = self.nodes[client].setup.conduct == Conduct::Stranger;
        self.watch.require(!stranger, || {
            format!("node {server} let in the stranger {client}")
        });
        let offered = match offers_all {
            true => RangeSet::of(0..self.setup.bytes),
            false => RangeSet::new(),
        };
        let distance = self.distance(client, server);
        let peer = self.nodes[server].key;
        self.connections[id.0].offered = Arc::new(offered.clone());
        let Some(fetcher) = &mut self.nodes[client].fetcher else {
            return self.part(id, End::Client);
        };
        fetcher.sessions.insert(server, id);
        fetcher.is_open = true;
        let leaves = fetcher.company.let_in(&peer, self.random.number());
        fetcher.contacts.insert(server, Contact::new());
        if let Some(leaves) = leaves {
            self.dismiss(client, index_of(&leaves));
            if leaves == peer {
                return;
            }
        }
        self.tell(
            client,
            Input::PeerJoined {
                peer,
                distance,
                offered,
                is_seed: offers_all,
            },
        );
        self.tell(
            client,
            Input::RoundTrip {
                peer,
                time: round_trip,
            },
        );
        if !offers_all {
            self.say_to_server(id, Word::OfferWanted);
        }
        self.go_on_fetching(client);
    }

    /// Takes up those of whom a node was told, as its company says.
    pub(super) fn meet(&mut self, node: usize, peers: Vec<usize>) {
        for peer in peers.into_iter().filter(|peer| *peer != node) {
            let key = self.nodes[peer].key;
            let this = &mut self.nodes[node];
            let epoch = this.epoch;
            let Some(fetcher) = &mut this.fetcher else {
                return;
            };
            if !fetcher.company.told_of(key, self.random.number()) {
                continue;
            }
            fetcher.contacts.insert(peer, Contact::new());
            let (from, to) = (node, peer);
            self.heap.put(self.now, Event::Dial { from, to, epoch });
        }
    }

    /// A node leaves one of its company, to make room.
    fn dismiss(&mut self, node: usize, other: usize) {
        let peer = self.nodes[other].key;
        let Some(fetcher) = &mut self.nodes[node].fetcher else {
            return;
        };
        if let Some(id) = fetcher.sessions.remove(&other) {
            self.part(id, End::Client);
            self.tell(node, Input::PeerLeft { peer });
        }
    }

    /// A node that was not reached, or was lost, is tried again after a while, or given up.
    fn try_later(&mut self, node: usize, peer: usize) {
        let key = self.nodes[peer].key;
        let epoch = self.nodes[node].epoch;
        let Some(fetcher) = &mut self.nodes[node].fetcher else {
            return;
        };
        if !fetcher.company.is_in_touch(&key) {
            return;
        }
        let is_named = fetcher.company.is_named(&key);
        let contact = fetcher.contacts.entry(peer).or_insert_with(Contact::new);
        contact.attempts += 1;
        if !is_named && contact.attempts >= ATTEMPTS_MAX {
            return self.give_up(node, peer);
        }
        let pause = contact.pause;
        contact.pause = (contact.pause * 2).min(RETRY.1);
        let (from, to) = (node, peer);
        self.heap
            .put(self.now + pause, Event::Dial { from, to, epoch });
    }

    fn give_up(&mut self, node: usize, peer: usize) {
        let key = self.nodes[peer].key;
        if let Some(fetcher) = &mut self.nodes[node].fetcher {
            fetcher.company.left(&key);
        }
    }

    /// The one who dialled finds the connection closed.
    pub(super) fn lose_session(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        if !connection.client_is_there {
            return;
        }
        connection.leave(End::Client);
        let (client, server) = (connection.client, connection.server);
        self.watch.note(self.now, Note::Lost { client, server });
        let peer = self.nodes[server].key;
        let Some(fetcher) = &mut self.nodes[client].fetcher else {
            return;
        };
        if fetcher.sessions.get(&server) == Some(&id) {
            fetcher.sessions.remove(&server);
            self.tell(client, Input::PeerLeft { peer });
        }
        self.try_later(client, server);
    }

    /// The other does.
    pub(super) fn lose_visitor(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        if !connection.server_is_there {
            return;
        }
        connection.leave(End::Server);
        let (client, server) = (connection.client, connection.server);
        let peer = self.nodes[client].key;
        let node = &mut self.nodes[server];
        node.visitors.retain(|visitor| *visitor != id);
        let theirs = |asked: &super::node::Asked| asked.connection == id;
        let left: Vec<_> = node
            .asked
            .iter()
            .filter(|(_, a)| theirs(a))
            .map(|(n, _)| *n)
            .collect();
        // The product cancels each, since a peer may be connected more than once.
        for request in left {
            self.serve(server, serve::Input::Cancel { peer, request });
            if self.nodes[server].asked.remove(&request).is_some() {
                let bytes = 0;
                self.serve(
                    server,
                    serve::Input::Ended {
                        peer,
                        request,
                        bytes,
                    },
                );
            }
        }
    }

    /// One end leaves: the other hears of it, behind what is on its way.
    pub(super) fn part(&mut self, id: ConnectionId, end: End) {
        let connection = &self.connections[id.0];
        let delay = connection.round_trip / 2;
        let soon = self.now + delay;
        let (other, at) = match end {
            End::Client => (End::Server, soon),
            End::Server => (End::Client, soon.max(connection.last_arrival)),
        };
        match end {
            End::Client => self.lose_session(id),
            End::Server => self.lose_visitor(id),
        }
        self.heap.put(at, Event::Closed(id, other));
    }

    /// Queues a word of the server behind what is on its way.
    pub(super) fn say(&mut self, id: ConnectionId, word: Word) {
        let connection = &mut self.connections[id.0];
        let delay = connection.round_trip / 2;
        let by_itself = connection.pieces == 0;
        connection.on_its_way.push_back(Item::Word(word, by_itself));
        if by_itself {
            let at = (self.now + delay).max(connection.last_arrival);
            connection.last_arrival = at;
            self.heap.put(at, Event::Arrive(id));
        }
    }

    /// Sends a word of the client: it waits behind what its uplink is at.
    pub(super) fn say_to_server(&mut self, id: ConnectionId, word: Word) {
        let connection = &self.connections[id.0];
        let uplink = &self.nodes[connection.client].uplink;
        let wait = match uplink.is_busy {
            true => super::serving::QUEUE,
            false => Duration::ZERO,
        };
        let at = self.now + connection.round_trip / 2 + wait;
        self.heap.put(at, Event::Told(id, word));
    }

    /// The server hears a word of the client.
    pub(super) fn hear_client(&mut self, id: ConnectionId, word: Word) {
        if !self.connections[id.0].server_is_there {
            return;
        }
        match word {
            Word::Request {
                request,
                ranges,
                priority,
            } => self.ask(id, request, ranges, priority),
            Word::Cancel(request) => self.cancel(id, request),
            Word::OfferWanted => {
                let server = self.connections[id.0].server;
                let all = Arc::clone(&self.nodes[server].disk.recorded);
                self.connections[id.0].told = Some(Arc::clone(&all));
                self.say(id, Word::Offer { all, more: None });
            }
            Word::Admitted { .. }
            | Word::Refused { .. }
            | Word::Offer { .. }
            | Word::Neighbours(_)
            | Word::Ended(..)
            | Word::Busy(..) => unreachable!("only servers say that"),
        }
    }

    /// A node stops, in good order: everybody is told.
    pub(super) fn stop(&mut self, node: usize) {
        let fetcher = self.nodes[node].fetcher.take();
        let sessions = fetcher.map_or_else(BTreeMap::new, |fetcher| fetcher.sessions);
        for id in sessions.into_values() {
            self.part(id, End::Client);
        }
        for id in self.nodes[node].visitors.clone() {
            self.part(id, End::Server);
        }
        let this = &mut self.nodes[node];
        this.is_up = false;
        this.epoch += 1;
        this.serve = super::node::serve();
        this.asked = BTreeMap::new();
    }

    /// The machine leaves a peer.
    pub(super) fn leave_peer(
        &mut self,
        node: usize,
        peer: &shoal_protocol::peer::PeerKey,
        for_good: bool,
    ) {
        let server = index_of(peer);
        let Some(fetcher) = &mut self.nodes[node].fetcher else {
            return;
        };
        let Some(id) = fetcher.sessions.remove(&server) else {
            return;
        };
        self.watch.note(
            self.now,
            Note::Drops {
                client: node,
                server,
            },
        );
        self.part(id, End::Client);
        if for_good && let Some(fetcher) = &mut self.nodes[node].fetcher {
            fetcher.company.left_for_good(peer);
        }
    }
}

/// The runs of what is missing, in order of position.
pub(super) fn plan(held: &RangeSet, bytes: u64) -> VecDeque<Run> {
    let mut runs = VecDeque::new();
    for gap in held.gaps(0..bytes) {
        let mut start = gap.start;
        while start < gap.end {
            let end = (start + RUN_BYTES).min(gap.end);
            let id = RunId(start);
            runs.push_back(Run { id, start, end });
            start = end;
        }
    }
    runs
}
