//! Congestion control by the rate that arrives, after BBR version 3
//! (draft-ietf-ccwg-bbr-04), for a sender that is paced by its window.
//!
//! quinn sends at 1.25 windows a round trip, whatever a controller would like, and asks a
//! controller for a window alone. So the window does all here: it holds what the path
//! delivers in the time that packets take. What the draft does by a pacing gain, a window
//! does that is larger or smaller than that by as much.
//!
//! Owns: the window, and the phases of trying for more and of giving way. Loss is a sign of
//! a full queue only from 2 % of a round on. Refuses: to measure, which [`round`] and
//! [`model`] do. It has no clock; every call says what time it is.

mod model;
#[cfg(test)]
mod path;
mod round;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;

use model::Model;
use round::{Lap, Round};

/// The window never gets smaller, in packets (BBR's `MinPipeCwnd`).
const PACKETS_MIN: u64 = 4;
/// How many packets are sent ahead of any acknowledgement, in about a round trip.
const PACKETS_INITIAL: u64 = 64;
/// The size of a packet before the path's is known.
const PACKET_BYTES: u64 = 1200;
/// Startup ends after so many rounds that did not bring so many times what was before.
const FULL_ROUNDS: u32 = 3;
const FULL_GAIN: f64 = 1.25;
/// Startup ends as well when so many acknowledgements in a row came later than the path is
/// long by an eighth of its length, within these bounds (HyStart++, RFC 9406).
const QUEUED_ACKS: u32 = 16;
const QUEUED_MIN: Duration = Duration::from_millis(6);
const QUEUED_MAX: Duration = Duration::from_millis(16);
/// What stays of the window when startup ends: half of it was sent before, and that was enough
/// to fill the path.
const FILLED_SHARE: f64 = 0.7;
/// How much more than the path delivered is tried first, and once that has brought half of
/// what it could. Who has most of a line already will not bring that about, who has little
/// of it will.
const TOUCH_GAIN: f64 = 1.1;
const UP_GAIN: f64 = 1.25;
/// After a try, what others may have lost by it is given back.
const DOWN_GAIN: f64 = 0.75;
/// What is under way while the length of the path is measured, and for how long at least
/// (BBR's `ProbeRTT`).
const MEASURE_GAIN: f64 = 0.5;
const MEASURE_TIME: Duration = Duration::from_millis(200);
/// How much of what was under way when a queue overflowed is let under way again.
const CEILING_SHARE: f64 = 0.9;
/// Time between two tries: this, and up to a second more, another for each connection.
const CRUISE_TIME: Duration = Duration::from_secs(2);

/// What the window is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The path is filled, twice as fast in every round. Counts rounds that brought no more
    /// than `best`.
    Startup {
        best: u64,
        full_rounds: u32,
        queued_acks: u32,
    },
    /// It is full; one round tells its rate.
    Settle,
    /// What is too much under way is waited for.
    Drain,
    /// The rate is held. What is lost in its first round was sent before.
    Cruise { until: Instant, is_first: bool },
    /// More is tried, in the time that packets took when that began.
    Up {
        gain: f64,
        held: Duration,
        best: u64,
        rounds: u32,
    },
    /// The queue that a try has left is given time to become empty.
    Down { tried: u64, is_known: bool },
    /// Less is sent, until the length of the path is seen.
    Measure {
        until: Instant,
        least: Option<Duration>,
    },
}

const STARTUP: Phase = Phase::Startup {
    best: 0,
    full_rounds: 0,
    queued_acks: 0,
};

/// A window for one path.
#[derive(Debug, Clone)]
struct Bbr {
    mtu: u64,
    cruise_time: Duration,
    phase: Phase,
    window: u64,
    /// What a try has shown to be too much.
    ceiling: Option<u64>,
    model: Model,
    round: Round,
    /// Of the acknowledgement that is being read: when the last of its packets was sent.
    newest_sent: Option<Instant>,
    newly_acked: u64,
}

impl Bbr {
    /// `chance` decides, between 0 and 1, when this connection tries for more.
    fn new(now: Instant, mtu: u64, initial_window: u64, chance: f64) -> Self {
        Self {
            mtu,
            cruise_time: CRUISE_TIME + Duration::from_secs(1).mul_f64(chance),
            phase: STARTUP,
            window: initial_window,
            ceiling: None,
            model: Model::new(),
            round: Round::new(now),
            newest_sent: None,
            newly_acked: 0,
        }
    }

    fn sent(&mut self, now: Instant) {
        self.round.sent(now, self.model.smoothed());
    }

    /// One packet of an acknowledgement.
    fn acked(&mut self, sent: Instant, bytes: u64, is_idle: bool) {
        self.newest_sent = self.newest_sent.max(Some(sent));
        self.newly_acked += bytes;
        self.round.delivered(bytes, is_idle);
    }

