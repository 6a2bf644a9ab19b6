//! Decides whose request to answer next.
//!
//! Owns: the queues of requests, turns among peers, what was already sent to somebody.
//! Refuses: bytes, sockets, wall time, and questions of right: only requests that are
//! permitted get here.
//!
//! One machine serves all peers of a node. Few answers run at once, and not all of them for
//! peers of one origin; among those that wait, peers take turns, and runs that nobody was sent
//! yet go first, so that one uplink feeds a room. What does not fit into the queues is turned
//! down with a time to come back.

mod compression;
mod copies;
mod events;
mod machine;
mod origins;
mod queue;

#[cfg(test)]
mod tests;

pub use compression::{Attempt, Compression, SAMPLE_BYTES, is_worthwhile};
pub use events::{Input, Output, ServeConfig};
pub use machine::Serve;
