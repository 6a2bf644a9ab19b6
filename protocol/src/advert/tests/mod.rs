//! The parts, one by one.

mod atlas;
mod keys;
mod lifetimes;
mod messages;
mod search;
