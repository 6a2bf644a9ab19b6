//! Progress as lines, for logs and pipes.
//!
//! Owns: when there is something to say: at the start, and at each stall. Refuses: to repeat
//! itself; an hour without news is no line.

use std::time::Instant;

use crate::ui::progress::{Meter, STALL};

/// Decides which lines are due.
#[derive(Debug, Default)]
pub struct Plain {
    stalled: bool,
}

impl Plain {
    /// The line that is due now, if one is.
    pub fn due(&mut self, meter: &Meter, now: Instant) -> Option<String> {
        if meter.still(now) < STALL {
            self.stalled = false;
            return None;
        }
        if self.stalled {
            return None;
        }
        self.stalled = true;
        Some(format!("{}: {}", meter.title(), meter.stall(now)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shoal_node::api::{Phase, Progress};

    use super::*;

    #[test]
    fn each_stall_is_said_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let progress = |bytes_done, waiting: Option<&str>| Progress {
            phase: Phase::Transferring,
            bytes_done,
            waiting_for: waiting.map(str::to_owned),
            ..Progress::default()
        };
        let mut meter = Meter::new("getting x", start);
        let mut plain = Plain::default();
        meter.update(at(1), progress(1, None));
        assert_eq!(plain.due(&meter, at(10)), None);
        meter.update(at(11), progress(1, Some("10.0.0.7:4747")));
        let first = plain.due(&meter, at(11));
        assert_eq!(
            first.as_deref(),
            Some("getting x: nothing has moved for 10 s: waiting for 10.0.0.7:4747")
        );
        assert_eq!(plain.due(&meter, at(60)), None);
        meter.update(at(61), progress(2, None));
        assert_eq!(plain.due(&meter, at(61)), None);
        assert!(
            plain.due(&meter, at(71)).is_some(),
            "a second stall is news"
        );
    }
}
