//! One command's stay at a node: the connection, the console, and Ctrl-C.
//!
//! Owns: reaching the node, carrying an operation's events to the console, leaving in good
//! order. Refuses: what a command asks for and what it makes of the answer.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use shoal_node::api::{ApiError, Client, ConnectMode, Event, Events, Level, Note, Progress, What};
use shoal_node::config::{Config, Loaded, default_home};
use shoal_protocol::access::team::is_meant_as_invitation;
use shoal_protocol::access::ticket::{Ticket, is_meant_as_ticket};

use crate::args::{Global, Limits};
use crate::error::{Code, Failure};
use crate::interrupt::Interrupt;
use crate::ui::progress::STALL;
use crate::ui::{Console, format};

/// How often the display is brought up to date while nothing is heard.
const TICK: Duration = Duration::from_millis(100);
/// What is said after [`STALL`] without an answer.
const WAITING: &str = "nothing came for 10 s: still waiting for an answer (Ctrl-C stops)";
/// What is read from stdin for a ticket or an invitation, at most.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// The options that all commands share.
    pub global: Global,
    /// Where it speaks to the user.
    pub console: Console,
    /// Ctrl-C.
    pub interrupt: Interrupt,
}

impl Context {
    /// The home of the store: the flag or `SHOAL_HOME`, else the default; absolute.
    pub fn home(&self) -> Result<PathBuf, Failure> {
        // An empty variable is one that is not set.
        let given = self.global.home.as_ref();
        match given.filter(|home| !home.as_os_str().is_empty()) {
            Some(home) => std::path::absolute(home)
                .map_err(|error| Failure::io("cannot find the working directory", &error)),
            None => Ok(default_home()?),
        }
    }

    /// The settings of this home, with what the flags say.
    pub fn config(&self) -> Result<Loaded, Failure> {
        Ok(Config::load(&self.home()?, &self.global.settings)?)
    }

    /// Has the node that this process becomes keep to these limits.
    pub fn limit(&mut self, limits: &Limits) {
        let settings = [("up_max", limits.up), ("down_max", limits.down)];
        for (key, rate) in settings {
            if let Some(rate) = rate {
                (self.global.settings).push((key.to_owned(), rate.to_string()));
            }
        }
    }

    /// Does `work` at the node of this home: the one that runs, else this process becomes it
    /// for as long as that takes.
    pub async fn at_node(
        self,
        work: impl AsyncFnOnce(&mut Session) -> Result<Code, Failure>,
    ) -> Result<Code, Failure> {
        let home = self.home()?;
        let config = self.config()?.config;
        self.visit(home, ConnectMode::OrEmbed(Box::new(config)), work)
            .await
    }

    /// Does `work` at the node of this home, if one runs.
    pub async fn at_running_node(
        self,
        work: impl AsyncFnOnce(&mut Session) -> Result<Code, Failure>,
    ) -> Result<Code, Failure> {
        let home = self.home()?;
        self.visit(home, ConnectMode::Running, work).await
    }

    async fn visit(
        mut self,
        home: PathBuf,
        mode: ConnectMode,
        work: impl AsyncFnOnce(&mut Session) -> Result<Code, Failure>,
    ) -> Result<Code, Failure> {
        let client = tokio::select! {
            client = Client::connect(&home, mode) => client?,
            () = self.interrupt.wait() => return Err(interrupted("stopped")),
        };
        if let Some(notice) = &client.node().notice {
            self.console.note(&Note {
                level: Level::Warning,
                message: notice.clone(),
                hint: None,
            });
        }
        let mut session = Session {
            client,
            console: self.console,
            json: self.global.json,
            home,
            interrupt: self.interrupt,
            last: Progress::default(),
        };
        let result = work(&mut session).await;
        session.finish(result).await
    }

    /// What `text` names, `-` being a ticket on stdin.
    pub async fn what(&mut self, text: &str) -> Result<What, Failure> {
        if text != "-" {
            return here(text);
        }
        here(&ticket(&self.read_stdin("ticket").await?)?)
    }

    /// An invitation, `-` being one on stdin.
    pub async fn invitation(&mut self, text: String) -> Result<String, Failure> {
        if text != "-" {
            return Ok(text);
        }
        let text = self.read_stdin("invitation").await?;
        match text.is_empty() {
            true => Err(Failure::usage("there is no invitation on stdin")
                .hint("pipe one in: `shoal team join - < invitation.txt`")),
            false => Ok(text),
        }
    }

    /// What is on stdin, without the blanks around it.
    async fn read_stdin(&mut self, what: &'static str) -> Result<String, Failure> {
        let text = tokio::select! {
            text = tokio::task::spawn_blocking(move || read_stdin(what)) => text,
            () = self.interrupt.wait() => {
                return Err(interrupted(&format!("stopped before there was a {what}")));
            }
        };
        text.map_err(|_| Failure::error("reading stdin failed"))?
    }
}