    /// An acknowledgement has been read.
    fn acked_all(&mut self, now: Instant, in_flight: u64, is_idle: bool) {
        let acked = std::mem::take(&mut self.newly_acked);
        let Some(sent) = self.newest_sent.take() else {
            return;
        };
        self.model.round_trip(now, now.duration_since(sent));
        self.look_at(now, sent, in_flight);
        if let Some(lap) = self.round.over(now, sent, self.mtu) {
            self.model.lap(lap);
            self.lapped(now, sent, lap);
        }
        self.window = self.wanted(if is_idle { 0 } else { acked });
    }

    /// What every acknowledgement may tell.
    fn look_at(&mut self, now: Instant, sent: Instant, in_flight: u64) {
        let round_trip = now.duration_since(sent);
        let late = (self.model.least() / 8).clamp(QUEUED_MIN, QUEUED_MAX);
        let is_late = round_trip > self.model.least() + late;
        let is_drained = in_flight <= self.wanted(0);
        match &mut self.phase {
            Phase::Startup { queued_acks, .. } if is_late => {
                *queued_acks += 1;
                if *queued_acks == QUEUED_ACKS {
                    self.settle(now, sent);
                }
            }
            Phase::Startup { queued_acks, .. } => *queued_acks = 0,
            Phase::Drain if is_drained => self.cruise(now),
            Phase::Measure { least, .. } => {
                *least = Some(least.map_or(round_trip, |least| least.min(round_trip)));
            }
            _ => {}
        }
    }

    /// A round is over.
    fn lapped(&mut self, now: Instant, sent: Instant, lap: Lap) {
        let rate = self.model.rate();
        match &mut self.phase {
            Phase::Startup { .. } if lap.is_lossy => self.settle(now, sent),
            Phase::Startup { .. } if lap.is_idle => {}
            Phase::Startup {
                best, full_rounds, ..
            } => {
                if rate >= part(*best, FULL_GAIN) {
                    (*best, *full_rounds) = (rate, 0);
                } else {
                    *full_rounds += 1;
                }
                if *full_rounds == FULL_ROUNDS {
                    self.phase = Phase::Drain;
                }
            }
            // It was a burst that had to wait, and not the path that was full.
            Phase::Settle if self.model.smoothed() <= self.model.base() => {
                self.try_more(UP_GAIN);
            }
            Phase::Settle => self.phase = Phase::Drain,
            Phase::Drain => self.cruise(now),
            Phase::Cruise { is_first, .. } if *is_first => *is_first = false,
            Phase::Cruise { .. } if lap.is_lossy => self.model.bound_by(lap),
            Phase::Cruise { .. } if lap.is_idle => {}
            Phase::Cruise { .. } if self.model.is_stale(now) => {
                let until = now + MEASURE_TIME.max(2 * self.model.smoothed());
                self.phase = Phase::Measure { until, least: None };
            }
            Phase::Cruise { until, .. } if now >= *until => self.try_more(TOUCH_GAIN),
            Phase::Cruise { .. } => {}
            Phase::Up {
                gain, best, rounds, ..
            } => {
                *rounds += 1;
                if lap.is_lossy && *rounds > 1 {
                    self.full(lap);
                    self.give_way(true);
                } else if rounds.is_multiple_of(2) {
                    // What is tried in one round arrives in the next.
                    if rate < part(*best, (1.0 + *gain) / 2.0) {
                        self.give_way(false);
                    } else {
                        (*best, *gain) = (rate, UP_GAIN);
                        self.ceiling = self.ceiling.map(|most| most.max(self.window));
                    }
                }
            }
            Phase::Down { tried, is_known } => {
                match (*is_known, lap.is_lossy) {
                    (true, _) => {}
                    (false, true) => self.full(lap),
                    (false, false) => self.ceiling = self.ceiling.map(|most| most.max(*tried)),
                }
                self.cruise(now);
            }
            Phase::Measure { until, least } if now >= *until => {
                if let Some(least) = *least {
                    self.model.measured(now, least);
                }
                self.cruise(now);
            }
            Phase::Measure { .. } => {}
        }
    }

    /// Startup is over: what is under way fills the path. What arrived since it was full tells
    /// its rate, as the next round does.
    fn settle(&mut self, now: Instant, sent: Instant) {
        self.model.lap(self.round.so_far(now, sent, self.mtu));
        self.window = part(self.window, FILLED_SHARE);
        self.phase = Phase::Settle;
        self.round.begin(now, sent);
    }

    fn cruise(&mut self, now: Instant) {
        self.phase = Phase::Cruise {
            until: now + self.cruise_time,
            is_first: true,
        };
    }

    fn try_more(&mut self, gain: f64) {
        self.model.probe();
        self.phase = Phase::Up {
            gain,
            held: self.model.held(),
            best: self.model.rate(),
            rounds: 0,
        };
    }

