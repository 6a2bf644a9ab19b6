//! A node: who it is, whom it talks to, what it serves, and the door for local programs.

pub mod api;
pub mod config;
pub mod daemon;
