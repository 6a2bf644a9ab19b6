//! The control plane: how the members of a team find each other and talk about what they have.
//!
//! Owns: the libp2p swarm (TCP, QUIC, relayed), who is let in (the gate), the distributed
//! hash table, local discovery, small requests between members, and raw streams for a data
//! link where nothing else gets through. Refuses: who is a member ([`Membership`] is asked),
//! what requests mean ([`Requests`] is asked), and bulk bytes, which are the data plane's.

mod behaviour;
mod candidates;
mod codec;
mod command;
mod config;
mod contacts;
mod doors;
mod errors;
mod events;
mod exchange;
mod gate;
mod handle;
mod identified;
mod names;
mod paced;
mod peers;
mod plane;
mod relays;
mod requests;
mod seen;
mod streams;
mod swarm_events;
mod switch;
mod team_events;
mod traffic;
mod transport;

#[cfg(test)]
mod tests;

pub use config::{ControlConfig, Limits, RelayLimits};
pub use errors::{RequestError, StartError, StreamError};
pub use events::ControlEvent;
pub use handle::{ControlHandle, ControlPlane};
pub use libp2p::{Multiaddr, PeerId};
pub use names::{DATA_PROTOCOL, Protocol};
pub use peers::{ControlPeer, PeerContact, Reachability, Way};
pub use requests::{Membership, Refusal, Requests};
pub use streams::DataStream;
pub use traffic::ControlTraffic;
