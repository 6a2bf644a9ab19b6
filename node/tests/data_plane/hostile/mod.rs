//! Nodes that want harm.

mod clients;
mod hold_ups;
mod servers;