/// Where this process runs: what relative paths are relative to.
pub fn working_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::io("cannot find the working directory", &error))
}

/// What `text` names when typed in this folder.
pub fn here(text: &str) -> Result<What, Failure> {
    if is_meant_as_invitation(text) {
        return Err(Failure::usage("this is an invitation to a team")
            .hint("`shoal team join` and the same line makes this node a member"));
    }
    Ok(What {
        text: text.to_owned(),
        cwd: working_dir()?,
    })
}

/// `what` and a path inside it, as one word.
pub fn inside(what: &str, path: Option<&str>) -> String {
    match path
        .map(|path| path.trim_matches('/'))
        .filter(|path| !path.is_empty())
    {
        None => what.to_owned(),
        Some(path) if what.contains(':') => format!("{}/{path}", what.trim_end_matches('/')),
        Some(path) => format!("{what}:{path}"),
    }
}

/// The name that stands in a ticket. Nothing else of a ticket is ever shown: it is a secret.
pub fn named(text: &str) -> Option<String> {
    let ticket = Ticket::from_text(text.trim()).ok()?;
    ticket.name().map(format::name)
}

/// What a thing is called in a sentence.
pub fn subject(text: &str) -> String {
    if is_meant_as_ticket(text) {
        return named(text).unwrap_or_else(|| "what the ticket names".to_owned());
    }
    let trimmed = text.trim_end_matches('/');
    let last = match trimmed
        .strip_prefix("./")
        .or_else(|| trimmed.strip_prefix('/'))
    {
        Some(path) => path.rsplit('/').next().unwrap_or(path),
        None => trimmed,
    };
    format::name(format::short_id(if last.is_empty() { text } else { last }))
}

/// A connection to a node.
#[derive(Debug)]
pub struct Session {
    /// The node.
    pub client: Client,
    /// Where the command speaks to the user.
    pub console: Console,
    /// Whether answers are JSON.
    pub json: bool,
    home: PathBuf,
    interrupt: Interrupt,
    last: Progress,
}

impl Session {
    /// Refuses limits that another process would have to keep to.
    pub fn own_limits(&self, limits: &Limits) -> Result<(), Failure> {
        if self.client.is_embedded() || (limits.up.is_none() && limits.down.is_none()) {
            return Ok(());
        }
        let pid = self.client.node().pid;
        let message = format!("the node that runs here (pid {pid}) has limits of its own");
        Err(Failure::usage(message).hint("`shoal up --up RATE --down RATE` starts one with limits"))
    }

    /// Reads a long operation to its end, showing how far it is, and gives each item to
    /// `item` as it comes. Ctrl-C cancels it.
    pub async fn follow<D, I>(
        &mut self,
        mut events: Events<D, I>,
        mut item: impl FnMut(&mut Console, I) -> Result<(), Failure>,
    ) -> Result<D, Failure>
    where
        D: DeserializeOwned,
        I: DeserializeOwned,
    {
        let mut tick = tokio::time::interval(TICK);
        let mut patience = Patience::new(&self.console);
        let result = loop {
            tokio::select! {
                () = patience.lost() => self.console.say(WAITING),
                event = events.next() => match event {
                    Some(Ok(Event::Progress(progress))) => self.console.progress(progress),
                    Some(Ok(Event::Note(note))) => self.console.note(&note),
                    Some(Ok(Event::Item(thing))) => {
                        patience.end();
                        if let Err(failure) = item(&mut self.console, thing) {
                            break Err(failure);
                        }
                    }
                    Some(Ok(Event::Done(done))) => break Ok(done),
                    Some(Ok(Event::Error(error))) => break Err(error.into()),
                    Some(Err(error)) => break Err(error.into()),
                    None => break Err(cut_off()),
                },
                _ = tick.tick() => self.console.tick(),
                () = self.interrupt.wait() => {
                    break Err(Failure::new(Code::Interrupted, self.standing()));
                }
            }
        };
        self.last = self.console.latest().cloned().unwrap_or_default();
        self.console.end();
        result
    }

