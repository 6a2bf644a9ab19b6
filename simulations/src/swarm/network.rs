//! The modelled network.
//!
//! Owns: when a piece that is sent arrives. Three queues lie on its way: the sender's uplink,
//! where connections take turns, the line between two sites, if it has to cross one, and the
//! receiver's downlink. A piece goes on to the next queue when its first byte does (cut through).
//! Refuses: to share a link as a fluid: a queue a piece costs one event, where fair shares would
//! have to be worked out anew for all neighbours whenever one of them begins or ends, and with
//! connections that take turns by half megabytes the shares come out the same.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::connection::ConnectionId;
use super::setup::{Line, Setup};
use crate::random::Random;

/// What a packet carries, for the share of pieces that lose one.
const PACKET_BYTES: u64 = 1448;

/// A link in one direction. Whatever is handed to it goes in order.
#[derive(Debug)]
pub(super) struct Pipe {
    rate: f64,
    free_at: Instant,
    pub(super) carried: u64,
}

impl Pipe {
    pub(super) fn new(now: Instant, rate: f64) -> Self {
        Self {
            rate,
            free_at: now,
            carried: 0,
        }
    }

    fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.rate)
    }

    /// When it can take the next piece.
    pub(super) fn free_at(&self) -> Instant {
        self.free_at
    }

    /// Takes a piece whose first byte is here at `first` and whose last at `last`. Gives when
    /// the first and the last byte are out.
    pub(super) fn pass(&mut self, first: Instant, last: Instant, bytes: u64) -> (Instant, Instant) {
        let begin = self.free_at.max(first);
        self.free_at = begin + self.time_for(bytes);
        self.carried += bytes;
        (begin, self.free_at.max(last))
    }
}

/// A queue that sends one piece after the other.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) pipe: Pipe,
    pub(super) is_busy: bool,
    /// Who has something to send, in turn.
    pub(super) ready: VecDeque<ConnectionId>,
}

impl Queue {
    pub(super) fn new(now: Instant, rate: f64) -> Self {
        Self {
            pipe: Pipe::new(now, rate),
            is_busy: false,
            ready: VecDeque::new(),
        }
    }
}

/// A partition: the first so many nodes are apart from the others until then.
#[derive(Debug, Clone, Copy)]
struct Apart {
    first: usize,
    until: Instant,
}

/// What lies between sites, and how long it takes.
#[derive(Debug)]
pub(super) struct Network {
    sites: Vec<usize>,
    delay: Duration,
    line: Line,
    /// By the site that it leaves and the one that it reaches.
    pub(super) lines: Vec<Vec<Queue>>,
    apart: Vec<Apart>,
    random: Random,
}

impl Network {
    pub(super) fn new(now: Instant, setup: &Setup) -> Self {
        let count = setup.sites();
        let queues = || {
            (0..count)
                .map(|_| Queue::new(now, setup.line.rate))
                .collect()
        };
        Self {
            sites: setup.nodes.iter().map(|node| node.site).collect(),
            delay: setup.delay,
            line: setup.line,
            lines: (0..count).map(|_| queues()).collect(),
            apart: Vec::new(),
            random: Random::new(setup.seed).branch("network"),
        }
    }

    /// The line from one node to another, if they are in different sites.
    pub(super) fn crossing(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        let (from, to) = (self.sites[from], self.sites[to]);
        (from != to).then_some((from, to))
    }

    /// How long a packet takes.
    pub(super) fn delay(&self, from: usize, to: usize) -> Duration {
        match self.crossing(from, to) {
            Some(_) => 2 * self.delay + self.line.delay,
            None => self.delay,
        }
    }

    /// What a piece costs on the way of itself: packets that are sent again count twice.
    pub(super) fn bytes_on_line(&self, from: usize, to: usize, bytes: u64) -> u64 {
        match self.crossing(from, to) {
            Some(_) if self.line.loss > 0.0 => (bytes as f64 / (1.0 - self.line.loss)) as u64,
            _ => bytes,
        }
    }

    /// How much later a piece arrives because a packet of it was lost.
    pub(super) fn delay_by_loss(&mut self, from: usize, to: usize, bytes: u64) -> Duration {
        if self.line.loss == 0.0 || self.crossing(from, to).is_none() {
            return Duration::ZERO;
        }
        let packets = bytes.div_ceil(PACKET_BYTES);
        let all_arrive = (1.0 - self.line.loss).powi(i32::try_from(packets).unwrap_or(i32::MAX));
        match self.random.happens(1.0 - all_arrive) {
            true => 2 * self.delay(from, to),
            false => Duration::ZERO,
        }
    }

    /// Parts the first so many nodes from the others until then.
    pub(super) fn part(&mut self, first: usize, until: Instant) {
        self.apart.push(Apart { first, until });
    }

    /// Until when nothing gets from one node to the other, if they are parted now.
    pub(super) fn parted_until(&mut self, now: Instant, a: usize, b: usize) -> Option<Instant> {
        if self.apart.is_empty() {
            return None;
        }
        self.apart.retain(|apart| apart.until > now);
        let parted = self.apart.iter();
        let parted = parted.filter(|apart| (a < apart.first) != (b < apart.first));
        parted.map(|apart| apart.until).max()
    }
}
