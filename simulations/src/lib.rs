//! Simulations: the product's own decision machines in modelled worlds.
//!
//! One seed gives one course of events, without threads and without the wall clock. `swarm` is
//! the world in which nodes fetch from each other, `dht` the one in which they find who has
//! something (docs/simulations.md).

pub mod dht;
pub mod random;
pub mod report;
pub mod swarm;
