//! What moves when an edited artifact is fetched by someone who has the old version.
//!
//! Once as versions that the source keeps (`add`, and a node that goes on serving the old
//! one), with rsync's delta algorithm beside it; and once shared in place from one path, where
//! the edit took the old bytes from the source. Everything runs on loopback; what moves is the
//! payload of sockets in both directions, as either program counts it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use shoal_tests::chunks::new_chunk_bytes;
use shoal_tests::shoal::binary;

use crate::contender::installed;
use crate::kept::Keeper;
use crate::sets::{self, Sets};
use crate::transfer::{rsync_daemon, share};

/// A data set and what is done to it.
struct Edit<'a> {
    what: &'static str,
    source: &'a Path,
    /// Makes the next version at a path where the first one is; gives the really new bytes.
    edit: &'a dyn Fn(&PathBuf) -> io::Result<u64>,
    /// How many get it, by turns with as many of rsync's, for the median of their times.
    rounds: usize,
}

/// What a fetch of the next version cost.
#[derive(Clone, Copy)]
struct Fetch {
    /// Payload in both directions, in bytes.
    moved: u64,
    wall: Duration,
}

/// Prints rows for each data set.
pub fn run(sets: &Sets) -> io::Result<()> {
    println!("\n### Bytes on the wire for an edit\n");
    println!(
        "| what | how | really new MB | new chunks MB | moved MB | × new | × new chunks | s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for edit in [
        Edit {
            what: "2 GiB model, 10 % of tensors rewritten, one inserted",
            source: &sets.model,
            edit: &|work| sets.model_spec.write_edited(work),
            rounds: 1,
        },
        Edit {
            what: "20,000 files: 2 % changed, 1 % added, removed, renamed",
            source: &sets.folder,
            edit: &|work| sets.folder_spec.edit(work),
            rounds: 1,
        },
        Edit {
            what: "512 MiB CSV, 3,000 rows inserted",
            source: &sets.csv,
            edit: &|work| sets.csv_spec.write_with_rows(&sets.csv, work, 3000),
            rounds: 3,
        },
    ] {
        edit.measure(sets)?;
    }
    Ok(())
}

impl Edit<'_> {
    fn measure(&self, sets: &Sets) -> io::Result<()> {
        let dir = sets.fresh("edits")?;
        let work = dir.join("work");
        self.copy_to(&work)?;
        let keeper = Keeper::start(&dir.join("home"))?;
        let copies: Vec<_> = (0..self.rounds)
            .map(|round| {
                (
                    dir.join(format!("reader{round}")),
                    dir.join(format!("copy{round}")),
                )
            })
            .collect();
        let ticket = keeper.keep_and_share(&work)?;
        for (reader, copy) in &copies {
            get(reader, &ticket, copy)?;
        }
        let rsyncs = match installed("rsync") {
            true => RSYNCS,
            false => &[],
        };
        let rsynced: Vec<_> = (rsyncs.iter())
            .map(|rsync| self.copies_for_rsync(&dir.join(rsync.dir), &work))
            .collect::<io::Result<_>>()?;
        let fresh = (self.edit)(&work)?;
        let chunks = new_chunk_bytes(self.source, &work)?;
        let ticket = keeper.keep_and_share(&work)?;
        let daemon = match rsyncs.is_empty() {
            true => None,
            false => Some(rsync_daemon(&dir, &work)?),
        };
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); rsyncs.len()];
        for (round, (reader, copy)) in copies.iter().enumerate() {
            sets::settle(&dir)?;
            ours.push(get(reader, &ticket, copy)?);
            assert_same(&work, copy)?;
            let Some((_, port)) = &daemon else { continue };
            for ((rsync, copies), fetches) in rsyncs.iter().zip(&rsynced).zip(&mut theirs) {
                sets::settle(&dir)?;
                let copy = &copies[round];
                fetches.push(rsync.update(*port, copy)?);
                let got = if work.is_dir() {
                    copy
                } else {
                    &copy.join("work")
                };
                assert_same(&work, got)?;
            }
        }
        drop((keeper, daemon));
        self.row("versions kept", fresh, Some(chunks), ours);
        for (rsync, fetches) in rsyncs.iter().zip(theirs) {
            self.row(rsync.what, fresh, None, fetches);
        }
        self.in_place(sets, chunks)?;
        sets::remove(&sets.scratch)
    }

    /// The same with a source that shares the path as it is, and so loses the old bytes.
    fn in_place(&self, sets: &Sets, chunks: u64) -> io::Result<()> {
        let dir = sets.fresh("edits")?;
        let work = dir.join("work");
        self.copy_to(&work)?;
        let (home, reader, copy) = (dir.join("home"), dir.join("reader"), dir.join("copy"));
        let (ticket, sharer) = share(&home, &work)?;
        get(&reader, &ticket, &copy)?;
        drop(sharer);
        let fresh = (self.edit)(&work)?;
        let (ticket, sharer) = share(&home, &work)?;
        sets::settle(&dir)?;
        let fetch = get(&reader, &ticket, &copy)?;
        drop(sharer);
        assert_same(&work, &copy)?;
        self.row("shared in place", fresh, Some(chunks), vec![fetch]);
        Ok(())
    }

    fn copy_to(&self, work: &Path) -> io::Result<()> {
        run_to_end(Command::new("cp").arg("-r").arg(self.source).arg(work))
    }

    /// Copies of the first version as rsync would have left them: with the times of the
    /// originals, by which it knows what did not change.
    fn copies_for_rsync(&self, dir: &Path, work: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::create_dir(dir)?;
        let mut copies = Vec::new();
        for round in 0..self.rounds {
            let copy = dir.join(round.to_string());
            if work.is_file() {
                std::fs::create_dir(&copy)?;
            }
            run_to_end(Command::new("cp").arg("-a").arg(work).arg(&copy))?;
            copies.push(copy);
        }
        Ok(copies)
    }

    fn row(&self, how: &str, fresh: u64, chunks: Option<u64>, mut fetches: Vec<Fetch>) {
        fetches.sort_by_key(|fetch| fetch.wall);
        let median = fetches[fetches.len() / 2];
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let of_chunks = chunks.map(|c| (mb(c), median.moved as f64 / c as f64));
        let (chunks, ratio) = of_chunks.map_or_else(Default::default, |(mb, ratio)| {
            (format!("{mb:.2}"), format!("{ratio:.3}"))
        });
        println!(
            "| {} | {how} | {:.2} | {chunks} | {:.2} | {:.3} | {ratio} | {:.2} |",
            self.what,
            mb(fresh),
            mb(median.moved),
            median.moved as f64 / fresh as f64,
            median.wall.as_secs_f64()
        );
    }
}

