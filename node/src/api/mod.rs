//! The local door to a node: JSON over HTTP on a Unix socket, and the client that speaks it.
//!
//! Owns: requests and replies, error kinds, the socket, and the rule by which a command
//! either talks to the running node or becomes one. Refuses: what the operations do, which
//! is in `operations`.

mod client;
pub(crate) mod embedded;
mod errors;
mod events;
mod lines;
mod server;
mod socket;
mod types;

pub use client::{Bytes, Client, ConnectMode};
pub use errors::{ApiError, ErrorKind};
pub use events::Events;
pub(crate) use events::Reporter;
pub(crate) use socket::own_uid;
pub use types::*;
