//! `shoal down`: the node stops.

use std::time::Duration;

use serde::Serialize;
use shoal_node::process::is_running;

use crate::error::{Code, Failure};
use crate::session::Context;
use crate::ui::out;

/// How long the process may take to end after its store is closed.
const END: Duration = Duration::from_secs(30);
/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// Stop the running node, and wait until it is gone
///
/// Transfers stop where they are; the same `shoal get` goes on from there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal down")]
pub struct Args {}

/// The answer of `--json`.
#[derive(Debug, Serialize)]
struct Line {
    stopped: bool,
    pid: Option<u32>,
}

/// Stops it.
pub async fn run(_: Args, context: Context) -> Result<Code, Failure> {
    let console = crate::ui::Console::new(&context.global);
    let json = context.global.json;
    let mut stopped = None;
    let result = context
        .at_running_node(async |session| {
            let pid = session.client.status().await?.pid;
            session.client.shut_down().await?;
            stopped = Some(pid);
            session.or_interrupt(gone(pid)).await??;
            Ok(Code::Ok)
        })
        .await;
    match (result, stopped) {
        (Ok(_), Some(pid)) => console.say(&format!("the node (pid {pid}) has stopped")),
        // What was asked for is so already.
        (Err(failure), None) if failure.code == Code::NotFound => {
            console.say("no node is running here");
        }
        (Ok(_), None) => {}
        (Err(failure), _) => return Err(failure),
    }
    if json {
        out::json(&Line {
            stopped: stopped.is_some(),
            pid: stopped,
        })?;
    }
    Ok(Code::Ok)
}

/// Waits until there is no such process.
async fn gone(pid: u32) -> Result<(), Failure> {
    let wait = async {
        while is_running(pid) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(END, wait).await.map_err(|_| {
        Failure::error(format!(
            "the node closed its store, but process {pid} has not ended"
        ))
        .hint(format!("`kill {pid}` is safe now"))
    })
}
