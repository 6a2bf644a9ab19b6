//! What is known about an operation that runs, and how it reads.
//!
//! Owns: rates, the time left, what counts as a stall, the words of the display. Refuses:
//! terminals; the views draw what stands here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use shoal_node::api::{Phase, Progress};

use crate::ui::format;

/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(5);
/// Without movement for this long an operation is stalled.
pub const STALL: Duration = Duration::from_secs(10);
/// Silence for this long is worth a word on a live display.
const QUIET: Duration = Duration::from_secs(2);

/// Follows one operation.
#[derive(Debug)]
pub struct Meter {
    title: String,
    latest: Progress,
    /// When the operation stood where, oldest first, at most `WINDOW` old.
    samples: VecDeque<(Instant, u64)>,
    /// When something last moved.
    moved_at: Instant,
}

impl Meter {
    /// An operation called `title` ("getting lab-data") that begins now.
    pub fn new(title: impl Into<String>, now: Instant) -> Self {
        Self {
            title: title.into(),
            latest: Progress::default(),
            samples: VecDeque::from([(now, 0)]),
            moved_at: now,
        }
    }

    /// What the operation is called.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Gives the operation another name.
    pub fn retitle(&mut self, title: impl Into<String>) {
        self.title = title.into();
    }

    /// What was last heard.
    pub fn latest(&self) -> &Progress {
        &self.latest
    }

    /// Takes what was just heard.
    pub fn update(&mut self, now: Instant, progress: Progress) {
        let new_phase = progress.phase != self.latest.phase;
        let mark = mark(&progress);
        if new_phase {
            // Each phase counts anew, at a pace of its own.
            self.samples.clear();
        }
        let moved = progress.bytes_done != self.latest.bytes_done
            || progress.files_done != self.latest.files_done
            || progress.wire_in != self.latest.wire_in
            || progress.wire_out != self.latest.wire_out;
        if moved || new_phase {
            self.moved_at = now;
        }
        self.samples.push_back((now, mark));
        while self.samples.len() > 2 && self.samples[1].0 + WINDOW <= now {
            self.samples.pop_front();
        }
        self.latest = progress;
    }

    /// Bytes a second over the last seconds; nothing before there is something to measure.
    pub fn rate(&self, now: Instant) -> Option<f64> {
        let (since, from) = *self.samples.front()?;
        let to = self.samples.back()?.1;
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        (seconds >= 0.2 && to > from).then(|| (to - from) as f64 / seconds)
    }

    /// How long it will take from here, at this pace.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let total = self.latest.bytes_total?;
        let rest = total.saturating_sub(self.latest.bytes_done);
        let seconds = rest as f64 / self.rate(now)?;
        (rest > 0 && seconds < 1e7).then(|| Duration::from_secs_f64(seconds))
    }

    /// How long nothing has moved. A node that serves may well have nothing to do.
    pub fn still(&self, now: Instant) -> Duration {
        match self.latest.phase {
            Phase::Serving => Duration::ZERO,
            _ => now.saturating_duration_since(self.moved_at),
        }
    }

    /// Part done of a known whole, for a bar.
    pub fn fraction(&self) -> Option<(u64, u64)> {
        let total = self.latest.bytes_total?;
        (total > 0).then(|| (self.latest.bytes_done.min(total), total))
    }

    /// `41 %  210 of 512 MB  312 MB/s  1 s left`.
    pub fn figures(&self, now: Instant) -> String {
        let at = &self.latest;
        let mut parts = Vec::new();
        match (at.phase, at.bytes_total) {
            (Phase::Serving, _) => parts.push(format!("{} sent", format::bytes(at.wire_out))),
            (_, Some(total)) => {
                parts.push(format!("{:>5}", format::percent(at.bytes_done, total)));
                parts.push(format::bytes_of(at.bytes_done.min(total), total));
            }
            (_, None) if at.bytes_done > 0 => parts.push(format::bytes(at.bytes_done)),
            (_, None) => {}
        }
        if let Some(rate) = self.rate(now) {
            parts.push(format::rate(rate));
        }
        if let Some(left) = self.left(now) {
            parts.push(format!("{} left", format::coarse(left.as_secs() + 1)));
        }
        parts.join("  ")
    }

    /// `transferring · 1,204 of 3,112 files · 2 peers · waiting for 10.0.0.7:4747 (12 s)`.
    pub fn circumstances(&self, now: Instant) -> String {
        let at = &self.latest;
        let mut parts = vec![phase_word(at.phase).to_owned()];
        match at.files_total {
            Some(total) if total > 1 => parts.push(format!(
                "{} of {}",
                format::count(at.files_done),
                format::counted(total, "file")
            )),
            None if at.files_done > 0 => parts.push(format::counted(at.files_done, "file")),
            _ => {}
        }
        if at.peers > 0 {
            parts.push(format::counted(u64::from(at.peers), "peer"));
        }
        let still = self.still(now);
        let long = (still >= QUIET).then(|| format!(" ({})", seconds(still)));
        match (&at.waiting_for, long) {
            (Some(what), long) => parts.push(waiting(what) + &long.unwrap_or_default()),
            (None, Some(_)) => parts.push(format!("nothing moved for {}", seconds(still))),
            (None, None) => {}
        }
        parts.join(" · ")
    }

    /// What to say about a stall.
    pub fn stall(&self, now: Instant) -> String {
        let reason = match &self.latest.waiting_for {
            Some(what) => waiting(what),
            None => format!("still {}", phase_word(self.latest.phase)),
        };
        format!(
            "nothing has moved for {}: {reason}",
            seconds(self.still(now))
        )
    }
}

