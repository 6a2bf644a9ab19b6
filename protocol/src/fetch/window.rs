//! How fast a peer is, and how much to have asked of it.
//!
//! Owns: the measured rate and round trip of one peer. Refuses: to know what it delivers.

use std::time::{Duration, Instant};

use super::config::FetchConfig;
use crate::wire::limits::FRAME_PAYLOAD_BYTES_MAX;

/// The rate is looked at no more often than this.
const SAMPLE: Duration = Duration::from_millis(200);
/// The first time, since little is asked for until then.
const SAMPLE_FIRST: Duration = Duration::from_millis(20);
/// How much a new sample counts against what was measured before.
const SAMPLE_WEIGHT: f64 = 0.3;
/// Until the round trip is measured.
const ROUND_TRIP_ASSUMED: Duration = Duration::from_millis(20);
/// No peer is waited for longer than this, however slow it was before.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Whoever's turn it is not to ask a seed waits so long for each of those before it,
const TURN: Duration = Duration::from_millis(500);
/// or, where a run takes longer, as long as the seed needs for so many bytes: whoever's turn it
/// is has two of them under way,
const TURN_BYTES: u64 = 8 << 20;
/// and never longer than this.
const TURN_MAX: Duration = Duration::from_secs(5);

/// The pace of one peer. What follows from it is looked at far more often than it changes, and
/// is kept.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<f64>,
    round_trip: Option<Duration>,
    window: u64,
    turn: Duration,
    patience: Duration,
    /// Bytes since `since`.
    bytes: u64,
    since: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant, config: &FetchConfig) -> Self {
        let mut pace = Self {
            rate: None,
            round_trip: None,
            window: 0,
            turn: TURN,
            patience: Duration::ZERO,
            bytes: 0,
            since: now,
        };
        pace.draw_conclusions(config);
        pace
    }

    /// Bytes per second, once some were delivered.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The peer had nothing to do until now: that time says nothing about it.
    pub(super) fn start(&mut self, now: Instant) {
        self.bytes = 0;
        self.since = now;
    }

    pub(super) fn deliver(&mut self, now: Instant, bytes: u64, config: &FetchConfig) {
        self.bytes += bytes;
        let time = now.saturating_duration_since(self.since);
        let least = match self.rate {
            Some(_) => SAMPLE,
            None => SAMPLE_FIRST,
        };
        if time < least {
            return;
        }
        let sample = self.bytes as f64 / time.as_secs_f64();
        self.rate = Some(match self.rate {
            Some(rate) => rate + SAMPLE_WEIGHT * (sample - rate),
            None => sample,
        });
        self.draw_conclusions(config);
        self.start(now);
    }

    /// The peer stalled: it is worth half of what it was.
    pub(super) fn stall(&mut self, config: &FetchConfig) {
        self.rate = self.rate.map(|rate| rate / 2.0);
        self.draw_conclusions(config);
    }

    pub(super) fn measure_round_trip(&mut self, time: Duration, config: &FetchConfig) {
        self.round_trip = Some(match self.round_trip {
            Some(old) => (old * 7 + time) / 8,
            None => time,
        });
        self.draw_conclusions(config);
    }

    fn draw_conclusions(&mut self, config: &FetchConfig) {
        self.window = self.work_out_window(config);
        self.turn = self
            .time_for(TURN_BYTES)
            .map_or(TURN, |time| time.clamp(TURN, TURN_MAX));
        self.patience = self.work_out_patience(config);
    }

    fn round_trip(&self) -> Duration {
        self.round_trip.unwrap_or(ROUND_TRIP_ASSUMED)
    }

    /// How many bytes to have asked of the peer at once: what it delivers in two round
    /// trips and some slack, so that its pipe never runs dry.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    fn work_out_window(&self, config: &FetchConfig) -> u64 {
        let Some(rate) = self.rate else {
            return config.window_bytes_initial;
        };
        let time = 2 * self.round_trip() + config.window_slack;
        ((rate * time.as_secs_f64()) as u64).min(config.window_bytes_max)
    }

    /// How long another's turn to ask it lasts.
    pub(super) fn turn(&self) -> Duration {
        self.turn
    }

    /// How long the peer would take for `bytes`, if that is known.
    pub(super) fn time_for(&self, bytes: u64) -> Option<Duration> {
        let rate = self.rate.filter(|rate| *rate >= 1.0)?;
        Some(self.round_trip() + Duration::from_secs_f64(bytes as f64 / rate))
    }

    /// How long the peer will take for `bytes` that it was asked for. It may have slowed down
    /// since it was measured, or never begun: what it delivered since, and a frame that may be
    /// on its way, is all that it is credited with.
    pub(super) fn time_left_for(&self, now: Instant, bytes: u64) -> Duration {
        let delivered = self.bytes + FRAME_PAYLOAD_BYTES_MAX as u64;
        let slowed = self.time_so_far(now).as_secs_f64() * bytes as f64 / delivered as f64;
        let measured = self.time_for(bytes).unwrap_or_default();
        measured.max(Duration::from_secs_f64(slowed))
    }

    /// For how long it has been asked for something, or since when it was measured last.
    pub(super) fn time_so_far(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// How long silence is no sign of a stall: a frame of a slow peer takes its time.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    fn work_out_patience(&self, config: &FetchConfig) -> Duration {
        let frame = self
            .time_for(FRAME_PAYLOAD_BYTES_MAX as u64)
            .unwrap_or_default();
        let patience = config.stall.max(4 * self.round_trip()).max(3 * frame);
        patience.min(STALL_MAX.max(config.stall))
    }
}
