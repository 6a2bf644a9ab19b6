//! Swarms in which something is wrong: sources that lost a part, lie, or freeze, receivers
//! that come late or are killed (a lab of network namespaces).
//!
//! Every copy that is got is compared with the original, byte for byte.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use shoal_tests::data;
use shoal_tests::liar::{Conduct, Liar};

use crate::contender::Server;
use crate::fanout::{Room, goodput};
use crate::getter::{Getter, assert_same};
use crate::sets::Sets;
use crate::sources::{FAST, Goodputs, Source, Sources, UPLINKS, goodputs};
use crate::transfer::{share_command, ticket_of};

/// Of so many chunks in a hundred the liar sends other bytes.
const LIES_PERCENT: u64 = 30;
/// The source that lies, among [`UPLINKS`].
const LIAR: usize = 1;
/// The source that freezes or leaves: the one that gives most.
const FROZEN: usize = 2;
/// Rate of every link in the room with late receivers, in Mbit/s.
const ROOM_MBIT: u32 = 200;
/// How much later they start.
const LATE: Duration = Duration::from_secs(3);

/// Prints both tables.
pub fn run(sets: &Sets) -> io::Result<()> {
    let file = sets.scratch.join("faults.bin");
    std::fs::create_dir_all(&sets.scratch)?;
    std::fs::write(&file, data::bytes("faults", sets.lab_bytes as usize))?;
    let goodputs = goodputs()?;
    println!(
        "\n### Sources of {UPLINKS:?} Mbit/s, a receiver of {FAST} ({} MiB)\n",
        sets.lab_bytes >> 20
    );
    println!("| what | bound | wall | × bound | beside | |");
    println!("|---|---|---|---|---|---|");
    let honest = honest(sets, &file, &goodputs)?;
    partial(sets, &file, &goodputs)?;
    lying(sets, &file, &goodputs, honest)?;
    frozen(sets, &file, &goodputs)?;
    late_and_killed(sets, &file)
}

fn row(what: &str, bound: f64, wall: Duration, beside: &str) {
    let wall = wall.as_secs_f64();
    println!(
        "| {what} | {bound:.1} s | {wall:.1} s | {:.2} | {beside} |",
        wall / bound
    );
}

/// All three as they should be: what the others are compared with.
fn honest(sets: &Sets, file: &Path, goodputs: &Goodputs) -> io::Result<Duration> {
    let sources = Sources::new(sets, file)?;
    let wall = sources.finish(sources.start_get()?)?;
    let bound = sets.lab_bytes as f64 / goodputs.iter().sum::<f64>();
    row("all three whole and honest", bound, wall, "|");
    Ok(wall)
}

/// Each has lost another third: its file was overwritten there after it was shared.
fn partial(sets: &Sets, file: &Path, goodputs: &Goodputs) -> io::Result<()> {
    let sources = Sources::new(sets, file)?;
    for (number, source) in sources.all.iter().enumerate() {
        overwrite_third(&source.file, number as u64, sets.lab_bytes)?;
    }
    let wall = sources.finish(sources.start_get()?)?;
    let bound = bound_of_thirds(sets.lab_bytes as f64, goodputs);
    row("another third is missing at each", bound, wall, "|");
    Ok(())
}

/// Puts other bytes in the place of one third of a file, without a change of its length.
fn overwrite_third(file: &Path, number: u64, bytes: u64) -> io::Result<()> {
    let third = bytes / 3;
    let other = data::bytes(&format!("lost {number}"), third as usize);
    let file = File::options().write(true).open(file)?;
    file.write_all_at(&other, number * third)
}

/// Seconds that the slowest set of thirds takes from all sources that have any of it: for
/// one third the other two sources, for more of them all three (max-flow, min-cut).
fn bound_of_thirds(bytes: f64, goodputs: &Goodputs) -> f64 {
    let sum: f64 = goodputs.iter().sum();
    let one = goodputs.iter().map(|lost| bytes / 3.0 / (sum - lost));
    one.fold(bytes / sum, f64::max)
}

/// One of them sends other bytes.
fn lying(sets: &Sets, file: &Path, goodputs: &Goodputs, honest: Duration) -> io::Result<()> {
    let mut sources = Sources::new(sets, file)?;
    let source = &mut sources.all[LIAR];
    source.server = None;
    let mut liar = Command::new(std::env::current_exe()?);
    liar.args(["liar", "--ticket", &sources.ticket])
        .args(["--listen", &format!("{}:0", source.host.ip)])
        .arg("--home")
        .arg(&source.home);
    let (ticket, server) = ticket_of(source.host.take_in(&liar))?;
    source.server = Some(server);
    sources.ticket = ticket;
    let wall = sources.finish(sources.start_get()?)?;
    let sum: f64 = goodputs.iter().sum();
    let bound = sets.lab_bytes as f64 / (sum - goodputs[LIAR]);
    row(
        &format!(
            "that of {} Mbit/s lies in {LIES_PERCENT} % of its chunks; the bound is without it",
            UPLINKS[LIAR]
        ),
        bound,
        wall,
        &format!(
            "{:.1} s with all honest | {:.2} × that, {:.2} if it gave nothing",
            honest.as_secs_f64(),
            wall.as_secs_f64() / honest.as_secs_f64(),
            sum / (sum - goodputs[LIAR])
        ),
    );
    Ok(())
}

