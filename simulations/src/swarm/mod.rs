//! A swarm in which nodes fetch one snapshot from each other.
//!
//! Owns: the world that runs the product's own `fetch` and `serve` machines, as the product
//! does, over a modelled network and disk. Refuses: bytes, threads, the wall clock: one heap
//! of events follows from one seed (docs/simulations.md).

mod connection;
mod event;
mod faults;
mod fetching;
mod meeting;
mod network;
mod node;
mod outcome;
mod relaying;
mod rights;
mod scenarios;
mod serving;
mod setup;
mod watch;
mod world;

pub use outcome::Outcome;
pub use scenarios::{BYTES, Scenario};
pub use setup::{CHUNK, Conduct, Fault, Line, MIB, Nat, NodeSetup, Planted, Setup, mbit};
pub use watch::Violation;
pub use world::World;
