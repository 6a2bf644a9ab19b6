//! A path in virtual time, and senders on it that are paced as quinn paces them.
//!
//! Owns: one queue in front of one line, that drops what does not fit and loses some of the
//! rest; and what senders keep until everything before it has arrived, since that bounds what
//! they can send. Refuses: reordering, and acknowledgements that are lost.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Bbr;
use crate::data::windows::send_window;

pub(super) const PACKET: u64 = 1452;
/// The most that a sender keeps.
const KEPT_MAX: u64 = 16 << 20;
const TICK: Duration = Duration::from_micros(100);

/// What the line is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) mbit: f64,
    pub(super) round_trip: Duration,
    /// The longest that a packet waits.
    pub(super) queue: Duration,
    pub(super) loss: f64,
}

/// Who sends.
pub(super) struct Sender {
    pub(super) bbr: Bbr,
    /// What there is to be sent in a second; anything, if nothing is said.
    pub(super) supply: Option<f64>,
    supplied: f64,
    tokens: f64,
    numbers: u64,
    flying: VecDeque<Flying>,
    /// Positions in the stream, in packets: the next, those that have not arrived, and those
    /// of them that are lost.
    next: u64,
    missing: BTreeSet<u64>,
    again: VecDeque<u64>,
    acks: VecDeque<(Instant, u64)>,
    pub(super) delivered: u64,
    pub(super) sent: u64,
    pub(super) lost: u64,
}

/// A packet on its way.
struct Flying {
    number: u64,
    position: u64,
    sent: Instant,
}

pub(super) struct Path {
    pub(super) line: Line,
    pub(super) now: Instant,
    pub(super) senders: Vec<Sender>,
    free_at: Instant,
    chance: StdRng,
}

impl Sender {
    fn in_flight(&self) -> u64 {
        self.flying.len() as u64 * PACKET
    }

    /// Whether there is anything to send: a packet that was lost, or a new one if it can be
    /// kept.
    fn has_any(&self) -> bool {
        let oldest = self.missing.first().unwrap_or(&self.next);
        let kept = (self.next - oldest) * PACKET;
        let has_new = self.supply.is_none() || self.supplied >= PACKET as f64;
        let has_room = kept + PACKET <= send_window(self.bbr.window, KEPT_MAX);
        !self.again.is_empty() || has_new && has_room
    }

    /// What has come back by now.
    fn read(&mut self, now: Instant) {
        let is_idle = !self.has_any() && self.in_flight() + PACKET < self.bbr.window;
        let mut has_read = false;
        while self.acks.front().is_some_and(|(at, _)| *at <= now) {
            let (_, number) = self.acks.pop_front().expect("it was there");
            while let Some(flying) = self.flying.pop_front() {
                if flying.number == number {
                    self.delivered += PACKET;
                    self.missing.remove(&flying.position);
                    self.bbr.acked(flying.sent, PACKET, is_idle);
                    break;
                }
                self.lost += PACKET;
                self.again.push_back(flying.position);
                self.bbr.round.lost(PACKET);
            }
            has_read = true;
        }
        if has_read {
            self.bbr.acked_all(now, self.in_flight(), is_idle);
        }
    }

    /// Whether the next packet leaves now.
    fn sends(&mut self, now: Instant) -> bool {
        let sends = self.has_any()
            && self.tokens >= PACKET as f64
            && self.in_flight() + PACKET < self.bbr.window;
        if sends {
            let position = self.again.pop_front().unwrap_or_else(|| {
                self.supplied -= PACKET as f64;
                self.missing.insert(self.next);
                self.next += 1;
                self.next - 1
            });
            self.tokens -= PACKET as f64;
            self.numbers += 1;
            self.sent += PACKET;
            self.flying.push_back(Flying {
                number: self.numbers,
                position,
                sent: now,
            });
            self.bbr.sent(now);
        }
        sends
    }

    fn tick(&mut self, round_trip: Duration) {
        let round_trips =
            TICK.as_secs_f64() / self.bbr.model.smoothed().max(round_trip).as_secs_f64();
        let tokens = self.bbr.window as f64 * 1.25 * round_trips;
        let most = (10 * PACKET) as f64;
        self.tokens = (self.tokens + tokens).min(most.max(20.0 * tokens));
        let supplied = self.supply.unwrap_or(0.0) * TICK.as_secs_f64();
        self.supplied = (self.supplied + supplied).min(1e6);
    }
}

impl Path {
    pub(super) fn new(line: Line) -> Self {
        let now = Instant::now();
        Self {
            line,
            now,
            senders: Vec::new(),
            free_at: now,
            chance: StdRng::seed_from_u64(1),
        }
    }

    /// One more sender. Gives its number.
    pub(super) fn sender(&mut self, chance: f64) -> usize {
        self.senders.push(Sender {
            bbr: Bbr::new(self.now, PACKET, 32 * PACKET, chance),
            supply: None,
            supplied: 0.0,
            tokens: (10 * PACKET) as f64,
            numbers: 0,
            flying: VecDeque::new(),
            next: 0,
            missing: BTreeSet::new(),
            again: VecDeque::new(),
            acks: VecDeque::new(),
            delivered: 0,
            sent: 0,
            lost: 0,
        });
        self.senders.len() - 1
    }

    /// Lets time pass; gives the share of the line that each sender got through.
    pub(super) fn run(&mut self, time: Duration) -> Vec<f64> {
        let until = self.now + time;
        let before: Vec<_> = self.senders.iter().map(|sender| sender.delivered).collect();
        while self.now < until {
            self.now += TICK;
            for number in 0..self.senders.len() {
                self.senders[number].tick(self.line.round_trip);
                self.senders[number].read(self.now);
                while self.senders[number].sends(self.now) {
                    self.carry(number);
                }
            }
        }
        let line = self.line.mbit * 1e6 / 8.0 * time.as_secs_f64();
        let senders = self.senders.iter().zip(before);
        senders
            .map(|(sender, before)| (sender.delivered - before) as f64 / line)
            .collect()
    }

    /// How long a packet waits that is sent now.
    pub(super) fn waiting(&self) -> Duration {
        self.free_at.saturating_duration_since(self.now)
    }

    fn carry(&mut self, number: usize) {
        if self.waiting() > self.line.queue {
            return;
        }
        let takes = PACKET as f64 * 8.0 / (self.line.mbit * 1e6);
        self.free_at = self.free_at.max(self.now) + Duration::from_secs_f64(takes);
        if self.chance.random::<f64>() >= self.line.loss {
            let sender = &mut self.senders[number];
            let at = self.free_at + self.line.round_trip;
            sender.acks.push_back((at, sender.numbers));
        }
    }
}
