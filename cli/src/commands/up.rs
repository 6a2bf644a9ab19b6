//! `shoal up`: this machine's node.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shoal_node::api::{Client, ConnectMode, Status};
use shoal_node::daemon;

use crate::args::Limits;
use crate::error::{Code, Failure};
use crate::session::Context;
use crate::ui::{Console, format, out};

/// How long a detached node may take until it answers.
const START: Duration = Duration::from_secs(60);
/// How often to look whether it does.
const LOOK: Duration = Duration::from_millis(50);
/// What is read back of the log of a node that did not start, at most.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// Run this machine's node
///
/// The node serves what is shared, and carries out gets and the other commands. It runs in the foreground until Ctrl-C, or, with --detach, on its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal up
  shoal up --detach          # prints its pid and addresses; `shoal down` ends it")]
pub struct Args {
    /// Run in the background; its log goes to HOME/node.log
    #[arg(long)]
    pub detach: bool,
    /// How fast it may send and receive
    #[command(flatten)]
    pub limits: Limits,
    /// Leave the session of the terminal first; what --detach starts.
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// Runs it.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    context.limit(&args.limits);
    let home = context.home()?;
    if args.detach {
        return detach(&home, &context).await;
    }
    if args.detached {
        // Fails only where this process leads a group already, which is just as good.
        let _ = rustix::process::setsid();
    }
    let config = context.config()?.config;
    let json = context.global.json;
    let console = context.console;
    let mut shown = Ok(());
    daemon::run(&home, config, |status| {
        shown = announce(&status, json, false, &console);
    })
    .await?;
    shown?;
    console.say("the node has stopped");
    Ok(Code::Ok)
}

/// Starts it as a process of its own, and waits until it answers.
async fn detach(home: &Path, context: &Context) -> Result<Code, Failure> {
    if let Ok(client) = Client::connect(home, ConnectMode::Running).await {
        let status = client.status().await?;
        client.finish(|_| ()).await?;
        if status.daemon {
            context.console.say("the node is running already");
            announce(&status, context.global.json, true, &context.console)?;
            return Ok(Code::Ok);
        }
    }
    let (mut child, log, log_begin) = spawn(home, context)?;
    let begun = Instant::now();
    let mut interrupt = context.interrupt.clone();
    loop {
        if let Some(status) = answers(home, child.id()).await {
            announce(&status, context.global.json, true, &context.console)?;
            return Ok(Code::Ok);
        }
        let ended = child
            .try_wait()
            .map_err(|error| Failure::io("cannot watch it", &error))?;
        if let Some(ended) = ended {
            return Err(did_not_start(ended.code(), &log, log_begin));
        }
        if begun.elapsed() > START {
            return Err(give_up(&mut child, "the node does not answer", Code::Error)
                .hint(format!("its log is {}", log.display())));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = interrupt.wait() => {
                return Err(give_up(&mut child, "the node was not started", Code::Interrupted));
            }
        }
    }
}

fn spawn(home: &Path, context: &Context) -> Result<(Child, PathBuf, u64), Failure> {
    let wrong = |what: &str, error: std::io::Error| Failure::io(what, &error);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home)
        .map_err(|error| Failure::io(format_args!("cannot make {}", home.display()), &error))?;
    let path = home.join("node.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| Failure::io(format_args!("cannot write {}", path.display()), &error))?;
    let begin = log.metadata().map_or(0, |meta| meta.len());
    let also = log
        .try_clone()
        .map_err(|error| wrong("cannot share the log", error))?;
    let program =
        std::env::current_exe().map_err(|error| wrong("cannot find this program", error))?;
    let child = Command::new(program)
        .arg("--home")
        .arg(home)
        .args(["--progress", "plain"])
        .args(
            context
                .global
                .settings
                .iter()
                .map(|(key, value)| format!("--set={key}={value}")),
        )
        .args(std::iter::repeat_n("-v", context.global.verbose.into()))
        .args(["up", "--detached"])
        // The folder it was started from must not be held by a node that outlives it.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(also)
        .spawn()
        .map_err(|error| wrong("cannot start the node", error))?;
    Ok((child, path, begin))
}

/// The status of the node of this home, if it is process `pid` and ready.
async fn answers(home: &Path, pid: u32) -> Option<Status> {
    let client = Client::connect(home, ConnectMode::Running).await.ok()?;
    let status = client.status().await.ok();
    let _ = client.finish(|_| ()).await;
    status.filter(|status| status.pid == pid)
}

fn give_up(child: &mut Child, message: &str, code: Code) -> Failure {
    // It may have ended by itself in this moment.
    let _ = child.kill();
    let _ = child.wait();
    Failure::new(code, message)
}

/// Hands on what the node said before it ended.
fn did_not_start(code: Option<i32>, log: &Path, begin: u64) -> Failure {
    let text = tail(log, begin).unwrap_or_default();
    let said = |label: &str| {
        let line = text.lines().rev().find_map(|line| line.strip_prefix(label));
        line.map(|line| line.trim().to_owned())
    };
    let code = Code::from_number(code).unwrap_or(Code::Error);
    // On a full disk there is no room for the reason either.
    let (message, hint) = match code {
        Code::NoSpace => (
            format!(
                "there is no room for {} and what is beside it",
                log.display()
            ),
            "make room and run the same command again".to_owned(),
        ),
        _ => (
            "the node ended before it was ready".to_owned(),
            format!("its log is {}", log.display()),
        ),
    };
    Failure::new(code, said("error:").unwrap_or(message)).hint(said("hint:").unwrap_or(hint))
}

fn tail(log: &Path, begin: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(
        begin.max(length.saturating_sub(LOG_TAIL_BYTES)),
    ))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Says who runs where. A detached node's pid and addresses are what the command answers.
fn announce(status: &Status, json: bool, detached: bool, console: &Console) -> Result<(), Failure> {
    if json {
        out::json(status)?;
    } else if detached {
        out::line(&format!("{} {}", status.pid, status.listening.join(" ")))?;
    }
    let listening = match status.listening.as_slice() {
        [] => "nowhere".to_owned(),
        addresses => addresses.join(", "),
    };
    let ending = if detached {
        "`shoal down` stops it"
    } else {
        "stop with Ctrl-C or `shoal down`"
    };
    console.say(&format!(
        "node {} (pid {}) of {} listens on {listening} – {ending}",
        status.peer,
        status.pid,
        format::name(&status.home.to_string_lossy())
    ));
    Ok(())
}
