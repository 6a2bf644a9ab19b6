//! `shoal share`: one ticket, and somebody who serves it.

use std::time::Duration;

use shoal_node::api::{ShareRequest, Shared};

use crate::args::Limits;
use crate::error::{Code, Failure};
use crate::session::{Context, Session, here, subject};
use crate::ui::{Console, format, out};
use crate::values;

/// Print a ticket for a folder, file or artifact, and serve it
///
/// Whoever holds the ticket can fetch what it names, and nothing else, until it expires. A
/// path is shared in place: nothing is copied or moved. Without a running node this command
/// serves until Ctrl-C; with one (`shoal up`) it hands the share over and ends.
///
/// stdout is exactly one line, the ticket.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal share ./lab-data                      # serve until Ctrl-C
  shoal share lab/imagenet@v3 --expires 7d
  shoal share model.safetensors | ssh gpu-17 shoal get -")]
pub struct Args {
    /// A path, an artifact (lab/imagenet@v3), or a snapshot id (./x forces a path)
    #[arg(value_name = "WHAT", value_hint = clap::ValueHint::AnyPath)]
    pub what: String,
    /// How long the ticket is good for, like 90m or 7d, and 10 minutes more, by which clocks may
    /// differ [default: `share_expires`, 24h]
    #[arg(long, value_name = "TIME", value_parser = values::some_time)]
    pub expires: Option<Duration>,
    /// Bind the ticket to one node: for all others it is worthless
    #[arg(long, value_name = "PEER")]
    pub to: Option<String>,
    /// Share everything, also .git and what .shoalignore and .dvcignore leave out
    #[arg(long)]
    pub all: bool,
    /// How fast to send
    #[command(flatten)]
    pub limits: Limits,
}

/// Shares it, and serves it where no node runs that could.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    context.limit(&args.limits);
    context
        .at_node(async |session| share(&args, session).await)
        .await
}

async fn share(args: &Args, session: &mut Session) -> Result<Code, Failure> {
    session.own_limits(&args.limits)?;
    let name = subject(&args.what);
    session.console.begin(format!("sharing {name}"));
    let request = ShareRequest {
        what: here(&args.what)?,
        expires_s: args.expires.map(|expires| expires.as_secs()),
        to: args.to.clone(),
        all: args.all,
    };
    let events = session.client.share(&request).await?;
    let json = session.json;
    let mut given = false;
    let served = session
        .follow(events, |console, shared: Shared| {
            given = true;
            console.aside(|| {
                if json {
                    out::json(&shared)
                } else {
                    out::line(&shared.ticket)
                }
            })?;
            console.say(&state(&name, &shared));
            console.retitle(format!("serving {name}"));
            Ok(())
        })
        .await;
    let sent = match served {
        Ok(served) => served.wire_out,
        // Ctrl-C is how serving ends; before there is a ticket it is an interruption.
        Err(_) if given && session.is_interrupted() => session.last().wire_out,
        Err(failure) if given => return Err(failure.hint("share it again: the ticket stays good")),
        Err(failure) => return Err(failure),
    };
    stopped(&session.console, &name, sent, session.client.is_embedded());
    Ok(Code::Ok)
}

/// `serving lab-data (512 MB, 3,112 files) until 2026-11-24 06:09 UTC – stop with Ctrl-C`.
fn state(name: &str, shared: &Shared) -> String {
    let what = format!(
        "{name} ({}, {})",
        format::bytes(shared.bytes),
        format::counted(shared.entries, "file")
    );
    let until = match shared.expires_unix_s {
        Some(at) => format!(" until {}", format::utc(at)),
        None => String::new(),
    };
    if shared.by_daemon {
        format!("the running node serves {what}{until}; `shoal status` shows it")
    } else {
        format!("serving {what}{until} – stop with Ctrl-C")
    }
}

fn stopped(console: &Console, name: &str, sent: u64, embedded: bool) {
    if embedded {
        console.say(&format!(
            "stopped serving {name}; {} sent",
            format::bytes(sent)
        ));
    }
}

#[cfg(test)]
mod tests {
    use shoal_protocol::id::SnapshotId;

    use super::*;

    #[test]
    fn who_serves_and_how_it_ends_is_said() {
        let mut shared = Shared {
            ticket: "shoal1x".to_owned(),
            snapshot: SnapshotId::of(b"x"),
            entries: 3_112,
            bytes: 512_000_000,
            expires_unix_s: Some(1_795_500_543),
            addresses: vec!["10.0.0.1:4747".to_owned()],
            by_daemon: false,
        };
        assert_eq!(
            state("lab-data", &shared),
            "serving lab-data (512 MB, 3,112 files) until 2026-11-24 06:09 UTC – stop with Ctrl-C"
        );
        shared.by_daemon = true;
        assert_eq!(
            state("lab-data", &shared),
            "the running node serves lab-data (512 MB, 3,112 files) until 2026-11-24 06:09 UTC; \
             `shoal status` shows it"
        );
    }
}
