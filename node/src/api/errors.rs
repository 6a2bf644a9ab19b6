//! What went wrong, in the three parts a person needs: a kind, one sentence, a next step.
//!
//! Owns: the kinds and their exit codes (DESIGN §10). Refuses: the mapping of each library's
//! errors, which stands beside the operation that meets them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a failure: it decides the exit code of a command and whether a script should
/// try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Anything without a kind of its own. Code 1.
    Error,
    /// The request itself is wrong: flags, arguments, a malformed ticket. Code 2.
    Usage,
    /// No such snapshot, name or path. Code 4.
    NotFound,
    /// Nobody who holds it could be reached in time. Retry later. Code 5.
    NoSource,
    /// Bytes are not what their hash says. Code 6.
    Integrity,
    /// Expired, bound to somebody else, or not yours to read. Code 7.
    NotPermitted,
    /// Another process holds the store, or a user's own files stand in the way. Code 8.
    Busy,
    /// The disk is full or would be. Code 9.
    NoSpace,
    /// Stopped on request; the same command goes on where it stopped. Code 130.
    Interrupted,
}

impl ErrorKind {
    /// The exit code of a command that fails in this way.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Error => 1,
            Self::Usage => 2,
            Self::NotFound => 4,
            Self::NoSource => 5,
            Self::Integrity => 6,
            Self::NotPermitted => 7,
            Self::Busy => 8,
            Self::NoSpace => 9,
            Self::Interrupted => 130,
        }
    }
}

/// A failed operation, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// The kind, which sets the exit code.
    pub kind: ErrorKind,
    /// One sentence that names the thing, without a full stop.
    pub message: String,
    /// The command or the step that helps.
    pub hint: Option<String>,
}

impl ApiError {
    /// An error of this kind without a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// What an operation ends with that nobody waits for any more.
    pub(crate) fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "interrupted")
            .hint("run the same command again: it goes on where it stopped")
    }

    /// The same error with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
