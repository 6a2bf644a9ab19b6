//! What an operation does, as a number and a body.
//!
//! Owns: the actions that this version knows, and room for those that it does not: an
//! unknown number with a body of bounded length is kept and passed on, and gives nothing.
//! Refuses: a known number whose body is not what the number says. A body never changes
//! its form; a new form takes a new number.

use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use super::epoch::Epoch;
use super::operation::Cut;
use crate::bounded::{BoundError, List, Text};
use crate::codec::{self, malformed};
use crate::peer::PeerKey;

/// The longest name of a member, in bytes.
pub const MEMBER_NAME_BYTES_MAX: usize = 64;
/// The longest body of an action, in bytes.
pub const ACTION_BYTES_MAX: usize = 768;

/// What a node is called in its team.
pub type MemberName = Text<MEMBER_NAME_BYTES_MAX>;

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Makes a node an admin. The root's alone.
    NameAdmin {
        /// Which node.
        node: PeerKey,
        /// What it is called.
        name: MemberName,
    },
    /// Makes a node a member. The root's and the admins'.
    AdmitMember {
        /// Which node.
        node: PeerKey,
        /// What it is called.
        name: MemberName,
        /// Until when, in seconds since 1970; nothing for no end.
        expires_unix_s: Option<u64>,
    },
    /// Ends a node's membership for good. The root's for every node, the admins' for those
    /// who are no admins, everybody's for oneself, which is leaving.
    Revoke {
        /// Which node.
        node: PeerKey,
        /// Of a revoked admin's operations, this one and those before it go on counting;
        /// none do if nothing stands here. When leaving it has no meaning: what comes
        /// before it counts.
        last: Option<Cut>,
    },
    /// Begins a new epoch of the team's discovery secret. The root's and the admins'.
    Epoch(Epoch),
    /// Something that a later version knows.
    Unknown(UnknownAction),
}

/// An action whose number this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownAction {
    number: u32,
    body: List<u8, ACTION_BYTES_MAX>,
}

/// Why an action is not one that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownActionError {
    /// The number is one of those that this version knows.
    #[error("action {0} is known")]
    Known(u32),
    /// The body is too long.
    #[error("the body of an action is too long: {0}")]
    Body(#[from] BoundError),
}

const NAME_ADMIN: u32 = 1;
const ADMIT_MEMBER: u32 = 2;
const REVOKE: u32 = 3;
const EPOCH: u32 = 4;

impl UnknownAction {
    /// The action with this number and body, of at most [`ACTION_BYTES_MAX`] bytes.
    pub fn new(number: u32, body: Vec<u8>) -> Result<Self, UnknownActionError> {
        if matches!(number, NAME_ADMIN | ADMIT_MEMBER | REVOKE | EPOCH) {
            return Err(UnknownActionError::Known(number));
        }
        let body = List::new(body)?;
        Ok(Self { number, body })
    }

    /// Which action it is.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What it says, to those who know the number.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl Action {
    /// The number that stands before the body.
    pub const fn number(&self) -> u32 {
        match self {
            Action::NameAdmin { .. } => NAME_ADMIN,
            Action::AdmitMember { .. } => ADMIT_MEMBER,
            Action::Revoke { .. } => REVOKE,
            Action::Epoch(_) => EPOCH,
            Action::Unknown(unknown) => unknown.number,
        }
    }

    fn body(&self) -> Vec<u8> {
        match self {
            Action::NameAdmin { node, name } => codec::encode(&(node, name)),
            Action::AdmitMember {
                node,
                name,
                expires_unix_s,
            } => codec::encode(&(node, name, expires_unix_s)),
            Action::Revoke { node, last } => codec::encode(&(node, last)),
            Action::Epoch(epoch) => codec::encode(epoch),
            Action::Unknown(unknown) => unknown.body.to_vec(),
        }
    }

    fn from_parts(
        number: u32,
        body: List<u8, ACTION_BYTES_MAX>,
    ) -> Result<Self, codec::CodecError> {
        Ok(match number {
            NAME_ADMIN => {
                let (node, name) = codec::decode_canonical::<_, ACTION_BYTES_MAX>(&body)?;
                Action::NameAdmin { node, name }
            }
            ADMIT_MEMBER => {
                let (node, name, expires_unix_s) =
                    codec::decode_canonical::<_, ACTION_BYTES_MAX>(&body)?;
                Action::AdmitMember {
                    node,
                    name,
                    expires_unix_s,
                }
            }
            REVOKE => {
                let (node, last) = codec::decode_canonical::<_, ACTION_BYTES_MAX>(&body)?;
                Action::Revoke { node, last }
            }
            EPOCH => Action::Epoch(codec::decode_canonical::<_, ACTION_BYTES_MAX>(&body)?),
            number => Action::Unknown(UnknownAction { number, body }),
        })
    }
}

impl Encode for Action {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.number().encode(encoder)?;
        self.body().encode(encoder)
    }
}

impl<C> Decode<C> for Action {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let number = u32::decode(decoder)?;
        let body = List::decode(decoder)?;
        Self::from_parts(number, body).map_err(|why| malformed(format_args!("an action: {why}")))
    }
}

impl<'de, C> BorrowDecode<'de, C> for Action {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}