    /// A try is over; whether it is known already that it was too much.
    fn give_way(&mut self, is_known: bool) {
        self.phase = Phase::Down {
            tried: self.window,
            is_known,
        };
    }

    /// A try has made a queue overflow: the path holds what arrived of it, and no more.
    fn full(&mut self, lap: Lap) {
        let held = part(lap.rate, self.model.smoothed().as_secs_f64());
        self.ceiling = Some(part(held, CEILING_SHARE));
    }

    /// The window for what is known now, after `acked` more bytes have arrived.
    fn wanted(&self, acked: u64) -> u64 {
        let model = &self.model;
        let holding = |time: Duration, gain: f64| part(model.rate(), time.as_secs_f64() * gain);
        let below = |ceiling: Option<u64>, window: u64| window.min(ceiling.unwrap_or(u64::MAX));
        let window = match self.phase {
            Phase::Startup { full_rounds: 0, .. } => self.window + acked,
            // The path may be full: what is under way is enough to find out.
            Phase::Startup { .. } | Phase::Settle => self.window,
            Phase::Drain => holding(model.least(), 1.0),
            Phase::Cruise { .. } => below(self.ceiling, holding(model.held(), 1.0)),
            Phase::Up { gain, held, .. } => {
                let ceiling = self.ceiling.map(|ceiling| part(ceiling, gain));
                below(ceiling, holding(held, gain))
            }
            Phase::Down { .. } => below(self.ceiling, holding(model.base(), DOWN_GAIN)),
            Phase::Measure { .. } => holding(model.base(), MEASURE_GAIN),
        };
        window.max(PACKETS_MIN * self.mtu)
    }

    /// Nothing of what was sent for long has arrived: the path is another (RFC 9002, 7.6.2).
    fn starved(&mut self, now: Instant) {
        self.phase = STARTUP;
        self.window = PACKETS_MIN * self.mtu;
        self.ceiling = None;
        self.model = Model::new();
        self.round = Round::new(now);
    }
}

fn part(of: u64, share: f64) -> u64 {
    (of as f64 * share) as u64
}

/// The window as quinn asks for it.
#[derive(Debug, Clone)]
struct Window {
    bbr: Bbr,
    initial: u64,
}

impl Controller for Window {
    fn on_sent(&mut self, now: Instant, _: u64, _: u64) {
        self.bbr.sent(now);
    }

    fn on_ack(&mut self, _: Instant, sent: Instant, bytes: u64, is_idle: bool, _: &RttEstimator) {
        self.bbr.acked(sent, bytes, is_idle);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, is_idle: bool, _: Option<u64>) {
        self.bbr.acked_all(now, in_flight, is_idle);
    }

