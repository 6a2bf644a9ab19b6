//! Every message in one table: its number, its type, and its bounds.
//!
//! Owns: [`Message`], [`Kind`], and what of a message cannot be. Refuses: kinds it does not
//! know. A new kind is sent only to a peer that named the feature it belongs to.

use super::frame::FrameError;
use super::handshake::{Admitted, Bye, Hello, Ping, Pong, Present, Refused};
use super::have::{Have, HaveRequest, HaveUpdate, Neighbours};
use super::limits::{
    FRAME_HEADER_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX, TEAM_BATCH_BYTES_MAX, WIRE_VERSION,
};
use super::team::{
    Enter, Entered, NotEntered, NotWelcome, Redeem, TeamHeads, TeamOperations, TeamSecret, Welcome,
    check_heads,
};
use super::transfer::{
    Busy, Cancel, Inconsistent, PageRequest, Pages, RunData, RunEnd, RunRequest,
};
use crate::codec;

macro_rules! messages {
    ($($number:literal $name:ident: header $header:expr, payload $payload:expr;)*) => {
        /// What kind of message a frame carries.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $(#[doc = concat!("[`", stringify!($name), "`]")] $name = $number,)*
        }

        impl Kind {
            /// Every kind, by number.
            pub const ALL: &[Kind] = &[$(Kind::$name,)*];

            /// The kind with this number.
            pub const fn from_number(number: u8) -> Option<Kind> {
                match number {
                    $($number => Some(Kind::$name),)*
                    _ => None,
                }
            }

            /// The longest header of this kind, in bytes.
            pub const fn header_bytes_max(self) -> usize {
                match self { $(Kind::$name => $header,)* }
            }

            /// The longest payload of this kind, in bytes.
            pub const fn payload_bytes_max(self) -> usize {
                match self { $(Kind::$name => $payload,)* }
            }

            pub(super) fn decode(self, header: &[u8]) -> Result<Message, FrameError> {
                let malformed = |why| FrameError::Malformed { kind: self, why };
                match self {
                    $(Kind::$name => codec::decode_canonical::<_, FRAME_HEADER_BYTES_MAX>(header)
                        .map(Message::$name)
                        .map_err(malformed),)*
                }
            }
        }

        /// Something that one node says to another.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }

        impl Message {
            /// What kind of message it is.
            pub const fn kind(&self) -> Kind {
                match self { $(Message::$name(_) => Kind::$name,)* }
            }

            pub(super) fn encode(&self) -> Vec<u8> {
                match self { $(Message::$name(message) => codec::encode(message),)* }
            }
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self {
                Message::$name(message)
            }
        })*
    };
}

const PAYLOAD: usize = FRAME_PAYLOAD_BYTES_MAX;

messages! {
    0x01 Hello:       header  4 << 10, payload 0;
    0x02 Present:     header  1 << 10, payload 0;
    0x03 Admitted:    header      256, payload 0;
    0x04 Refused:     header       64, payload 0;
    0x05 Bye:         header      512, payload 0;
    0x06 Ping:        header        8, payload 0;
    0x07 Pong:        header        8, payload 0;
    0x10 PageRequest: header 16 << 10, payload 0;
    0x11 Pages:       header 32 << 10, payload PAYLOAD;
    0x12 RunRequest:  header 24 << 10, payload 0;
    0x13 RunData:     header      128, payload PAYLOAD;
    0x14 RunEnd:      header       16, payload 0;
    0x15 Busy:        header       16, payload 0;
    0x16 Cancel:      header        8, payload 0;
    0x20 HaveRequest: header       64, payload 0;
    0x21 Have:        header       64, payload PAYLOAD;
    0x22 HaveUpdate:  header       64, payload PAYLOAD;
    0x23 Neighbours:  header 32 << 10, payload 0;
    0x30 Enter:       header  4 << 10, payload 0;
    0x31 Entered:     header  4 << 10, payload PAYLOAD;
    0x32 NotEntered:  header       64, payload 0;
    0x33 TeamHeads:   header        0, payload PAYLOAD;
    0x34 TeamOperations: header     1, payload TEAM_BATCH_BYTES_MAX;
    0x35 TeamSecret:  header       64, payload 0;
    0x36 Redeem:      header      256, payload 0;
    0x37 Welcome:     header  4 << 10, payload 0;
    0x38 NotWelcome:  header        8, payload 0;
}

impl Message {
    /// What the types alone do not keep out.
    pub(super) fn check(&self, payload_bytes: usize) -> Result<(), Inconsistent> {
        match self {
            Message::Hello(hello) if hello.version != WIRE_VERSION => Err("another version"),
            Message::PageRequest(r) if r.pages.is_empty() => Err("a page request asks for nothing"),
            Message::Pages(pages) => pages.check(payload_bytes),
            Message::RunRequest(request) => request.check(),
            Message::RunData(data) => data.check(payload_bytes),
            Message::Entered(_) | Message::TeamHeads(_) => check_heads(payload_bytes),
            Message::TeamOperations(_) => TeamOperations::check(payload_bytes),
            _ => Ok(()),
        }
    }
}
