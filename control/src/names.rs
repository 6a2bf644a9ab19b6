//! What the protocols of the control plane are called, and how much each may carry.
//!
//! Owns: names and bounds; they are part of the wire protocol (docs/wire.md). The DHT and
//! identify have names that follow from the team's private name, so that nodes of two teams
//! share nothing even where one took the other for a member.

use std::fmt;

use data_encoding::HEXLOWER;
use libp2p::StreamProtocol;
use shoal_protocol::advert::{
    ACK_BYTES_MAX, BATCH_BYTES_MAX, FIND_BYTES_MAX, FOUND_BYTES_MAX, LOCATE_BYTES_MAX,
    LOCATED_BYTES_MAX,
};

/// The protocol of raw streams between members, for a data link.
pub const DATA_PROTOCOL: StreamProtocol = StreamProtocol::new("/shoal/1/data");

/// What the public names of a team are derived under.
const NETWORK_CONTEXT: &str = "shoal 1 control network";

/// A kind of request. Requests and answers are opaque here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Who is not known as a member presents a proof and exchanges team operations. The only
    /// one that strangers may use; members may use it too.
    Admit,
    /// Tells a member what is where.
    Advert,
    /// Asks a member who has what.
    Find,
    /// Asks a member where in its snapshots something stands.
    Locate,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admit, Self::Advert, Self::Find, Self::Locate];

    /// What is negotiated on a stream.
    pub fn name(self) -> StreamProtocol {
        StreamProtocol::new(match self {
            Self::Admit => "/shoal/1/admit",
            Self::Advert => "/shoal/1/advert",
            Self::Find => "/shoal/1/find",
            Self::Locate => "/shoal/1/locate",
        })
    }

    /// The most bytes of a request.
    pub fn request_bytes_max(self) -> usize {
        match self {
            Self::Admit => 512 << 10,
            Self::Advert => BATCH_BYTES_MAX,
            Self::Find => FIND_BYTES_MAX,
            Self::Locate => LOCATE_BYTES_MAX,
        }
    }

    /// The most bytes of an answer.
    pub fn answer_bytes_max(self) -> usize {
        match self {
            Self::Admit => 4 << 20,
            Self::Advert => ACK_BYTES_MAX,
            Self::Find => FOUND_BYTES_MAX,
            Self::Locate => LOCATED_BYTES_MAX,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().as_ref())
    }
}

/// The names that follow from a team's private name. They do not give it away, but members
/// tell them to each other only.
#[derive(Debug, Clone)]
pub(super) struct NetworkNames {
    /// Kademlia's protocol.
    pub kad: StreamProtocol,
    /// Identify's protocol version.
    pub identify: String,
}

impl NetworkNames {
    pub(super) fn new(network: &[u8; 32]) -> Self {
        let derived = blake3_name(network);
        Self {
            kad: StreamProtocol::try_from_owned(format!("/shoal/1/kad/{derived}"))
                .expect("the name begins with a slash"),
            identify: format!("shoal/1/{derived}"),
        }
    }
}

fn blake3_name(network: &[u8; 32]) -> String {
    let derived = blake3::derive_key(NETWORK_CONTEXT, network);
    HEXLOWER.encode(&derived[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_network_stay_what_they_are() {
        let names = NetworkNames::new(&[7; 32]);
        assert_eq!(
            names.kad.as_ref(),
            "/shoal/1/kad/e9d57f32fd61e2ebc26ced24ffcf00e7"
        );
        assert_ne!(names.kad, NetworkNames::new(&[8; 32]).kad);
    }
}
