//! The built program, as its users meet it: real processes, real files, loopback.

#![allow(missing_docs, clippy::unwrap_used)]

mod bad_input;
mod disk_use;
mod edits;
mod history;
mod looking;
mod resume;
mod several;
mod sharing;
