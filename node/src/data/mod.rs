//! The data plane: bulk bytes between two nodes that proved who they are.
//!
//! Owns: TLS by PeerId ([`tls`]), framed connections ([`link`]), the door for others
//! ([`listener`], [`admission`]) and the way out ([`swarm`]: pages, whole fetches, reading
//! from an offset). Refuses: finding peers, who is given a grant, and what happens with a
//! snapshot once it is whole.

pub mod admission;
pub mod endpoint;
pub mod events;
pub mod listener;
pub mod swarm;
pub mod tls;
pub mod tls_stream;
pub mod traffic;

pub use admission::{Admission, Allowed};
pub use endpoint::Endpoint;
pub use events::{FetchError, FetchEvent};
pub use listener::{ConnectedPeer, Listener, ListenerConfig};
pub use swarm::{Access, FetchOutcome, Swarm, SwarmOptions};
pub use traffic::Traffic;
