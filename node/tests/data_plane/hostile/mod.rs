//! Nodes that want harm.

mod clients;
mod servers;
