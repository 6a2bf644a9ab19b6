//! Three sources of one file, each behind an uplink of its own rate, and a receiver that is
//! faster than all of them together (a lab of network namespaces).

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use shoal_tests::lab::{Host, Lab, Site};

use crate::contender::Server;
use crate::fanout::goodput;
use crate::getter::{Getter, assert_same, get_command};
use crate::sets::Sets;
use crate::transfer::{share_command, ticket_of};

/// Uplinks of the sources, in Mbit/s.
pub const UPLINKS: [u32; 3] = [50, 100, 200];
/// The link of the receiver.
pub const FAST: u32 = 1000;

/// The goodputs of [`UPLINKS`], in bytes a second.
pub type Goodputs = [f64; 3];

/// Measures them.
pub fn goodputs() -> io::Result<Goodputs> {
    let mut measured = [0.0; 3];
    for (goodput_of, mbit) in measured.iter_mut().zip(UPLINKS) {
        *goodput_of = goodput(mbit)?;
    }
    Ok(measured)
}

/// A source.
pub struct Source {
    /// Where it is.
    pub host: Host,
    /// The file that it serves: storage and copy in one.
    pub file: PathBuf,
    /// Its home.
    pub home: PathBuf,
    /// Its process, as long as it runs.
    pub server: Option<Server>,
}

/// See the top of this file.
pub struct Sources {
    /// The sources, in the order of [`UPLINKS`].
    pub all: Vec<Source>,
    /// Names all of them.
    pub ticket: String,
    original: PathBuf,
    receiver: Host,
    dir: PathBuf,
    _site: Site,
    _lab: Lab,
}

impl Sources {
    /// Has all three serve copies of `original`: the first shares it, the others get it and
    /// share it on.
    pub fn new(sets: &Sets, original: &Path) -> io::Result<Self> {
        let mut lab = Lab::new().ok_or_else(|| io::Error::other("no lab"))?;
        let mut site = lab.site();
        let dir = sets.fresh("sources")?;
        let mut all: Vec<Source> = Vec::new();
        let mut ticket = String::new();
        for number in 0..UPLINKS.len() {
            // Everybody gets it at full speed, and is slowed down for the measurement.
            let host = lab.host(&mut site, FAST);
            let home = dir.join(format!("home{number}"));
            let file = dir.join(format!("copy{number}"));
            let share = if number == 0 {
                std::fs::copy(original, &file)?;
                share_command(&home, &file)
            } else {
                // By its id: a path would be shared by a ticket of that node's own.
                let id = snapshot_of(&host, &home, &ticket, &file)?;
                share_command(&home, Path::new(&id))
            };
            let (with_it, server) = ticket_of(host.take_in(&share))?;
            ticket = with_it;
            all.push(Source {
                host,
                file,
                home,
                server: Some(server),
            });
        }
        for (source, mbit) in all.iter().zip(UPLINKS) {
            lab.reshape(&source.host, mbit);
        }
        Ok(Self {
            all,
            ticket,
            original: original.to_owned(),
            receiver: lab.host(&mut site, FAST),
            dir,
            _site: site,
            _lab: lab,
        })
    }

    /// Starts to get it, once.
    pub fn start_get(&self) -> io::Result<Getter> {
        let home = self.dir.join("home");
        Getter::start(&self.receiver, &home, &self.ticket, &self.copy())
    }

    /// Waits for a get, and looks that nothing is wrong with what came.
    pub fn finish(&self, get: Getter) -> io::Result<Duration> {
        let wall = get.finish()?;
        assert_same(&self.original, &self.copy())?;
        Ok(wall)
    }

    fn copy(&self) -> PathBuf {
        self.dir.join("got")
    }
}

/// Gets a ticket's file; gives the id of its snapshot.
fn snapshot_of(host: &Host, home: &Path, ticket: &str, file: &Path) -> io::Result<String> {
    let got = get_command(host, home, ticket, file)
        .arg("--json")
        .stdout(Stdio::piped())
        .output()?;
    let got: serde_json::Value = serde_json::from_slice(&got.stdout)?;
    let id = got["snapshot"].as_str();
    let id = id.ok_or_else(|| io::Error::other("get --json names no snapshot"))?;
    Ok(id.to_owned())
}