/// What the rate of a phase is measured by.
fn mark(progress: &Progress) -> u64 {
    match progress.phase {
        Phase::Serving => progress.wire_out,
        _ => progress.bytes_done,
    }
}

fn seconds(duration: Duration) -> String {
    format::coarse(duration.as_secs())
}

/// `waiting for an answer from 10.0.0.7:4747`.
pub fn waiting(what: &str) -> String {
    format!("waiting for {}", format::name(what))
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Adding => "reading",
        Phase::Connecting => "connecting",
        Phase::Planning => "comparing with what is here",
        Phase::Transferring => "transferring",
        Phase::Finishing => "finishing",
        Phase::Verifying => "verifying",
        Phase::Serving => "serving",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transferring(bytes_done: u64) -> Progress {
        Progress {
            phase: Phase::Transferring,
            bytes_done,
            bytes_total: Some(512_000_000),
            files_done: 3,
            files_total: Some(3_112),
            peers: 2,
            ..Progress::default()
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut meter = Meter::new("getting x", start);
        meter.update(start, transferring(0));
        assert_eq!(meter.rate(start), None);
        for at in 1..=20u32 {
            let pace = if at <= 10 { 1_000_000 } else { 10_000_000 };
            let done = meter.latest().bytes_done + pace;
            meter.update(start + second * at, transferring(done));
        }
        let now = start + second * 20;
        assert_eq!(meter.rate(now), Some(10_000_000.0));
        assert_eq!(
            meter.figures(now),
            " 21 %  110 of 512 MB  10 MB/s  41 s left"
        );
    }

    #[test]
    fn a_new_phase_is_measured_anew() {
        let start = Instant::now();
        let mut meter = Meter::new("getting x", start);
        let planning = Progress {
            phase: Phase::Planning,
            bytes_done: 500_000_000,
            ..Progress::default()
        };
        meter.update(start, planning);
        let now = start + Duration::from_secs(1);
        meter.update(now, transferring(0));
        assert_eq!(meter.rate(now + Duration::from_secs(1)), None);
    }

    #[test]
    fn circumstances_say_what_is_waited_for_and_how_long() {
        let start = Instant::now();
        let mut meter = Meter::new("getting x", start);
        meter.update(start, transferring(5));
        let waiting = Progress {
            waiting_for: Some("10.0.0.7:4747".to_owned()),
            ..transferring(5)
        };
        let now = start + Duration::from_secs(12);
        meter.update(now, waiting);
        assert_eq!(
            meter.circumstances(now),
            "transferring · 3 of 3,112 files · 2 peers · waiting for 10.0.0.7:4747 (12 s)"
        );
        assert_eq!(meter.still(now), Duration::from_secs(12));
        assert_eq!(
            meter.stall(now),
            "nothing has moved for 12 s: waiting for 10.0.0.7:4747"
        );
    }

    #[test]
    fn serving_without_readers_is_no_stall() {
        let start = Instant::now();
        let mut meter = Meter::new("serving x", start);
        let serving = Progress {
            phase: Phase::Serving,
            wire_out: 7,
            ..Progress::default()
        };
        meter.update(start, serving);
        let later = start + Duration::from_secs(1000);
        assert_eq!(meter.still(later), Duration::ZERO);
        assert_eq!(meter.figures(later), "7 B sent");
    }
}
