//! `shoal add`: keeps snapshots.

use std::path::{Path, PathBuf};

use serde::Serialize;
use shoal_node::api::{AddRequest, Added, Never};

use crate::error::{Code, Failure};
use crate::session::{Context, Session, working_dir};
use crate::ui::{Console, format, out};

/// Keep a snapshot of files or folders, and print its id
///
/// The same files give the same id on every machine. With --name the snapshot becomes a new
/// version of that artifact. Bytes that the store already holds are not kept twice; where the
/// file system has reflinks nothing is copied at all, and where it has none shoal says how
/// much it will copy before it does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal add ./imagenet                               # prints snap_…
  shoal add ./imagenet --name lab/imagenet -m 'deduplicated labels'
  shoal add --in-place /mnt/nfs/raw                  # no copy: the files are the storage")]
pub struct Args {
    /// Files and folders to keep, each as a snapshot of its own
    #[arg(value_name = "PATH", required = true, value_hint = clap::ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// Make it a version of this artifact
    #[arg(long, value_name = "GROUP/NAME")]
    pub name: Option<String>,
    /// Why this version was made
    #[arg(short, long, value_name = "TEXT", requires = "name")]
    pub message: Option<String>,
    /// Keep no copy: later edits of the files take their old bytes with them
    #[arg(long)]
    pub in_place: bool,
    /// Keep it from the team that this node is in
    #[arg(long)]
    pub private: bool,
    /// Add everything, also .git and what .shoalignore and .dvcignore leave out
    #[arg(long)]
    pub all: bool,
}

/// One line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    path: &'a Path,
    #[serde(flatten)]
    added: &'a Added,
}

/// Adds each path.
pub async fn run(args: Args, context: Context) -> Result<Code, Failure> {
    if args.name.is_some() && args.paths.len() > 1 {
        return Err(
            Failure::usage("--name takes one PATH: a version is one snapshot")
                .hint("put the files into one folder, or give each a name of its own"),
        );
    }
    context
        .at_node(async |session| {
            for path in &args.paths {
                add(&args, path, session).await?;
            }
            Ok(Code::Ok)
        })
        .await
}

async fn add(args: &Args, path: &Path, session: &mut Session) -> Result<(), Failure> {
    let title = format!("adding {}", format::name(&path.to_string_lossy()));
    session.console.begin(title);
    let request = AddRequest {
        path: path.to_owned(),
        cwd: working_dir()?,
        name: args.name.clone(),
        message: args.message.clone(),
        in_place: args.in_place,
        private: args.private,
        all: args.all,
    };
    let events = session.client.add(&request).await?;
    let added = session
        .follow(events, |_, never: Never| match never {})
        .await
        .map_err(|failure| match failure.code {
            Code::Interrupted => {
                failure.hint("run the same command again: what was read is not read a second time")
            }
            _ => failure,
        })?;
    if session.json {
        out::json(&Line {
            path,
            added: &added,
        })?;
    } else {
        out::line(&added.snapshot.to_string())?;
    }
    summary(&session.console, path, &added);
    Ok(())
}

fn summary(console: &Console, path: &Path, added: &Added) {
    let name = format::name(&path.to_string_lossy());
    let what = added
        .version
        .as_deref()
        .map(|version| format!(" as {version}"));
    console.say(&format!(
        "kept {name}{}: {} in {}, {} of it new",
        what.unwrap_or_default(),
        format::bytes(added.bytes),
        format::counted(added.entries, "file"),
        format::bytes(added.bytes_new),
    ));
    if let Some(line) = left_out(added) {
        console.say(&line);
    }
}

/// `left out 14 paths: .git, build/x.o and 12 more (--all adds all but special files and what is shoal's own)`.
fn left_out(added: &Added) -> Option<String> {
    const SHOWN: usize = 3;
    let count = added.left_out_count;
    if count == 0 {
        return None;
    }
    let shown: Vec<String> = added
        .left_out
        .iter()
        .take(SHOWN)
        .map(|path| format::name(path))
        .collect();
    let more = match count.saturating_sub(shown.len() as u64) {
        0 => String::new(),
        rest => format!(" and {} more", format::count(rest)),
    };
    let paths = format::counted(count, "path");
    Some(format!(
        "left out {paths}: {}{more} (--all adds all but special files and what is shoal's own)",
        shown.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use shoal_protocol::id::SnapshotId;

    use super::*;

    #[test]
    fn what_was_left_out_is_named_in_short() {
        let added = |names: &[&str], count| Added {
            snapshot: SnapshotId::of(b"x"),
            version: None,
            entries: 1,
            bytes: 1,
            bytes_new: 1,
            left_out: names.iter().map(|name| (*name).to_owned()).collect(),
            left_out_count: count,
        };
        assert_eq!(left_out(&added(&[], 0)), None);
        assert_eq!(
            left_out(&added(&[".git"], 1)).as_deref(),
            Some(
                "left out 1 path: .git (--all adds all but special files and what is shoal's own)"
            )
        );
        assert_eq!(
            left_out(&added(&["a", "b", "c", "d"], 14)).as_deref(),
            Some(
                "left out 14 paths: a, b, c and 11 more (--all adds all but special files and what is shoal's own)"
            )
        );
    }
}
