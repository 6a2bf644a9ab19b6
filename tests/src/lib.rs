//! What the tests and the benchmarks of the whole program share: data sets that are the
//! same on every machine, and real `shoal` processes.
//!
//! Owns: nothing of the product. Refuses: to look inside a store; what it cannot see from
//! outside is for the crates' own tests.

pub mod chunks;
pub mod data;
pub mod guest;
pub mod internet;
pub mod lab;
pub mod liar;
pub mod nats;
pub mod relay;
pub mod rogue;
pub mod shoal;
pub mod small_disk;
