//! Two nodes on loopback: what is shared arrives whole, whatever the other end does.

#![allow(clippy::unwrap_used)]

mod coding;
mod harness;
mod hostile;
mod swarm;
mod transfer;
mod ways;
