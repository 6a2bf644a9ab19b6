//! What goes wrong.
//!
//! Owns: what a fault does to a node, its disk and its connections. Refuses: to say when; that
//! is the setup's.

use std::sync::Arc;
use std::time::Duration;

use super::event::{End, Event};
use super::meeting::SILENCE;
use super::setup::Fault;
use super::watch::Note;
use super::world::World;
use crate::swarm::connection::ConnectionId;

impl World {
    /// Something goes wrong.
    pub(super) fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(node, back) => self.kill(node, back),
            Fault::PowerCut(node, back) => self.cut_power(node, back),
            Fault::Partition(first, time) => self.part_nodes(first, time),
            Fault::Room(node, room) => self.nodes[node].disk.room = room,
            Fault::Conduct(node, conduct) => self.nodes[node].setup.conduct = conduct,
        }
    }

    /// The process dies: its sockets are closed by the system.
    fn kill(&mut self, node: usize, back: Option<Duration>) {
        if !self.nodes[node].is_up {
            return;
        }
        self.watch.note(self.now, Note::Dies { node });
        self.stop(node);
        self.end_circuits(node, Duration::ZERO);
        // What was written is found and hashed when it starts again.
        let disk = &mut self.nodes[node].disk;
        disk.recorded = Arc::new(disk.held.clone());
        self.come_back(node, back);
    }

    /// Nobody is told, and what was not synced is gone.
    fn cut_power(&mut self, node: usize, back: Option<Duration>) {
        if !self.nodes[node].is_up {
            return;
        }
        self.watch.note(self.now, Note::Dies { node });
        let fetcher = self.nodes[node].fetcher.take();
        for id in fetcher
            .into_iter()
            .flat_map(|fetcher| fetcher.sessions.into_values())
        {
            self.connections[id.0].leave(End::Client);
            self.find_out(id, back);
        }
        for id in self.nodes[node].visitors.clone() {
            self.lose_visitor(id);
            self.find_out(id, back);
        }
        let this = &mut self.nodes[node];
        this.is_up = false;
        this.epoch += 1;
        this.serve = super::node::serve();
        this.asked.clear();
        this.disk.held = (*this.disk.recorded).clone();
        if this.finished.is_some() && !this.setup.is_source {
            let whole = this.disk.held.contains_range(0..self.setup.bytes);
            self.watch.require(whole, || {
                format!("node {node} acknowledged all and has lost some")
            });
        }
        self.end_circuits(node, back.map_or(SILENCE, |back| back.min(SILENCE)));
        self.come_back(node, back);
    }

    /// The other end finds a connection dead when it was silent for too long, or when the node
    /// is there again and knows nothing of it.
    fn find_out(&mut self, id: ConnectionId, back: Option<Duration>) {
        let after = back.map_or(SILENCE, |back| back.min(SILENCE));
        self.heap.put(self.now + after, Event::Silent(id));
    }

    fn come_back(&mut self, node: usize, back: Option<Duration>) {
        if let Some(back) = back {
            self.heap.put(self.now + back, Event::Restart(node));
        }
    }

    /// A node is there again.
    pub(super) fn restart(&mut self, node: usize) {
        let this = &mut self.nodes[node];
        if this.is_up {
            return;
        }
        this.is_up = true;
        if this.finished.is_none() {
            self.begin(node);
        }
    }

    fn part_nodes(&mut self, first: usize, time: Duration) {
        self.network.part(first, self.now + time);
        if time < SILENCE {
            return;
        }
        for number in 0..self.connections.len() {
            let id = ConnectionId(number);
            let connection = &self.connections[number];
            let is_open = connection.client_is_there || connection.server_is_there;
            if is_open && (connection.client < first) != (connection.server < first) {
                self.heap.put(self.now + SILENCE, Event::Silent(id));
            }
        }
    }

    /// The right to the snapshot ends by the clock of a node: it lets nobody stay.
    pub(super) fn end_rights(&mut self, node: usize) {
        for id in self.nodes[node].visitors.clone() {
            self.part(id, End::Server);
        }
    }
}
