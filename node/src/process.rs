//! Whether another process still runs.
//!
//! Owns: telling one that has ended from one that runs, also where nobody has asked yet how it
//! ended: such a *zombie* keeps its number, in a container whose first process collects none for
//! ever. Refuses: signals.

use rustix::process::{Pid, test_kill_process};

/// Whether the process `pid` runs. A process that may not be looked at does.
pub fn is_running(pid: u32) -> bool {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let is_there = id.is_some_and(|id| test_kill_process(id) != Err(rustix::io::Errno::SRCH));
    is_there && !has_ended(pid)
}

/// Whether only the number of a process is left. Its first thread may have ended before others,
/// which then still hold its files and locks. Where there is no `/proc`, that is not known.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let leader_ended = stat.is_ok_and(|stat| matches!(state(&stat), Some('Z' | 'X')));
    leader_ended && threads(pid) <= 1
}

fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// The state in a line of `/proc/PID/stat`, proc(5): behind the name, which is in brackets and may
/// have any in it.
fn state(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_does_not_run_whether_or_not_somebody_asked_how() {
        assert!(is_running(std::process::id()));
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("there is such a program");
        let pid = child.id();
        assert!(is_running(pid));
        child.kill().expect("it is ours");
        let waits = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let id = Pid::from_child(&child);
        rustix::process::waitid(rustix::process::WaitId::Pid(id), waits).expect("it is ours");
        assert!(!is_running(pid), "nobody has asked yet");
        child.wait().expect("it is ours");
        assert!(!is_running(pid));
    }

    #[test]
    fn the_state_stands_behind_the_name_whatever_that_is() {
        assert_eq!(state("7 (shoal) S 1 7"), Some('S'));
        assert_eq!(state("7 (a) Z 1 (b)) Z 1 7"), Some('Z'));
        assert_eq!(state("7 (shoal"), None);
    }
}
