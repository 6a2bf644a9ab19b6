//! What can go wrong at the control plane.
//!
//! Owns: the errors, with whose fault it was and whether to try again.

use libp2p::{Multiaddr, PeerId};

use super::names::Protocol;

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program has the port.
    #[error("port {port} is in use: cannot listen on {address}")]
    PortBusy {
        /// The port.
        port: u16,
        /// Where it was to be opened.
        address: Multiaddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why not.
        reason: String,
    },
    /// The transports cannot be set up.
    #[error("cannot set up the transports: {0}")]
    Transport(String),
}

/// Why a request of this node has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The request is larger than its protocol allows; nothing was sent.
    #[error("a request of {bytes} bytes is too large for {protocol} (at most {max})")]
    TooLarge {
        /// The protocol.
        protocol: Protocol,
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Too many requests of this node are under way; try again.
    #[error("too many requests are under way")]
    TooMany,
    /// The peer cannot be reached.
    #[error("peer {peer} cannot be reached")]
    Unreachable {
        /// Whom.
        peer: PeerId,
    },
    /// The peer does not speak the protocol with this node: it may not take it for a member.
    #[error("peer {peer} does not speak {protocol} with this node")]
    NotSpoken {
        /// Who.
        peer: PeerId,
        /// The protocol.
        protocol: Protocol,
    },
    /// The peer refuses to answer.
    #[error("peer {peer} refused")]
    Refused {
        /// Who.
        peer: PeerId,
    },
    /// The peer has too much to do; try again later.
    #[error("peer {peer} is busy")]
    Busy {
        /// Who.
        peer: PeerId,
    },
    /// The peer took too long.
    #[error("peer {peer} did not answer in time")]
    Timeout {
        /// Who.
        peer: PeerId,
    },
    /// The connection ended, or what came over it was not an answer.
    #[error("no answer from peer {peer}: {reason}")]
    Broken {
        /// Who.
        peer: PeerId,
        /// What happened.
        reason: String,
    },
    /// The control plane has stopped.
    #[error("the control plane has stopped")]
    Stopped,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The peer cannot be reached, or is not a member.
    #[error("peer {peer} cannot be reached: {reason}")]
    Unreachable {
        /// Whom.
        peer: PeerId,
        /// Why not.
        reason: String,
    },
    /// The peer takes no data streams from this node.
    #[error("peer {peer} takes no data streams from this node")]
    NotSpoken {
        /// Who.
        peer: PeerId,
    },
    /// The peer took too long.
    #[error("peer {peer} did not open the stream in time")]
    Timeout {
        /// Who.
        peer: PeerId,
    },
    /// The connection broke.
    #[error("no stream to peer {peer}: {reason}")]
    Broken {
        /// Who.
        peer: PeerId,
        /// What happened.
        reason: String,
    },
    /// Too many streams are being opened; try again.
    #[error("too many streams are being opened")]
    TooMany,
    /// The control plane has stopped.
    #[error("the control plane has stopped")]
    Stopped,
}
