//! What is done with arbitrary bytes from the network, and with pasted text.
//!
//! The fuzz targets run these under libFuzzer; `protocol/tests/fuzz_wire.rs` runs them under
//! proptest, so that they are always compiled and tried.

use shoal_protocol::access::Ticket;
use shoal_protocol::access::team::{Batch, Heads, Invitation};
use shoal_protocol::have::RangeSet;
use shoal_protocol::wire::{Message, Prefix, write_head};

/// A stream of frames, read as a node reads it, until one is refused or cut. What is read
/// must be what would be written. Gives how many frames were read.
pub fn frame(stream: &[u8]) -> usize {
    let mut rest = stream;
    let mut frames = 0;
    while let Some((message, payload, behind)) = next(rest) {
        match message {
            Message::Pages(pages) => {
                let bytes: usize = pages.split(payload).map(|(_, page)| page.len()).sum();
                assert_eq!(bytes, payload.len());
            }
            Message::Have(_) | Message::HaveUpdate(_) => {
                if let Ok(set) = RangeSet::from_bytes(payload) {
                    assert_eq!(set.to_bytes().as_deref(), Ok(payload));
                }
            }
            Message::Entered(_) | Message::TeamHeads(_) => {
                if let Ok(heads) = Heads::from_bytes(payload) {
                    assert_eq!(heads.to_bytes(), payload);
                }
            }
            Message::TeamOperations(_) => {
                if let Ok(batch) = Batch::from_bytes(payload) {
                    assert_eq!(batch.to_bytes(), payload);
                }
            }
            _ => {}
        }
        frames += 1;
        rest = behind;
    }
    frames
}

fn next(stream: &[u8]) -> Option<(Message, &[u8], &[u8])> {
    let (bytes, rest) = stream.split_first_chunk()?;
    let prefix = Prefix::parse(bytes).ok()?;
    let (header, rest) = rest.split_at_checked(prefix.header_bytes())?;
    let message = prefix.message(header).ok()?;
    let mut head = Vec::new();
    write_head(&message, prefix.payload_bytes(), &mut head);
    let read = [bytes, header].concat();
    assert_eq!(head, read, "a second encoding of {message:?}");
    let (payload, rest) = rest.split_at_checked(prefix.payload_bytes())?;
    Some((message, payload, rest))
}

/// Pasted text.
pub fn ticket(data: &[u8]) {
    if let Ok(ticket) = Ticket::from_text(&String::from_utf8_lossy(data)) {
        assert_eq!(Ticket::from_text(&ticket.to_text()), Ok(ticket));
    }
}

/// Pasted text where an invitation is expected.
pub fn invitation(data: &[u8]) {
    if let Ok(invitation) = Invitation::from_text(&String::from_utf8_lossy(data)) {
        assert_eq!(Invitation::from_text(&invitation.to_text()), Ok(invitation));
    }
}
