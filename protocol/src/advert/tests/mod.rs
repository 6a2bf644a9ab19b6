//! The parts, one by one.

mod atlas;
mod keys;
mod messages;
mod search;
