//! What the control plane tells whoever listens.
//!
//! Owns: the words. They go through a queue of bounded length; who does not keep up misses
//! the oldest.

use libp2p::{Multiaddr, PeerId};

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlEvent {
    /// A member is connected; it had no connection before.
    Connected {
        /// Who.
        peer: PeerId,
    },
    /// A member that is connected has said where it is, so that lookups lead to it.
    Identified {
        /// Who.
        peer: PeerId,
    },
    /// A member that was reached through a relay only is reached directly now.
    Direct {
        /// Who.
        peer: PeerId,
    },
    /// A member has no connection left.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// Somebody who is not a member here is connected, for a few seconds. Whom this node
    /// dialled may be asked for admission ([`super::ControlHandle::admit`]).
    Stranger {
        /// Who.
        peer: PeerId,
        /// From where, or to where.
        address: Multiaddr,
        /// Whether this node dialled.
        dialled: bool,
    },
    /// A member here does not take this node for one, and will close: ask it for admission.
    NotAdmitted {
        /// Who.
        peer: PeerId,
    },
    /// Somebody was announced on the LAN. Members are dialled without being asked for.
    Announced {
        /// Who, if it is true.
        peer: PeerId,
        /// Where, if it is true.
        address: Multiaddr,
    },
    /// The node listens on one more address, possibly at a relay.
    Listening {
        /// Which.
        address: Multiaddr,
    },
    /// It does not listen there any more.
    ListeningEnded {
        /// Where.
        address: Multiaddr,
    },
    /// What is known about reaching this node from elsewhere has changed.
    Reachability,
    /// A circuit that this node relayed has ended.
    CircuitEnded {
        /// Who had opened it.
        source: PeerId,
        /// To whom.
        target: PeerId,
        /// Why, if not because one of them was done.
        error: Option<String>,
    },
}
