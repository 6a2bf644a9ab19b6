//! stderr: everything that is said beside the data.
//!
//! Owns: the choice between live, plain, JSON and silent, and that a line never tears the
//! live display. Refuses: stdout.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use shoal_node::api::{Level, Note, Progress};

use crate::args::{Global, ProgressMode};
use crate::error::Failure;
use crate::ui::format;
use crate::ui::json::Line;
use crate::ui::live::Live;
use crate::ui::plain::Plain;
use crate::ui::progress::Meter;
use crate::ui::style::Style;

/// Where a command speaks to its user.
#[derive(Debug)]
pub struct Console {
    mode: Mode,
    style: Style,
    operation: Option<Operation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    Plain,
    Json,
    Silent,
}

#[derive(Debug)]
struct Operation {
    meter: Meter,
    view: View,
}

#[derive(Debug)]
enum View {
    Live(Live),
    Plain(Plain),
    Json,
    Silent,
}

impl Console {
    /// The console that these options ask for.
    pub fn new(global: &Global) -> Self {
        let style = Style::stderr();
        let terminal = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let mode = match global.progress {
            _ if global.quiet => Mode::Silent,
            // Log lines would tear a live display.
            ProgressMode::Auto if terminal && global.verbose == 0 => Mode::Live,
            ProgressMode::Auto | ProgressMode::Plain => Mode::Plain,
            ProgressMode::Json => Mode::Json,
            ProgressMode::None => Mode::Silent,
        };
        Self {
            mode,
            style,
            operation: None,
        }
    }

    /// The colours of stderr.
    pub fn style(&self) -> Style {
        self.style
    }

    /// An operation begins; what is heard from now on is about it.
    pub fn begin(&mut self, title: impl Into<String>) {
        self.end();
        let title = title.into();
        let view = match self.mode {
            Mode::Live => View::Live(Live::new(self.style)),
            Mode::Plain => {
                write_line(&title);
                View::Plain(Plain::default())
            }
            Mode::Json => {
                write_line(&Line::Begin { title: &title }.render());
                View::Json
            }
            Mode::Silent => View::Silent,
        };
        self.operation = Some(Operation {
            meter: Meter::new(title, Instant::now()),
            view,
        });
        self.tick();
    }

    /// The operation goes on as something else: "serving lab-data".
    pub fn retitle(&mut self, title: impl Into<String>) {
        if let Some(operation) = &mut self.operation {
            operation.meter.retitle(title);
        }
        self.tick();
    }

    /// How far it is.
    pub fn progress(&mut self, progress: Progress) {
        let now = Instant::now();
        if let Some(operation) = &mut self.operation {
            if let View::Json = operation.view {
                write_line(&Line::Progress(&progress).render());
            }
            operation.meter.update(now, progress);
        }
        self.tick();
    }

    /// Time has passed: redraws, and says what is due. To be called a few times a second.
    pub fn tick(&mut self) {
        let now = Instant::now();
        let Some(operation) = &mut self.operation else {
            return;
        };
        match &mut operation.view {
            View::Live(live) => live.draw(&operation.meter, now),
            View::Plain(plain) => {
                if let Some(line) = plain.due(&operation.meter, now) {
                    write_line(&line);
                }
            }
            View::Json | View::Silent => {}
        }
    }

    /// What was last heard about the operation.
    pub fn latest(&self) -> Option<&Progress> {
        self.operation
            .as_ref()
            .map(|operation| operation.meter.latest())
    }

    /// The operation is over; the display goes away.
    pub fn end(&mut self) {
        self.operation = None;
    }

    /// One sentence for people.
    pub fn say(&self, text: &str) {
        match self.mode {
            Mode::Live | Mode::Plain => self.aside(|| write_line(text)),
            Mode::Json => write_line(&Line::Message { text }.render()),
            Mode::Silent => {}
        }
    }

    /// A sentence that begins like the name of a command: label in bold, then the rest.
    pub fn hint(&self, text: &str) {
        self.say(&format!("{} {text}", self.style.bold("hint:")));
    }

    /// Something a person should know. Warnings are shown also where silence is asked for.
    pub fn note(&self, note: &Note) {
        let label = match (self.mode, note.level) {
            (Mode::Json, _) => return write_line(&Line::Note(note).render()),
            (Mode::Silent, Level::Info) => return,
            (_, Level::Warning) => self.style.yellow("warning:"),
            (_, Level::Info) => self.style.bold("note:"),
        };
        self.aside(|| {
            write_line(&format!("{label} {}", format::name(&note.message)));
            if let Some(hint) = &note.hint {
                write_line(&format!(
                    "{} {}",
                    self.style.bold("hint:"),
                    format::name(hint)
                ));
            }
        });
    }

    /// Does something that writes to the terminal (stdout may be the same one), with the
    /// display out of the way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match self.operation.as_ref().map(|operation| &operation.view) {
            Some(View::Live(live)) => live.aside(write),
            _ => write(),
        }
    }

    /// The last words of a command that failed.
    pub fn failure(&mut self, failure: &Failure) {
        self.end();
        if failure.is_quiet() {
            return;
        }
        match self.mode {
            Mode::Json => write_line(&Line::failure(failure).render()),
            _ => write_text(&failure.render(self.style)),
        }
    }
}

/// Writes one line to stderr. That stderr is closed is no reason to stop working.
fn write_line(line: &str) {
    write_text(&format!("{line}\n"));
}

fn write_text(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