    fn on_congestion_event(&mut self, now: Instant, _: Instant, is_persistent: bool, lost: u64) {
        self.bbr.round.lost(lost);
        if is_persistent {
            self.bbr.starved(now);
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.bbr.mtu = u64::from(mtu);
    }

    fn window(&self) -> u64 {
        self.bbr.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.initial
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Gives each connection a window of its own.
#[derive(Debug)]
pub(super) struct BbrConfig;

impl ControllerFactory for BbrConfig {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let initial = PACKETS_INITIAL * PACKET_BYTES;
        Box::new(Window {
            bbr: Bbr::new(now, u64::from(mtu), initial, rand::random()),
            initial,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::path::{Line, Path};
    use super::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    const SECOND: Duration = ms(1000);
    const FAR: Line = Line {
        mbit: 200.0,
        round_trip: ms(80),
        queue: ms(30),
        loss: 0.0,
    };

    fn path(line: Line) -> Path {
        let mut path = Path::new(line);
        path.sender(0.5);
        path
    }

    #[test]
    fn a_line_is_filled_at_any_distance_and_loss() {
        for round_trip in [1, 20, 80, 200] {
            for loss in [0.0, 0.001, 0.01] {
                let round_trip = ms(round_trip);
                let mut path = path(Line {
                    round_trip,
                    loss,
                    ..FAR
                });
                path.run(3 * SECOND);
                let share = path.run(20 * SECOND)[0];
                assert!(share > 0.93, "{round_trip:?}, {loss}: {share}");
            }
        }
    }

    /// At every rate: what a sender may keep goes in steps, and just below one it is least.
    #[test]
    fn waiting_for_what_was_lost_holds_nothing_up() {
        for step in 0..12 {
            let mbit = 90.0 * 1.07_f64.powi(step);
            for loss in [0.001, 0.01] {
                let mut path = path(Line { mbit, loss, ..FAR });
                path.run(3 * SECOND);
                let share = path.run(10 * SECOND)[0];
                assert!(share > 0.97, "{mbit} Mbit/s, {loss}: {share}");
            }
        }
    }

    #[test]
    fn a_slow_line_is_filled_as_well() {
        let mut path = path(Line {
            mbit: 5.0,
            loss: 0.01,
            ..FAR
        });
        path.run(3 * SECOND);
        let share = path.run(20 * SECOND)[0];
        assert!(share > 0.85, "{share}");
    }

    #[test]
    fn a_start_fills_the_line_within_a_dozen_round_trips_and_loses_little() {
        let mut path = path(FAR);
        path.run(12 * FAR.round_trip);
        let share = path.run(SECOND)[0];
        assert!(share > 0.9, "{share}");
        let sender = &path.senders[0];
        assert!(
            sender.lost * 20 < sender.sent,
            "{} of {}",
            sender.lost,
            sender.sent
        );
    }

    #[test]
    fn alone_it_lets_little_wait() {
        let mut path = path(Line {
            queue: SECOND,
            ..FAR
        });
        path.run(5 * SECOND);
        let waiting: Duration = (0..1000)
            .map(|_| {
                path.run(ms(10));
                path.waiting()
            })
            .sum();
        assert!(waiting / 1000 < ms(20), "{waiting:?}");
    }

    #[test]
    fn a_line_that_becomes_faster_is_found() {
        let mut path = path(Line { mbit: 25.0, ..FAR });
        path.run(5 * SECOND);
        path.line.mbit = 100.0;
        path.run(10 * SECOND);
        assert!(path.run(5 * SECOND)[0] > 0.9);
    }

    #[test]
    fn a_line_that_becomes_slower_is_not_drowned() {
        let mut path = path(FAR);
        path.run(5 * SECOND);
        path.line.mbit = 20.0;
        path.run(10 * SECOND);
        let (sent, lost) = (path.senders[0].sent, path.senders[0].lost);
        assert!(path.run(10 * SECOND)[0] > 0.85);
        let (sent, lost) = (path.senders[0].sent - sent, path.senders[0].lost - lost);
        assert!(lost * 20 < sent, "{lost} of {sent}");
    }

    #[test]
    fn a_path_that_becomes_longer_is_measured_again() {
        let mut path = path(Line {
            round_trip: ms(20),
            ..FAR
        });
        path.run(5 * SECOND);
        path.line.round_trip = ms(120);
        path.run(20 * SECOND);
        assert!(path.senders[0].bbr.model.least() >= ms(120));
        assert!(path.run(10 * SECOND)[0] > 0.9);
    }

    #[test]
    fn a_short_queue_is_no_reason_to_lose_much() {
        let mut path = path(Line {
            queue: ms(4),
            ..FAR
        });
        path.run(10 * SECOND);
        let (sent, lost) = (path.senders[0].sent, path.senders[0].lost);
        assert!(path.run(20 * SECOND)[0] > 0.85);
        let (sent, lost) = (path.senders[0].sent - sent, path.senders[0].lost - lost);
        assert!(lost * 50 < sent, "{lost} of {sent}");
    }

    #[test]
    fn two_share_a_line_whoever_came_first() {
        let mut path = path(FAR);
        path.run(5 * SECOND);
        path.sender(0.1);
        path.run(20 * SECOND);
        let shares = path.run(20 * SECOND);
        assert!(shares.iter().all(|share| *share > 0.25), "{shares:?}");
        assert!(shares.iter().sum::<f64>() > 0.9, "{shares:?}");
    }

    #[test]
    fn who_sends_less_than_the_line_takes_gets_no_larger_window_by_it() {
        let mut path = path(FAR);
        path.senders[0].supply = Some(1e6);
        path.run(10 * SECOND);
        // A tenth of what the line holds.
        assert!(path.senders[0].bbr.window < 200_000);
        assert!(path.run(SECOND)[0] > 0.039);
    }

    #[test]
    fn when_nothing_arrives_for_long_it_begins_anew() {
        let mut path = path(FAR);
        path.run(5 * SECOND);
        let now = path.now;
        path.senders[0].bbr.starved(now);
        assert_eq!(path.senders[0].bbr.window, PACKETS_MIN * path::PACKET);
        path.run(3 * SECOND);
        assert!(path.run(5 * SECOND)[0] > 0.9);
    }

    #[test]
    fn a_mark_counts_like_a_loss_and_a_few_lost_packets_do_not() {
        let now = Instant::now();
        let lap = |lost: &[u64]| {
            let mut round = Round::new(now);
            round.begin(now, now);
            round.delivered(100_000, false);
            lost.iter().for_each(|bytes| round.lost(*bytes));
            round.over(now + SECOND, now, 1452).unwrap()
        };
        assert!(!lap(&[1452, 1452]).is_lossy);
        assert!(lap(&[10_000]).is_lossy);
        assert!(lap(&[0]).is_lossy);
        assert_eq!(lap(&[]).rate, 100_000);
    }
}
