//! The world: takes one event after the other.
//!
//! Owns: the loop, and who does what about an event. Refuses: the wall clock. `Instant::now`
//! is read once, since there is no other way to make an `Instant`; only differences count.

use std::time::{Duration, Instant};

use super::connection::{Connection, ConnectionId};
use super::event::{End, Event, Heap};
use super::network::Network;
use super::node::Node;
use super::outcome::Outcome;
use super::rights::Rights;
use super::setup::Setup;
use super::watch::{Violation, Watch};
use crate::random::Random;

/// See the top of this file.
pub struct World {
    pub(super) setup: Setup,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) heap: Heap,
    pub(super) random: Random,
    pub(super) network: Network,
    pub(super) nodes: Vec<Node>,
    pub(super) connections: Vec<Connection>,
    pub(super) watch: Watch,
    /// How many nodes still want something.
    pub(super) unfinished: usize,
    pub(super) rights: Rights,
}

impl World {
    /// The world that follows from `setup`.
    pub fn new(setup: Setup) -> Self {
        let start = Instant::now();
        let mut heap = Heap::default();
        let mut nodes = Vec::with_capacity(setup.nodes.len());
        for (index, node) in setup.nodes.iter().enumerate() {
            nodes.push(Node::new(start, index, setup.seed, node, setup.bytes));
            if !node.is_source {
                heap.put(start + node.starts, Event::Begin(index));
            }
        }
        for (at, fault) in &setup.faults {
            heap.put(start + *at, Event::Fault(*fault));
        }
        let rights = Rights::new(&setup);
        for (node, at) in rights.ends(&setup) {
            heap.put(start + at, Event::RightsEnd(node));
        }
        Self {
            start,
            now: start,
            heap,
            random: Random::new(setup.seed).branch("world"),
            network: Network::new(start, &setup),
            unfinished: setup.nodes.iter().filter(|node| wants(node)).count(),
            nodes,
            connections: Vec::new(),
            watch: Watch::new(start, setup.seed),
            rights,
            setup,
        }
    }

    /// Lets things happen until everybody has everything, or until `deadline`. Who still lacks
    /// something then has broken the promise that a fetch comes to its end.
    pub fn run(&mut self, deadline: Duration) -> Result<Outcome, Box<Violation>> {
        let deadline = self.start + deadline;
        while self.unfinished > 0 {
            let Some((at, event)) = self.heap.take().filter(|(at, _)| *at <= deadline) else {
                let lacking = self.lacking();
                self.watch.require(false, || lacking);
                break;
            };
            self.now = at;
            self.happen(event);
            if self.watch.violation().is_some() {
                break;
            }
        }
        match self.watch.violation() {
            Some(violation) => Err(Box::new(violation.clone())),
            None => Ok(Outcome::of(self)),
        }
    }

    fn lacking(&self) -> String {
        let lacks = |node: &&Node| wants(&node.setup) && node.finished.is_none();
        let lacking: Vec<_> = self.nodes.iter().filter(lacks).collect();
        let first = lacking.first();
        let held = first.map_or(0, |node| node.disk.held.total_bytes());
        let state = first.and_then(|node| node.fetcher.as_ref());
        format!(
            "{} fetches did not end; one has {held} bytes of {} and is {:?}, {} sessions",
            lacking.len(),
            self.setup.bytes,
            state.map(|fetcher| fetcher.machine.state()),
            state.map_or(0, |fetcher| fetcher.sessions.len()),
        )
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Begin(node) => self.begin(node),
            Event::Dial { from, to, epoch } => self.dial(from, to, epoch),
            Event::Enter(connection) => self.enter(connection),
            Event::Told(id, word) => {
                if let Some(later) = self.held_up(id) {
                    return self.heap.put(later, Event::Told(id, word));
                }
                self.hear_client(id, word);
            }
            Event::UplinkFree(node) => self.go_on_sending(node),
            Event::LineFree(from, to) => self.go_on_crossing(from, to),
            Event::Arrive(id) => {
                if let Some(later) = self.held_up(id) {
                    return self.heap.put(later, Event::Arrive(id));
                }
                self.arrive(id);
            }
            Event::Written(id, piece) => self.written(id, &piece),
            Event::Closed(id, end) => {
                if let Some(later) = self.held_up(id) {
                    return self.heap.put(later, Event::Closed(id, end));
                }
                match end {
                    End::Client => self.lose_session(id),
                    End::Server => self.lose_visitor(id),
                }
            }
            Event::Wake(node, epoch) if self.lives(node, epoch) => self.wake(node),
            Event::Checkpoint(node, epoch) if self.lives(node, epoch) => self.checkpoint(node),
            Event::Recorded(node, epoch, held) if self.lives(node, epoch) => {
                self.recorded(node, *held);
            }
            Event::Leave(node, epoch) if self.lives(node, epoch) => self.stop(node),
            Event::Fault(fault) => self.strike(fault),
            Event::Restart(node) => self.restart(node),
            Event::RightsEnd(node) => self.end_rights(node),
            Event::Silent(id) => {
                self.lose_session(id);
                self.lose_visitor(id);
            }
            Event::Wake(..) | Event::Checkpoint(..) | Event::Recorded(..) | Event::Leave(..) => {}
        }
    }

    pub(super) fn lives(&self, node: usize, epoch: u32) -> bool {
        self.nodes[node].is_up && self.nodes[node].epoch == epoch
    }

    /// Until when what passes a connection is held up by a partition.
    fn held_up(&mut self, id: ConnectionId) -> Option<Instant> {
        let connection = &self.connections[id.0];
        let (client, server) = (connection.client, connection.server);
        self.network.parted_until(self.now, client, server)
    }
}

/// Whether a node is to have everything in the end.
pub(super) fn wants(node: &super::NodeSetup) -> bool {
    !node.is_source && node.conduct != super::Conduct::Stranger
}
