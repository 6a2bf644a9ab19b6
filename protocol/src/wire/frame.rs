//! How a message lies on the wire: prefix, header, payload.
//!
//! Owns: the eight bytes before every message, and the order of checks. A reader takes the
//! prefix into a fixed array, then at most [`Kind::header_bytes_max`] bytes of header, then
//! the payload into a buffer that it reuses. Nothing is allocated for a length before the
//! length was checked. Refuses: to touch a payload.
//!
//! ```text
//! offset  0        4      5      6         8          8 + header
//!         ┌────────┬──────┬──────┬─────────┬──────────┬─────────┐
//!         │ length │ kind │ zero │ header  │ header   │ payload │   integers little-endian
//!         │ u32    │ u8   │ u8   │ u16     │ (bincode)│         │   length = header + payload
//!         └────────┴──────┴──────┴─────────┴──────────┴─────────┘
//! ```

use super::limits::{FRAME_PREFIX_BYTES, WIRE_VERSION};
use super::message::{Kind, Message};
use crate::codec::CodecError;

/// Why bytes are not a frame. Each is the peer's fault; the connection ends with a
/// [`super::Bye`] that carries the text.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A number that no kind has.
    #[error("unknown message kind {0:#04x}")]
    UnknownKind(u8),
    /// The byte that must be zero is not.
    #[error("the reserved byte of the prefix is {0:#04x}")]
    Reserved(u8),
    /// The header does not fit into the frame, or is longer than its kind allows.
    #[error("a header of {length} bytes is not allowed for {kind:?}")]
    Header {
        /// The kind.
        kind: Kind,
        /// The header's length.
        length: usize,
    },
    /// The payload is longer than its kind allows.
    #[error("a payload of {length} bytes is not allowed for {kind:?}")]
    Payload {
        /// The kind.
        kind: Kind,
        /// The payload's length.
        length: usize,
    },
    /// The peer speaks another version.
    #[error("the peer speaks protocol version {theirs}, this node {WIRE_VERSION}")]
    Version {
        /// The peer's version.
        theirs: u16,
    },
    /// The header is not a message of its kind.
    #[error("a {kind:?} message is malformed: {why}")]
    Malformed {
        /// The kind.
        kind: Kind,
        /// Why.
        why: CodecError,
    },
    /// What the message says about itself cannot be.
    #[error("a {kind:?} message is inconsistent: {why}")]
    Inconsistent {
        /// The kind.
        kind: Kind,
        /// Why.
        why: &'static str,
    },
}

/// The first eight bytes of a frame, checked against the limits of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    kind: Kind,
    header_bytes: usize,
    payload_bytes: usize,
}

impl Prefix {
    /// Reads the prefix of a frame.
    pub fn parse(bytes: &[u8; FRAME_PREFIX_BYTES]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, kind, reserved, h0, h1] = *bytes;
        let kind = Kind::from_number(kind).ok_or(FrameError::UnknownKind(kind))?;
        if reserved != 0 {
            return Err(FrameError::Reserved(reserved));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let header_bytes = usize::from(u16::from_le_bytes([h0, h1]));
        if header_bytes > length || header_bytes > kind.header_bytes_max() {
            let length = header_bytes;
            return Err(FrameError::Header { kind, length });
        }
        let payload_bytes = length - header_bytes;
        if payload_bytes > kind.payload_bytes_max() {
            let length = payload_bytes;
            return Err(FrameError::Payload { kind, length });
        }
        Ok(Self {
            kind,
            header_bytes,
            payload_bytes,
        })
    }

    /// What kind of message follows.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How many bytes of header follow.
    pub const fn header_bytes(&self) -> usize {
        self.header_bytes
    }

    /// How many bytes of payload follow the header.
    pub const fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// The message in `header`, checked as far as it can be without its payload.
    pub fn message(&self, header: &[u8]) -> Result<Message, FrameError> {
        let kind = self.kind;
        if kind == Kind::Hello {
            check_version(header)?;
        }
        let message = kind.decode(header)?;
        (message.check(self.payload_bytes))
            .map_err(|why| FrameError::Inconsistent { kind, why })?;
        Ok(message)
    }
}

/// Looks at the version alone, because the rest of another version's Hello may differ.
fn check_version(header: &[u8]) -> Result<(), FrameError> {
    match header.first_chunk() {
        Some(bytes) if u16::from_le_bytes(*bytes) != WIRE_VERSION => {
            let theirs = u16::from_le_bytes(*bytes);
            Err(FrameError::Version { theirs })
        }
        _ => Ok(()),
    }
}

/// Appends prefix and header of `message` to `out`; exactly `payload_bytes` bytes have to
/// follow them on the wire.
///
/// # Panics
/// If the frame breaks the limits: what we send is ours to keep within them.
pub fn write_head(message: &Message, payload_bytes: usize, out: &mut Vec<u8>) {
    let kind = message.kind();
    let header = message.encode();
    assert!(header.len() <= kind.header_bytes_max(), "{kind:?} header");
    assert!(
        payload_bytes <= kind.payload_bytes_max(),
        "{kind:?} payload"
    );
    if let Err(why) = message.check(payload_bytes) {
        panic!("{kind:?}: {why}");
    }
    let length = u32::try_from(header.len() + payload_bytes).expect("within the kind's limits");
    let header_bytes = u16::try_from(header.len()).expect("within the kind's limits");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[kind as u8, 0]);
    out.extend_from_slice(&header_bytes.to_le_bytes());
    out.extend_from_slice(&header);
}
