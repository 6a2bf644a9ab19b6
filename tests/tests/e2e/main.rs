//! The built program, as its users meet it: real processes, real files, loopback.

#![allow(missing_docs, clippy::unwrap_used)]

mod abuse;
mod bad_input;
mod disk_use;
mod edits;
mod fanout;
mod faults;
mod full_disk;
mod history;
mod internet;
mod looking;
mod nats;
mod repair;
mod resume;
mod several;
mod sharing;
mod team;
mod text;
mod tickets;
mod ways;
