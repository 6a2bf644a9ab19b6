//! What nodes say to each other, and how it lies on the wire (docs/wire.md).
//!
//! Owns: messages, frames, and the bound of everything. Refuses: sockets, and bulk bytes: a
//! frame's payload is only counted here, and flows from the link to the disk beside it.

pub mod frame;
pub mod handshake;
pub mod have;
pub mod limits;
pub mod message;
pub mod team;
pub mod transfer;

#[cfg(test)]
mod tests;

pub use frame::{FrameError, Prefix, write_head};
pub use handshake::{
    Admitted, Bye, ByeReason, Features, Hello, Ping, Pong, Present, Refused, RefusedReason,
};
pub use have::{Have, HaveRequest, HaveUpdate, Neighbour, Neighbours};
pub use message::{Kind, Message};
pub use team::{
    Enter, Entered, NotEntered, NotEnteredReason, NotWelcome, NotWelcomeReason, Redeem, TeamHeads,
    TeamOperations, TeamSecret, Welcome,
};
pub use transfer::{
    Base, Busy, Cancel, Codec, Codecs, Outcome, PageCodec, PageHead, PageRequest, Pages, RequestId,
    RunData, RunEnd, RunRequest,
};
