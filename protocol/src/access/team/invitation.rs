//! A way into a team, as one line of text.
//!
//! Owns: the text form (`shoalinvite1` and base32, by `armour`), and an error of its own for
//! everything that happens to pasted text. Refuses: to be printed. An invitation carries a
//! secret; [`Invitation::to_text`] is called where it is meant to be seen.

use std::fmt;

use bincode::{Decode, Encode};
use libp2p_identity::ed25519;

use super::action::MemberName;
use crate::access::Address;
use crate::access::armour::{Armour, ArmourError};
use crate::bounded::List;
use crate::codec;
use crate::peer::PeerKey;

/// The longest invitation, in characters.
pub const INVITATION_CHARS_MAX: usize = 2048;
/// The most addresses in an invitation.
pub const INVITATION_ADDRESSES_MAX: usize = 8;

const ARMOUR: Armour = Armour {
    word: "shoalinvite",
    version: '1',
    checksum_context: "shoal 1 invitation checksum",
    chars_max: INVITATION_CHARS_MAX,
};
const PAYLOAD_BYTES_MAX: usize = ARMOUR.payload_bytes_max();

/// What a team is called where it is talked of.
pub type TeamName = MemberName;

/// The secret half of the key that was made for an invitation.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct InvitationSecret([u8; 32]);

/// A way into a team, good for as often and as long as its minter remembers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Invitation {
    /// The root key of the team, which the guest believes from now on.
    pub root: PeerKey,
    /// What the team is called.
    pub team_name: TeamName,
    /// The admin's node that made it, and that alone redeems it.
    pub minter: PeerKey,
    /// Where the minter may be reached, best first.
    pub addresses: List<Address, INVITATION_ADDRESSES_MAX>,
    /// What the guest signs with.
    pub secret: InvitationSecret,
    /// Until when the minter honours it, by the minter's clock, in seconds since 1970. For the
    /// guest it is a hint.
    pub expires_unix_s: u64,
}

/// Why a text is not an invitation. Each says what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// Something else altogether.
    #[error(
        "this is not an invitation: one begins with `shoalinvite1`; ask for the line that `shoal team invite` printed"
    )]
    NotAnInvitation,
    /// From a version of shoal that this one does not know.
    #[error(
        "the invitation begins with `shoalinvite{0}`, which this version cannot read: update shoal"
    )]
    Version(char),
    /// Longer than [`INVITATION_CHARS_MAX`]; it was not decoded.
    #[error(
        "the text is longer than any invitation ({INVITATION_CHARS_MAX} characters): paste the invitation alone"
    )]
    TooLong,
    /// A character that no invitation has.
    #[error("character {at} ({character:?}) cannot be in an invitation: copy the whole line again")]
    Character {
        /// What it is.
        character: char,
        /// Which one, from 1, not counting white space.
        at: usize,
    },
    /// Characters are missing or wrong.
    #[error("the invitation's checksum does not match (was it cut?): copy the whole line again")]
    Checksum,
    /// The characters are right, what they say is not.
    #[error("the invitation is damaged, or not made by shoal: ask for a new one")]
    Malformed,
}

impl From<ArmourError> for InvitationError {
    fn from(error: ArmourError) -> Self {
        match error {
            ArmourError::AnotherWord => InvitationError::NotAnInvitation,
            ArmourError::Version(version) => InvitationError::Version(version),
            ArmourError::TooLong => InvitationError::TooLong,
            ArmourError::Character { character, at } => {
                InvitationError::Character { character, at }
            }
            ArmourError::Checksum => InvitationError::Checksum,
        }
    }
}

impl InvitationSecret {
    /// The secret key with these 32 bytes, which must be random.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The keypair that redeems the invitation. Its public half is what the minter remembers.
    pub fn keypair(&self) -> ed25519::Keypair {
        let secret = ed25519::SecretKey::try_from_bytes(self.0)
            .expect("every 32 bytes are an Ed25519 secret key (RFC 8032)");
        ed25519::Keypair::from(secret)
    }
}

impl fmt::Debug for InvitationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationSecret(…)")
    }
}

impl Invitation {
    /// The line to paste. It lets whoever sees it into the team. Addresses that do not fit
    /// into [`INVITATION_CHARS_MAX`] are left out, the last first.
    pub fn to_text(&self) -> String {
        let mut fitting = self.clone();
        let mut bytes = codec::encode(&fitting);
        while bytes.len() > PAYLOAD_BYTES_MAX {
            let mut addresses = fitting.addresses.into_vec();
            addresses
                .pop()
                .expect("an invitation without addresses fits: its other parts are bounded");
            fitting.addresses = List::new(addresses).expect("fewer than before");
            bytes = codec::encode(&fitting);
        }
        ARMOUR.text_of(&bytes)
    }

    /// The invitation in `text`, with white space around or inside it left out.
    pub fn from_text(text: &str) -> Result<Self, InvitationError> {
        let bytes = ARMOUR.payload_of(text)?;
        codec::decode_canonical::<_, PAYLOAD_BYTES_MAX>(&bytes)
            .map_err(|_| InvitationError::Malformed)
    }
}

/// Whether `text` can be nothing but an invitation, good or bad, of this version or another.
pub fn is_meant_as_invitation(text: &str) -> bool {
    ARMOUR.is_meant(text)
}