    /// Whether it was the user who asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.interrupt.is_asked()
    }

    /// How far the operation that was followed last had come when it ended.
    pub fn last(&self) -> &Progress {
        &self.last
    }

    /// Asks the node something and waits for the answer, or for Ctrl-C.
    pub async fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&Client) -> Result<T, ApiError>,
    ) -> Result<T, Failure> {
        let mut patience = Patience::new(&self.console);
        let mut answer = std::pin::pin!(question(&self.client));
        loop {
            tokio::select! {
                answer = &mut answer => return Ok(answer?),
                () = self.interrupt.wait() => return Err(interrupted("stopped")),
                () = patience.lost() => self.console.say(WAITING),
            }
        }
    }

    /// Waits for `next`, or for Ctrl-C.
    pub async fn or_interrupt<T>(&mut self, next: impl Future<Output = T>) -> Result<T, Failure> {
        let mut patience = Patience::new(&self.console);
        let mut next = std::pin::pin!(next);
        loop {
            tokio::select! {
                next = &mut next => return Ok(next),
                () = self.interrupt.wait() => return Err(interrupted("stopped")),
                () = patience.lost() => self.console.say(WAITING),
            }
        }
    }

    /// Leaves the node. One that lives in this process stays until the other commands that
    /// use it are done.
    async fn finish(self, result: Result<Code, Failure>) -> Result<Code, Failure> {
        let Session {
            client,
            console,
            home,
            mut interrupt,
            ..
        } = self;
        let notice = |others: usize| {
            let commands = format::counted(others as u64, "other command");
            console.say(&format!(
                "{commands} still use this node; waiting for them (Ctrl-C ends them too)"
            ));
        };
        let mut leaving = std::pin::pin!(client.finish(notice));
        let left = if interrupt.is_asked() {
            // A second Ctrl-C ends the process at once; see `Interrupt`.
            leaving.await
        } else {
            tokio::select! {
                left = &mut leaving => left,
                () = interrupt.wait() => tokio::join!(leaving, stop(&home)).0,
            }
        };
        match (result, left) {
            (Ok(_), Err(error)) => Err(error.into()),
            (result, _) => result,
        }
    }

    /// How far the operation that is interrupted now has come.
    fn standing(&self) -> String {
        let at = self.console.latest();
        let done = |at: &Progress| at.bytes_done.max(at.resumed_at.unwrap_or(0));
        match at.and_then(|at| Some((done(at), at.bytes_total.filter(|total| *total > 0)?))) {
            Some((done, total)) => format!("stopped at {}", format::percent(done, total)),
            None => "stopped".to_owned(),
        }
    }
}

/// Knows when a command that shows no progress should say that it waits.
struct Patience(Option<tokio::time::Instant>);

impl Patience {
    fn new(console: &Console) -> Self {
        let shows_nothing = console.latest().is_none();
        Self(shows_nothing.then(|| tokio::time::Instant::now() + STALL))
    }

    /// Returns once, when it is lost.
    async fn lost(&mut self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.end();
    }

    fn end(&mut self) {
        self.0 = None;
    }
}

/// Asks the node of this home to close, in good order, whoever uses it.
async fn stop(home: &Path) {
    if let Ok(client) = Client::connect(home, ConnectMode::Running).await {
        // It may be gone already, which is as good.
        let _ = client.shut_down().await;
    }
}

fn interrupted(message: &str) -> Failure {
    Failure::new(Code::Interrupted, message)
}

fn cut_off() -> Failure {
    Failure::error("the node ended before its answer was complete")
        .hint("run the same command again; `shoal status` shows the node")
}

fn read_stdin(what: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(LINE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io(format_args!("cannot read the {what} from stdin"), &error))?;
    // What is no text is none of either, and is told so.
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// The ticket that is all of `text`.
fn ticket(text: &str) -> Result<String, Failure> {
    match text {
        "" => Err(Failure::usage("there is no ticket on stdin")
            .hint("pipe one in: `shoal get - < ticket.txt`")),
        text if !is_meant_as_ticket(text) => Err(Failure::usage("what is on stdin is no ticket")
            .hint("a ticket is one line that begins with `shoal1`")),
        text if text.matches("shoal1").count() > 1 => {
            Err(Failure::usage("there is more than one ticket on stdin")
                .hint("pipe them in one by one"))
        }
        ticket => Ok(ticket.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_inside_joins_with_what_is_there() {
        let check = |what, path, expect| assert_eq!(inside(what, path), expect);
        check("lab/x", None, "lab/x");
        check("lab/x", Some("a/b"), "lab/x:a/b");
        check("lab/x:a", Some("/b/"), "lab/x:a/b");
        check("lab/x:a/", Some("b"), "lab/x:a/b");
        check("lab/x", Some("/"), "lab/x");
    }

    #[test]
    fn tickets_are_not_named() {
        assert_eq!(subject("shoal1abcdef"), "what the ticket names");
        assert_eq!(subject("SHOAL1ABCDEF"), "what the ticket names");
        assert_eq!(subject("./data/lab-data/"), "lab-data");
        assert_eq!(subject("/data/x"), "x");
        assert_eq!(subject("lab/x@v3"), "lab/x@v3");
        assert_eq!(subject("."), ".");
        assert_eq!(subject("snap_1f3a9c0b22d4aaaaaaaa"), "snap_1f3a9c0b22d4");
    }
}
