//! `shoal get`: an artifact comes to its place.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shoal_node::api::{GetRequest, Got, What};

use crate::args::Limits;
use crate::error::{Code, Failure};
use crate::session::{Context, Session, named, subject};
use crate::ui::{format, out};
use crate::values;

/// How long a script waits without progress before it gives up.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(600);

/// Fetch what a ticket, name or id stands for, verified and resumable
///
/// A shared folder's contents become DEST's. A shared file becomes DEST, or lands in it where
/// DEST is a folder. Without DEST it takes the name it was shared under, in this folder.
///
/// What is already here does not move again, so an update moves what changed. Files that you
/// edited are never overwritten without --force. Stopped in the middle, the same command goes
/// on where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal get shoal1… lab-data
  shoal get - /data/model < ticket.txt        # keeps the ticket out of the process list
  shoal get lab/imagenet@v3 /data/imagenet --timeout 5m
  shoal get shoal1… --linger 10m              # go on serving it to others for a while")]
pub struct Args {
    /// A ticket, an artifact, a snapshot id, or - for a ticket on stdin
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// Where to put it
    #[arg(value_name = "DEST", value_hint = clap::ValueHint::AnyPath)]
    pub dest: Option<PathBuf>,
    /// Give up after this long without progress [default: wait on a terminal, else 10m]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub timeout: Option<Duration>,
    /// Overwrite files that you edited
    #[arg(long)]
    pub force: bool,
    /// Go on serving it for this long after it is here
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub linger: Option<Duration>,
    /// Return only when it would survive a power cut
    #[arg(long)]
    pub sync: bool,
    /// How fast to fetch, and to serve on meanwhile
    #[command(flatten)]
    pub limits: Limits,
}

/// Fetches it.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    let what = context.what(&args.what).await?;
    context.limit(&Limits {
        down: None,
        ..args.limits
    });
    context
        .at_node(async |session| get(&args, what, session).await)
        .await
}

async fn get(args: &Args, what: What, session: &mut Session) -> Result<Code, Failure> {
    session.own_limits(&Limits {
        down: None,
        ..args.limits
    })?;
    session
        .console
        .begin(format!("getting {}", title(&what, args.dest.as_deref())));
    let request = GetRequest {
        what,
        dest: args.dest.clone(),
        force: args.force,
        sync: args.sync,
        timeout_s: patience(args.timeout, std::io::stderr().is_terminal()).map(|t| t.as_secs()),
        linger_s: args.linger.map(|linger| linger.as_secs()),
        down_max: args.limits.down,
    };
    let events = session.client.get(&request).await?;
    let json = session.json;
    let mut here = false;
    let served = session
        .follow(events, |console, got: Got| {
            here = true;
            if json {
                console.aside(|| out::json(&got))?;
            }
            console.say(&summary(&got));
            if let Some(linger) = args.linger {
                let time = format::coarse(linger.as_secs());
                console.say(&format!(
                    "serving it to others for {time} – stop with Ctrl-C"
                ));
                console.retitle("serving it to others");
            }
            Ok(())
        })
        .await;
    match served {
        Ok(_) => Ok(Code::Ok),
        Err(failure) if failure.code != Code::Interrupted => Err(failure),
        // It is whole; only the lingering was cut short.
        Err(_) if here && session.is_interrupted() => Ok(Code::Ok),
        Err(failure) => Err(failure.hint("run the same command again: it goes on from here")),
    }
}

/// What the display calls it: its name; where a ticket has none, the place it goes to.
fn title(what: &What, dest: Option<&Path>) -> String {
    let place = dest.and_then(Path::file_name);
    match place.filter(|_| what.is_ticket() && named(&what.text).is_none()) {
        Some(place) => format::name(&place.to_string_lossy()),
        None => subject(&what.text),
    }
}

/// How long to wait without progress. Somebody who watches decides for themselves.
fn patience(asked: Option<Duration>, watched: bool) -> Option<Duration> {
    asked.or_else(|| (!watched).then_some(SCRIPT_TIMEOUT))
}

/// `lab-data: 3,112 files, moved 0.3 of 512 MB in 1.2 s`.
fn summary(got: &Got) -> String {
    let name = match got.dest.file_name() {
        Some(name) => name.to_string_lossy(),
        None => got.dest.to_string_lossy(),
    };
    let name = format::name(&name);
    let files = format::counted(got.entries, "file");
    let moved = format::bytes_of(got.wire_in, got.bytes);
    let time = format::elapsed(Duration::from_millis(got.elapsed_ms));
    if got.files_written + got.files_removed == 0 && got.entries > 0 {
        return format!("{name}: up to date, {files}, moved {moved} in {time}");
    }
    format!("{name}: {files}, moved {moved} in {time}")
}

#[cfg(test)]
mod tests {
    use shoal_protocol::id::SnapshotId;

    use super::*;

    #[test]
    fn the_summary_says_what_moved() {
        let mut got = Got {
            snapshot: SnapshotId::of(b"x"),
            dest: "/data/lab-data".into(),
            entries: 3_112,
            bytes: 512_000_000,
            bytes_reused: 511_700_000,
            files_written: 2,
            files_removed: 0,
            wire_in: 300_000,
            wire_out: 0,
            elapsed_ms: 1_234,
        };
        assert_eq!(
            summary(&got),
            "lab-data: 3,112 files, moved 0.3 of 512 MB in 1.2 s"
        );
        got.files_written = 0;
        got.wire_in = 1_200;
        assert_eq!(
            summary(&got),
            "lab-data: up to date, 3,112 files, moved 1.2 kB of 512 MB in 1.2 s"
        );
    }

    #[test]
    fn only_a_script_gives_up_by_itself() {
        let minute = Duration::from_secs(60);
        assert_eq!(patience(None, true), None);
        assert_eq!(patience(None, false), Some(SCRIPT_TIMEOUT));
        assert_eq!(patience(Some(minute), true), Some(minute));
    }
}
