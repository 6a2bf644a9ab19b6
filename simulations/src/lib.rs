//! Simulations: the product's own decision machines in modelled worlds.
//!
//! One seed gives one course of events, without threads and without the wall clock. `swarm` is
//! the world in which nodes fetch from each other (docs/simulations.md).

pub mod random;
pub mod report;
pub mod swarm;
