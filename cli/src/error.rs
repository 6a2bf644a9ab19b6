//! How a command ends: its exit code, one sentence, and a hint that names what to do next.
//!
//! Owns: the exit codes, and how a failure is shown. Refuses: the causes; whoever found
//! the failure says whose fault it is.

use std::fmt;
use std::io;

use shoal_node::api::{ApiError, ErrorKind};

use crate::ui::format;
use crate::ui::style::Style;

/// How a command ended, as a script sees it. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It did what was asked.
    Ok = 0,
    /// It failed for a reason that has no number of its own.
    Error = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// What was compared is not the same.
    Differences = 3,
    /// There is nothing of that name.
    NotFound = 4,
    /// Nobody who has the bytes could be reached.
    NoSource = 5,
    /// Bytes are not what they should be, or are gone.
    Integrity = 6,
    /// A right is missing, or has run out.
    NotPermitted = 7,
    /// Another process holds the store.
    Busy = 8,
    /// The disk has no room.
    NoSpace = 9,
    /// Stopped by Ctrl-C; what came so far is kept.
    Interrupted = 130,
}

impl Code {
    /// Every way to end.
    pub const ALL: [Code; 11] = [
        Code::Ok,
        Code::Error,
        Code::Usage,
        Code::Differences,
        Code::NotFound,
        Code::NoSource,
        Code::Integrity,
        Code::NotPermitted,
        Code::Busy,
        Code::NoSpace,
        Code::Interrupted,
    ];

    /// The meaning of a process's exit code.
    pub fn from_number(number: Option<i32>) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|code| Some(*code as i32) == number)
    }

    /// The name that stands in JSON beside the number.
    pub fn name(self) -> &'static str {
        match self {
            Code::Ok => "ok",
            Code::Error => "error",
            Code::Usage => "usage",
            Code::Differences => "differences",
            Code::NotFound => "not_found",
            Code::NoSource => "no_source",
            Code::Integrity => "integrity",
            Code::NotPermitted => "not_permitted",
            Code::Busy => "busy",
            Code::NoSpace => "no_space",
            Code::Interrupted => "interrupted",
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Sets the exit code.
    pub code: Code,
    /// One sentence, without a capital or a full stop.
    pub message: String,
    /// What to do next, if there is something.
    pub hint: Option<String>,
    /// Nobody reads our output any more: end without a word.
    quiet: bool,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            quiet: false,
        }
    }

    /// A failure without an exit code of its own.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Code::Error, message)
    }

    /// A command line that makes no sense, found after parsing.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// An IO failure while doing `what` ("cannot read /a/b"). Full disks and missing
    /// rights have codes of their own.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::PermissionDenied => Code::NotPermitted,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
            _ => Code::Error,
        };
        Self::new(code, format!("{what}: {}", sentence(error)))
    }

    /// A failure to write to stdout. A reader that went away (`| head`) is no failure.
    pub fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                quiet: true,
                ..Self::new(Code::Ok, "stdout was closed")
            };
        }
        Self::io("cannot write to stdout", error)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it ends without a word.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// How it looks on stderr.
    pub fn render(&self, style: Style) -> String {
        let label = if self.code == Code::Interrupted {
            style.yellow("interrupted:")
        } else {
            style.red("error:")
        };
        let mut text = format!("{label} {}\n", self.message);
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{} {hint}\n", style.bold("hint:")));
        }
        text
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let code = match error.kind {
            ErrorKind::Error => Code::Error,
            ErrorKind::Usage => Code::Usage,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::NoSource => Code::NoSource,
            ErrorKind::Integrity => Code::Integrity,
            ErrorKind::NotPermitted => Code::NotPermitted,
            ErrorKind::Busy => Code::Busy,
            ErrorKind::NoSpace => Code::NoSpace,
            ErrorKind::Interrupted => Code::Interrupted,
        };
        // A message may quote what a peer said.
        let mut failure = Self::new(code, format::name(&error.message));
        failure.hint = error.hint.as_deref().map(format::name);
        failure
    }
}

/// The operating system's words without its number: "No space left on device".
fn sentence(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_design() {
        let numbers: Vec<i32> = Code::ALL.iter().map(|code| *code as i32).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130]);
    }

    #[test]
    fn a_failure_is_a_sentence_and_a_hint() {
        let failure =
            Failure::new(Code::NotFound, "nothing here is called `x`").hint("see `shoal ls`");
        assert_eq!(
            failure.render(Style::PLAIN),
            "error: nothing here is called `x`\nhint: see `shoal ls`\n"
        );
        let interrupted = Failure::new(Code::Interrupted, "61 % is here").render(Style::PLAIN);
        assert_eq!(interrupted, "interrupted: 61 % is here\n");
    }

    #[test]
    fn io_errors_get_the_code_that_a_script_can_act_on() {
        let check = |kind, code| {
            assert_eq!(
                Failure::io("cannot read x", &io::Error::from(kind)).code,
                code
            );
        };
        check(io::ErrorKind::NotFound, Code::NotFound);
        check(io::ErrorKind::PermissionDenied, Code::NotPermitted);
        check(io::ErrorKind::StorageFull, Code::NoSpace);
        check(io::ErrorKind::TimedOut, Code::Error);
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(
            Failure::io("cannot write x", &full).message,
            "cannot write x: No space left on device"
        );
    }

    #[test]
    fn every_kind_of_the_node_keeps_its_exit_code() {
        for kind in [
            ErrorKind::Error,
            ErrorKind::Usage,
            ErrorKind::NotFound,
            ErrorKind::NoSource,
            ErrorKind::Integrity,
            ErrorKind::NotPermitted,
            ErrorKind::Busy,
            ErrorKind::NoSpace,
            ErrorKind::Interrupted,
        ] {
            let failure = Failure::from(ApiError::new(kind, "x\x1b[2J").hint("y"));
            assert_eq!(failure.code as u8, kind.exit_code());
            assert_eq!(failure.code.name(), serde_json::to_value(kind).unwrap());
            assert_eq!(failure.message, "x\\u{1b}[2J");
            assert_eq!(failure.hint.as_deref(), Some("y"));
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::stdout(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(failure.is_quiet());
        assert_eq!(failure.code, Code::Ok);
    }
}
