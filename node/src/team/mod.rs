//! The team that this node is in, if it is in one.
//!
//! Owns: the file that remembers it (`file`), what the node knows and may say (`book`), the
//! way in by an invitation (`joining`; at the node that made it, `welcoming`), the
//! sessions of members (`sessions`), and telling others what is new (`exchange`).
//! Refuses: what operations mean, which `shoal_protocol::access::team` says, and connections.

mod book;
mod clock;
mod exchange;
mod file;
mod joining;
mod sessions;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod welcoming;

pub(crate) use book::{Ended, Entry, TeamBook, TeamError};
pub(crate) use exchange::Exchange;
pub(crate) use file::TeamFileError;
pub(crate) use joining::{JoinError, join};
pub(crate) use welcoming::Guest;
