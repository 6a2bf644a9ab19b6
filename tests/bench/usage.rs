//! What a process has used so far, by /proc.

use std::io;

use crate::contender::peak_bytes;

/// Clock ticks a second, in which the kernel counts for user space; the same on all platforms
/// that Linux runs on today (`man 7 time`).
const TICKS: f64 = 100.0;

/// Processor time and memory.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Seconds of processor time, in user space and in the kernel, of all threads.
    pub cpu_s: f64,
    /// The most memory that was resident, in bytes.
    pub peak_bytes: u64,
}

impl Usage {
    /// Of a process that runs.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may have spaces in it; utime and stime are the 12th and
        // 13th field behind it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(Self {
            cpu_s: ticks / TICKS,
            peak_bytes: peak_bytes(pid).unwrap_or_default(),
        })
    }
}
