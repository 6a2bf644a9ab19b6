//! Finding out whether both ends of a connection know the same team, without naming it.
//!
//! Owns: the tags by which a client and a server show that they know a team's root key.
//! Refuses: to let anybody in: a tag shows that one has heard of the team, as every guest and
//! everybody who was revoked has. Who is a member is a matter of [`super::Team`].

use std::fmt;

use bincode::{Decode, Encode};

use crate::access::presentation::{Binding, Nonce};
use crate::codec;
use crate::peer::PeerKey;

const DOOR_CONTEXT: &str = "shoal 1 team door";

/// A keyed hash over a connection. Only who knows the team's root key can make or recognise
/// it, and it is worth nothing on another connection. Compared in constant time.
#[derive(Clone, Copy, Encode, Decode)]
pub struct Tag([u8; 32]);

/// What is hashed, in this order.
#[derive(Encode)]
struct Claim {
    by_server: bool,
    client: PeerKey,
    server: PeerKey,
    nonce: Nonce,
}

impl Tag {
    /// The client's, to the server whose nonce `binding` has.
    pub fn of_client(root: &PeerKey, binding: &Binding) -> Self {
        Self::new(root, binding, false)
    }

    /// The server's, to the client; here the nonce of `binding` is the one in the client's
    /// Hello.
    pub fn of_server(root: &PeerKey, binding: &Binding) -> Self {
        Self::new(root, binding, true)
    }

    fn new(root: &PeerKey, binding: &Binding, by_server: bool) -> Self {
        let key = blake3::derive_key(DOOR_CONTEXT, root.as_bytes());
        let claim = codec::encode(&Claim {
            by_server,
            client: binding.client,
            server: binding.server,
            nonce: binding.nonce,
        });
        Self(*blake3::keyed_hash(&key, &claim).as_bytes())
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        // BLAKE3's hashes compare in constant time, arrays do not.
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl Eq for Tag {}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(…)")
    }
}
