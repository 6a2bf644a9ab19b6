//! The run of the machine that this is.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A text that differs from one run of the machine to the next.
pub(super) fn id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// When it began, in nanoseconds since the epoch, by the clock as it is set now.
pub(super) fn began_ns() -> i128 {
    let ns = |time: Timespec| i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    ns(clock_gettime(ClockId::Realtime)) - ns(clock_gettime(ClockId::Boottime))
}
