//! The data plane: bulk bytes between two nodes that proved who they are.
//!
//! Owns: TLS by PeerId ([`tls`]) over TCP and [`quic`], framed connections ([`link`]), the door for others
//! ([`listener`], [`admission`]) and the way out ([`swarm`]: pages, whole fetches, reading
//! from an offset). Refuses: finding peers, who is given a grant, and what happens with a
//! snapshot once it is whole.

pub mod admission;
mod answer;
mod arrival;
mod bases;
mod bbr;
mod buffers;
mod checkpoints;
mod coding;
mod crowd;
pub mod detour;
pub(crate) mod dial;
mod disk_writers;
pub mod endpoint;
pub mod entering;
mod events;
mod fetch;
pub(crate) mod greeting;
mod hub;
pub mod link;
pub mod listener;
mod listening;
mod near;
mod offer;
mod open_requests;
mod outbox;
pub mod pace;
mod page_set;
mod pages;
mod plan;
pub mod quic;
pub mod quic_stream;
mod redeeming;
mod remote;
mod rights;
mod room;
mod serve;
pub(crate) mod session;
mod strangers;
pub mod swarm;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub mod tls;
mod tls_machine;
pub mod tls_stream;
pub mod traffic;
mod upgrade;
mod visitor;
pub mod way;
mod windows;

pub use admission::{Admission, Allowed};
pub use detour::{Detour, Detours};
pub use endpoint::{Endpoint, EndpointOptions, Limits};
pub use events::{FetchError, FetchEvent};
pub use listener::{ConnectedPeer, Listener, ListenerConfig};
pub(crate) use swarm::Offering;
pub use swarm::{Access, Expecting, FetchOutcome, Swarm, SwarmOptions};
pub use traffic::Traffic;
pub use way::{Path, Way, Ways, Why};
