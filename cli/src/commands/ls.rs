//! `shoal ls`: what is in an artifact, or in the store.

use shoal_node::api::{EntryType, LsEntry, LsRequest, SnapshotInfo};

use crate::error::{Code, Failure};
use crate::session::{Context, Session, inside};
use crate::ui::format;
use crate::ui::out::{self, Lines};
use crate::ui::table::{Align, Table};

/// List what is in an artifact or snapshot, or what this node holds
///
/// Without WHAT: the artifacts and snapshots of this node.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal ls
  shoal ls lab/imagenet train          # what is in one folder of it
  shoal ls -lR snap_1f3a9c             # everything below, with sizes")]
pub struct Args {
    /// An artifact, a snapshot id, a ticket, or WHAT:path
    #[arg(value_name = "WHAT")]
    pub what: Option<String>,
    /// A path inside it
    #[arg(value_name = "PATH")]
    pub path: Option<String>,
    /// Show kind and size
    #[arg(short, long)]
    pub long: bool,
    /// Show everything below, not only one level
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

/// Lists it.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    let Some(what) = &args.what else {
        return context
            .at_node(async |session| snapshots(session).await)
            .await;
    };
    let mut what = context.what(what).await?;
    what.text = inside(&what.text, args.path.as_deref());
    let request = LsRequest {
        what,
        recursive: args.recursive,
        timeout_s: Some(PATIENCE_S),
    };
    context
        .at_node(async |session| entries(&args, &request, session).await)
        .await
}

/// How long a look at something far away may take without progress.
const PATIENCE_S: u64 = 60;

async fn entries(args: &Args, request: &LsRequest, session: &mut Session) -> Result<Code, Failure> {
    let json = session.json;
    let mut lines = Lines::default();
    let events = session.client.ls(request).await?;
    session
        .follow(events, |console, entry: LsEntry| {
            if json {
                lines.json(console, &entry)
            } else {
                lines.line(console, &row(&entry, args.long))
            }
        })
        .await?;
    lines.flush(&session.console)?;
    Ok(Code::Ok)
}

/// `x    1.2 MB  bin/run`; the path alone without `long`.
fn row(entry: &LsEntry, long: bool) -> String {
    let mut path = format::name(&entry.path);
    if entry.kind == EntryType::Directory {
        path.push('/');
    }
    if !long {
        return path;
    }
    let kind = match entry.kind {
        EntryType::File => '-',
        EntryType::Executable => 'x',
        EntryType::Symlink => 'l',
        EntryType::Directory => 'd',
    };
    let target = match &entry.target {
        Some(target) => format!(" -> {}", format::name(target)),
        None => String::new(),
    };
    format!("{kind} {:>9}  {path}{target}", format::bytes(entry.bytes))
}

async fn snapshots(session: &mut Session) -> Result<Code, Failure> {
    let snapshots = session.client.snapshots().await?;
    if session.json {
        for snapshot in &snapshots {
            out::json(snapshot)?;
        }
        return Ok(Code::Ok);
    }
    if snapshots.is_empty() {
        session
            .console
            .say("nothing is here yet: `shoal add PATH`, or `shoal get TICKET`");
    }
    let mut table = Table::new([Align::Left, Align::Right, Align::Right, Align::Left]);
    for snapshot in &snapshots {
        table.row([
            snapshot.snapshot.short(),
            held(snapshot),
            format::counted(snapshot.entries, "file"),
            called(snapshot),
        ]);
    }
    out::text(&table.render(0))?;
    Ok(Code::Ok)
}

/// `512 MB`, or `41 % of 512 MB` of a download that is not whole.
fn held(snapshot: &SnapshotInfo) -> String {
    let bytes = format::bytes(snapshot.bytes);
    if snapshot.bytes_held >= snapshot.bytes {
        return bytes;
    }
    format!(
        "{} of {bytes}",
        format::percent(snapshot.bytes_held, snapshot.bytes)
    )
}

/// Its names, and where it lies.
fn called(snapshot: &SnapshotInfo) -> String {
    let mut words: Vec<String> = snapshot
        .names
        .iter()
        .map(|name| format::name(name))
        .collect();
    if let Some(path) = &snapshot.path {
        words.push(format::name(&path.to_string_lossy()));
    }
    if snapshot.in_place {
        words.push("(in place)".to_owned());
    }
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_its_path_or_a_row() {
        let mut entry = LsEntry {
            path: "bin/run".to_owned(),
            kind: EntryType::Executable,
            bytes: 1_200_000,
            target: None,
        };
        assert_eq!(row(&entry, false), "bin/run");
        assert_eq!(row(&entry, true), "x    1.2 MB  bin/run");
        entry.kind = EntryType::Directory;
        assert_eq!(row(&entry, false), "bin/run/");
        entry.kind = EntryType::Symlink;
        entry.bytes = 0;
        entry.target = Some("../x\n".to_owned());
        assert_eq!(row(&entry, true), "l       0 B  bin/run -> ../x\\n");
    }
}