/// Runs the source that lies, until it is ended; prints the ticket that names it.
pub fn lie(home: &Path, ticket: &str, listen: SocketAddr) -> io::Result<()> {
    let liar = Liar::start(home, ticket, Conduct::Lies(LIES_PERCENT), listen);
    println!("{}", liar.ticket());
    loop {
        thread::park();
    }
}

/// What a source does half-way.
#[derive(Clone, Copy)]
enum Stop {
    /// It says goodbye (Ctrl-C).
    Leaves,
    /// It stands still, with its connections open (SIGSTOP).
    Freezes,
}

/// How a get went whose source stopped.
struct Stopped {
    /// The whole of it.
    wall: Duration,
    /// What the other sources need for what was not here at that time, and what they had
    /// brought until then, in seconds.
    bound: f64,
    /// From that time to the end.
    after: f64,
    /// Of that, what those others need at least.
    after_bound: f64,
}

/// One of them freezes half-way, beside the same one leaving.
fn frozen(sets: &Sets, file: &Path, goodputs: &Goodputs) -> io::Result<()> {
    let leaves = stopped(sets, file, goodputs, Stop::Leaves)?;
    let freezes = stopped(sets, file, goodputs, Stop::Freezes)?;
    let lost = |stopped: &Stopped| stopped.after - stopped.after_bound;
    let what = format!("that of {} Mbit/s", UPLINKS[FROZEN]);
    row(
        &format!("{what} leaves half-way"),
        leaves.bound,
        leaves.wall,
        &format!("{:.1} s lost against the other links |", lost(&leaves)),
    );
    row(
        &format!("{what} freezes half-way"),
        freezes.bound,
        freezes.wall,
        &format!(
            "{:.1} s lost against the other links | {:.1} s against leaving",
            lost(&freezes),
            lost(&freezes) - lost(&leaves)
        ),
    );
    Ok(())
}

fn stopped(sets: &Sets, file: &Path, goodputs: &Goodputs, stop: Stop) -> io::Result<Stopped> {
    let sources = Sources::new(sets, file)?;
    let get = sources.start_get()?;
    let (done, at) = get.wait_for(sets.lab_bytes / 2)?;
    let _thawed = stop.happen(&sources.all[FROZEN])?;
    let wall = sources.finish(get)?;
    let sum: f64 = goodputs.iter().sum();
    let after_bound = (sets.lab_bytes - done) as f64 / (sum - goodputs[FROZEN]);
    Ok(Stopped {
        wall,
        bound: done as f64 / sum + after_bound,
        after: (wall - at).as_secs_f64(),
        after_bound,
    })
}

impl Stop {
    /// Has it happen to a source; what it gives undoes it when dropped.
    fn happen(self, source: &Source) -> io::Result<Option<Thaw>> {
        let server = source.server.as_ref().expect("it runs");
        let pid = Pid::from_child(&server.0);
        match self {
            Self::Leaves => kill_process(pid, Signal::INT)?,
            Self::Freezes => {
                kill_process(pid, Signal::STOP)?;
                return Ok(Some(Thaw(pid)));
            }
        }
        Ok(None)
    }
}

/// A process that goes on when this is dropped: one that is frozen cannot be ended kindly.
struct Thaw(Pid);

impl Drop for Thaw {
    fn drop(&mut self) {
        // Not waited for yet, so the number is still its own.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Four receivers in the room of the fan-out: two start late, and one is killed half-way.
fn late_and_killed(sets: &Sets, file: &Path) -> io::Result<()> {
    let room = Room::new(4, ROOM_MBIT)?;
    let dir = sets.fresh("late")?;
    let share = share_command(&dir.join("source"), file);
    let (ticket, _sharer): (String, Server) = ticket_of(room.source.take_in(&share))?;
    let (before, _) = room.source.moved();
    let copy = |number: usize| -> PathBuf { dir.join(format!("copy{number}")) };
    let start = |number: usize| {
        let home = dir.join(format!("home{number}"));
        Getter::start(&room.receivers[number], &home, &ticket, &copy(number))
    };
    let walls = thread::scope(|scope| {
        let first = scope.spawn(|| start(0)?.finish());
        let killed = scope.spawn(|| {
            let get = start(1)?;
            get.wait_for(sets.lab_bytes / 2)?;
            get.kill()
        });
        let late = [2, 3].map(|number| {
            scope.spawn(move || {
                thread::sleep(LATE);
                start(number)?.finish()
            })
        });
        joined(killed)?;
        let [second, third] = late;
        Ok::<_, io::Error>([joined(first)?, joined(second)?, joined(third)?])
    })?;
    let sent = room.source.moved().0 - before;
    for number in [0, 2, 3] {
        assert_same(file, &copy(number))?;
    }
    let bound = sets.lab_bytes as f64 / goodput(ROOM_MBIT)?;
    println!(
        "\n### Late and killed receivers, links of {ROOM_MBIT} Mbit/s ({} MiB)\n",
        sets.lab_bytes >> 20
    );
    println!("| receiver | bound from its own start | wall | × bound |");
    println!("|---|---|---|---|");
    let late = format!("starts {} s later", LATE.as_secs());
    for (what, wall) in ["starts first", &late, &late].into_iter().zip(walls) {
        let wall = wall.as_secs_f64();
        println!(
            "| {what} | {bound:.1} s | {wall:.1} s | {:.2} |",
            wall / bound
        );
    }
    println!(
        "\nA fourth started with the first and was killed half-way. The source sent {:.2} × the size.",
        sent as f64 / sets.lab_bytes as f64
    );
    Ok(())
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().expect("it does not panic")
}
