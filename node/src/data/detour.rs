//! The way that is left where no address gets through: a stream of the control plane.
//!
//! Owns: what the data plane wants of it. The control plane has authenticated both ends and
//! encrypts, end to end through a relay too, so nothing is put on top. Refuses: opening
//! streams, which is the control plane's.

use std::io;

use futures::future::BoxFuture;
use shoal_protocol::peer::PeerKey;

use super::link::Transport;

/// A stream to or from a member.
pub struct Detour {
    /// Who is at the other end, as the control plane has proved.
    pub peer: PeerKey,
    /// Whether the bytes go through another member.
    pub is_relayed: bool,
    /// The bytes.
    pub io: Box<dyn Transport>,
}

/// Opens streams to members.
pub trait Detours: Send + Sync + 'static {
    /// Whether a stream to `peer` may be had at all.
    fn leads_to(&self, peer: &PeerKey) -> bool;

    /// A stream to `peer`, over the best connection that there is.
    fn open(&self, peer: PeerKey) -> BoxFuture<'static, io::Result<Detour>>;

    /// Waits until a stream to `peer` would go without a relay.
    fn until_direct(&self, peer: PeerKey) -> BoxFuture<'static, ()>;
}
