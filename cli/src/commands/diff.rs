//! `shoal diff`: how two artifacts differ.

use shoal_node::api::{Change, DiffRequest, Diffed, Difference};

use crate::error::{Code, Failure};
use crate::session::{Context, Session};
use crate::ui::format;
use crate::ui::out::Lines;

/// Compare two artifacts, versions or snapshots
///
/// Prints A(dded), M(odified), D(eleted) and R(enamed) paths, and ends with exit code 3 where
/// there are any. Only what differs is read, so that versions of millions of files compare in
/// moments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal diff lab/imagenet@v2 lab/imagenet@v3
  shoal diff snap_1f3a9c snap_77b0e1 --json
  shoal diff --quiet A B && echo same")]
pub struct Args {
    /// The old one
    #[arg(value_name = "A")]
    pub a: String,
    /// The new one
    #[arg(value_name = "B")]
    pub b: String,
}

/// Compares them.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    if args.a == "-" && args.b == "-" {
        return Err(Failure::usage("only one of A and B can be read from stdin"));
    }
    let request = DiffRequest {
        a: context.what(&args.a).await?,
        b: context.what(&args.b).await?,
    };
    context
        .at_node(async |session| diff(&request, session).await)
        .await
}

async fn diff(request: &DiffRequest, session: &mut Session) -> Result<Code, Failure> {
    let json = session.json;
    let mut lines = Lines::default();
    let events = session.client.diff(request).await?;
    let diffed = session
        .follow(events, |console, difference: Difference| {
            if json {
                lines.json(console, &difference)
            } else {
                lines.line(console, &row(&difference))
            }
        })
        .await?;
    lines.flush(&session.console)?;
    if diffed.is_same() {
        return Ok(Code::Ok);
    }
    session.console.say(&summary(&diffed));
    Ok(Code::Differences)
}

fn row(difference: &Difference) -> String {
    let letter = match difference.change {
        Change::Added => 'A',
        Change::Removed => 'D',
        Change::Content | Change::Kind => 'M',
        Change::Renamed => 'R',
    };
    let path = format::name(&difference.path);
    match &difference.path_a {
        Some(old) => format!("{letter} {} -> {path}", format::name(old)),
        None => format!("{letter} {path}"),
    }
}

/// `3 added, 1 modified, 2 deleted`.
fn summary(diffed: &Diffed) -> String {
    let parts = [
        (diffed.added, "added"),
        (diffed.changed, "modified"),
        (diffed.removed, "deleted"),
        (diffed.renamed, "renamed"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", format::count(*count)))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_counted() {
        let diffed = Diffed {
            added: 3_000,
            changed: 0,
            removed: 2,
            renamed: 0,
        };
        assert_eq!(summary(&diffed), "3,000 added, 2 deleted");
    }
}
