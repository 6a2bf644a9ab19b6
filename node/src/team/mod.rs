//! The team that this node is in, if it is in one.
//!
//! Owns: the file that remembers it (`file`), what the node knows and may say (`book`), who
//! is in and how that ended (`standing`), the
//! way in by an invitation (`joining`; at the node that made it, `welcoming`), the
//! sessions of members (`sessions`), and telling others what is new (`exchange`).
//! Refuses: what operations mean, which `shoal_protocol::access::team` says, and connections.

mod book;
mod clock;
mod exchange;
mod file;
mod joining;
mod sessions;
mod standing;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod welcoming;

pub(crate) use book::{Entry, TeamBook, TeamError};
pub(crate) use exchange::Exchange;
pub(crate) use file::TeamFileError;
pub(crate) use joining::{JoinError, join};
pub(crate) use standing::Ended;
#[cfg(test)]
pub(crate) use tests::Home as TestHome;
pub(crate) use welcoming::Guest;