fn run_to_end(command: &mut Command) -> io::Result<()> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?} failed"))),
    }
}

fn assert_same(work: &Path, copy: &Path) -> io::Result<()> {
    run_to_end(Command::new("diff").arg("-r").arg(work).arg(copy))
}

fn get(home: &Path, ticket: &str, to: &Path) -> io::Result<Fetch> {
    let began = Instant::now();
    let output = Command::new(binary())
        .env("SHOAL_HOME", home)
        .args(["--json", "--progress", "none", "get", ticket])
        .arg(to)
        .output()?;
    let wall = began.elapsed();
    if !output.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let wire = |field: &str| {
        said[field]
            .as_u64()
            .unwrap_or_else(|| panic!("get --json has no {field}: {said}"))
    };
    let moved = wire("wire_in") + wire("wire_out");
    Ok(Fetch { moved, wall })
}

/// A way to call rsync.
struct Rsync {
    what: &'static str,
    /// The folder with its copies.
    dir: &'static str,
    options: &'static [&'static str],
}

/// As most call it, and so that the new version is on the medium before it takes the place of
/// the old one, as ours is.
const RSYNCS: &[Rsync] = &[
    Rsync {
        what: "rsync",
        dir: "rsync",
        options: &[],
    },
    Rsync {
        what: "rsync --fsync",
        dir: "rsync-durable",
        options: &["--fsync"],
    },
];

impl Rsync {
    /// Brings a copy up to date from the daemon, by rsync's delta algorithm.
    fn update(&self, port: u16, copy: &Path) -> io::Result<Fetch> {
        let began = Instant::now();
        let output = Command::new("rsync")
            .args(["-a", "--delete", "--no-whole-file", "--stats"])
            .args(self.options)
            .arg(format!("rsync://127.0.0.1:{port}/data/"))
            .arg(copy)
            .output()?;
        let wall = began.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        let total = |way: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(way));
            let digits: String = line?.chars().filter(char::is_ascii_digit).collect();
            digits.parse::<u64>().ok()
        };
        match (total("Total bytes sent:"), total("Total bytes received:")) {
            (Some(sent), Some(received)) if output.status.success() => Ok(Fetch {
                moved: sent + received,
                wall,
            }),
            _ => Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )),
        }
    }
}
