//! `shoal demo`: the whole story, on one machine.

use std::path::PathBuf;

use crate::demo::report::Report;
use crate::demo::stage::Stage;
use crate::demo::story;
use crate::error::{Code, Failure};
use crate::session::Context;
use crate::ui::out;

/// The whole story on this machine, in about a minute, with three real nodes
///
/// A shares, B fetches, A leaves, C fetches from B, the data is edited and the new version
/// fetched: each step with the commands that do it, and what moved in numbers. Everything
/// happens in a temporary folder and is gone afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal demo                  # with made-up data
  shoal demo ./my-dataset     # with a copy of yours; yours is not touched
  shoal demo --keep           # leave the folders to look around in")]
pub struct Args {
    /// Use a copy of this file or folder instead of made-up data
    #[arg(value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub path: Option<PathBuf>,
    /// Leave the temporary folder, and say where it is
    #[arg(long)]
    pub keep: bool,
}

/// Tells it, and leaves nothing behind.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    let path = match &args.path {
        None => None,
        Some(path) => Some(path.canonicalize().map_err(|error| {
            Failure::io(format_args!("cannot read {}", path.display()), &error)
        })?),
    };
    let mut stage = Stage::new(args.keep)?;
    let mut report = Report::new(context.global.json);
    let told = tokio::select! {
        told = story::tell(&mut stage, &mut report, path.as_deref()) => told,
        () = context.interrupt.wait() => {
            Err(Failure::new(Code::Interrupted, "the demo was stopped; nothing is left behind"))
        }
    };
    let dir = stage.dir().to_owned();
    stage.clear().await?;
    told?;
    if args.keep && !context.global.json {
        out::line(&format!(
            "Everything is still in {}: SHOAL_HOME={}/B/home shoal status",
            dir.display(),
            dir.display()
        ))?;
    }
    Ok(Code::Ok)
}
