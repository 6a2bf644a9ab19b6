//! A node: who it is, whom it talks to, what it serves, and the door for local programs.
//!
//! Owns: identity, connections, the loops that carry out what `shoal_protocol`'s machines
//! decide, the local API. Refuses: deciding (protocol's) and knowing how bytes lie on disk
//! (store's). See docs/ARCHITECTURE.md.

mod activities;
pub mod api;
pub mod config;
mod copied;
pub mod daemon;
pub mod data;
mod failures;
mod finding;
pub mod identity;
mod node;
mod operations;
mod plane;
pub mod process;
mod resolve;
mod shares;
mod team;
mod until;
mod versions;

pub use node::{Node, NodeOptions};
pub use operations::FileBytes;
