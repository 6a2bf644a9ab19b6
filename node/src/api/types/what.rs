//! What a command names.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shoal_protocol::access::ticket::is_meant_as_ticket;

/// What a command names: a ticket, an id (a unique prefix is enough), an artifact name or a
/// path, as it was typed, with the directory it was typed in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct What {
    /// The text. Words that could be a path or a name are names; `./x` is always a path.
    pub text: String,
    /// Where relative paths start; absolute.
    pub cwd: PathBuf,
}

impl What {
    /// What `text` names when typed in this process's working directory.
    pub fn here(text: impl Into<String>) -> std::io::Result<Self> {
        Ok(Self {
            text: text.into(),
            cwd: std::env::current_dir()?,
        })
    }

    /// Whether the text looks like a ticket, which is a secret.
    pub fn is_ticket(&self) -> bool {
        is_meant_as_ticket(&self.text)
    }
}

/// Tickets are secrets, and debug output ends up in logs.
impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_ticket() {
            "(a ticket)"
        } else {
            &self.text
        })
    }
}
