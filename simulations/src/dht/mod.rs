//! Finding who has something: the product's `advert` machines over a model of Kademlia.
//!
//! Owns: the model of routing, one node's sweep, and searches. Refuses: bytes and records of
//! their own: what peers keep is counted by density, so that ten million keys fit.

mod finding;
mod kademlia;
mod sweep;

pub use finding::{Finding, Found};
pub use kademlia::{ALPHA, K, Kademlia, Lookup};
pub use sweep::{Swept, sweep};
