//! `shoal verify`: every byte against its hash.

use shoal_node::api::{Problem, Verified, VerifyRequest};

use crate::error::{Code, Failure};
use crate::session::{Context, Session, subject};
use crate::ui::format;
use crate::ui::out::Lines;

/// How long a repair waits for bytes from elsewhere without progress.
const PATIENCE_S: u64 = 60;

/// Read back every byte and compare it with its hash
///
/// Names each version and path whose bytes are damaged, gone, or cannot be looked at now, and
/// ends with exit code 6 where there are any.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal verify                       # everything this node holds
  shoal verify lab/imagenet@v3
  shoal verify --repair              # drop what is damaged, and mend it from other copies")]
pub struct Args {
    /// An artifact or snapshot id; everything without it
    #[arg(value_name = "WHAT")]
    pub what: Option<String>,
    /// Drop damaged bytes and have right ones: from this disk, from who shared them, or from the
    /// team. They go into the store; a damaged file stays as it is, and `get --force` writes it anew
    #[arg(long)]
    pub repair: bool,
}

/// Reads everything back.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    let what = match &args.what {
        None => None,
        Some(what) => Some(context.what(what).await?),
    };
    let request = VerifyRequest {
        what,
        repair: args.repair,
        timeout_s: Some(PATIENCE_S),
    };
    context
        .at_node(async |session| verify(&args, &request, session).await)
        .await
}

async fn verify(
    args: &Args,
    request: &VerifyRequest,
    session: &mut Session,
) -> Result<Code, Failure> {
    let what = args
        .what
        .as_deref()
        .map_or_else(|| "the store".to_owned(), subject);
    session.console.begin(format!("verifying {what}"));
    let json = session.json;
    let mut lines = Lines::default();
    let events = session.client.verify(request).await?;
    let verified = session
        .follow(events, |console, problem: Problem| {
            if json {
                lines.json(console, &problem)
            } else {
                lines.line(console, &row(&problem))
            }
        })
        .await?;
    lines.flush(&session.console)?;
    session.console.say(&summary(&verified));
    if verified.problems == verified.repaired {
        return Ok(Code::Ok);
    }
    if !args.repair {
        session
            .console
            .hint("`shoal verify --repair` mends what can be had from elsewhere");
    }
    Ok(Code::Integrity)
}

/// `damaged    12 MB  snap_1f3a9c0b22d4:train/x.bin  the file was edited since it was added`.
fn row(problem: &Problem) -> String {
    let state = match (problem.repaired, problem.away) {
        (true, _) => "repaired",
        (false, true) => "away",
        (false, false) => "damaged",
    };
    let place = match (&problem.snapshot, &problem.path) {
        (Some(snapshot), Some(path)) => format!("{}:{path}", format::short_id(snapshot)),
        (Some(snapshot), None) => format::short_id(snapshot).to_owned(),
        (None, Some(path)) => path.clone(),
        (None, None) => "the store".to_owned(),
    };
    format!(
        "{state:<8} {:>8}  {}  {}",
        format::bytes(problem.bytes),
        format::name(&place),
        format::name(&problem.message)
    )
}

fn summary(verified: &Verified) -> String {
    let read = format!(
        "verified {} in {}",
        format::bytes(verified.bytes),
        format::counted(verified.snapshots, "snapshot")
    );
    match (verified.problems, verified.repaired) {
        (0, _) => format!("{read}: everything is as it should be"),
        (problems, 0) => format!("{read}: {}", format::counted(problems, "problem")),
        (problems, repaired) => format!(
            "{read}: {}, {} repaired",
            format::counted(problems, "problem"),
            format::count(repaired)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_version_and_path() {
        let problem = Problem {
            snapshot: Some("snap_1f3a9c0b22d4eeee".to_owned()),
            path: Some("train/x.bin".to_owned()),
            bytes: 12_000_000,
            message: "its file was edited".to_owned(),
            away: false,
            repaired: false,
        };
        assert_eq!(
            row(&problem),
            "damaged     12 MB  snap_1f3a9c0b22d4:train/x.bin  its file was edited"
        );
    }

    #[test]
    fn the_summary_is_a_verdict() {
        let verified = |problems, repaired| Verified {
            snapshots: 2,
            bytes: 512_000_000,
            problems,
            repaired,
        };
        assert_eq!(
            summary(&verified(0, 0)),
            "verified 512 MB in 2 snapshots: everything is as it should be"
        );
        assert_eq!(
            summary(&verified(2, 1)),
            "verified 512 MB in 2 snapshots: 2 problems, 1 repaired"
        );
    }
}
