//! IPv4 packets with TCP or UDP in them, as far as a NAT has to understand them.
//!
//! Owns: where the addresses are, and keeping the checksums right when they change
//! (RFC 1624). Refuses: options, fragments and every other protocol: [`Packet::parse`] gives
//! nothing for them.

use std::net::{Ipv4Addr, SocketAddrV4};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Bytes of a header without options.
const HEADER_BYTES: usize = 20;

/// What is in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// Where a packet comes from, or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// A packet whose addresses can be changed.
pub(super) struct Packet<'a> {
    bytes: &'a mut [u8],
    transport: Transport,
}

/// Where a packet goes, whatever is in it.
pub(super) fn destination(bytes: &[u8]) -> Option<Ipv4Addr> {
    let is_v4 = bytes.first().is_some_and(|first| first >> 4 == 4);
    let address: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
    is_v4.then(|| address.into())
}

impl<'a> Packet<'a> {
    pub(super) fn parse(bytes: &'a mut [u8]) -> Option<Self> {
        // Version 4, a header of five words; neither a later fragment nor a first of several.
        let is_plain = bytes.len() >= HEADER_BYTES && bytes[0] == 0x45;
        let is_whole = is_plain && u16::from_be_bytes([bytes[6], bytes[7]]) & 0x3fff == 0;
        let (transport, least) = match *bytes.get(9).filter(|_| is_whole)? {
            TCP => (Transport::Tcp, 20),
            UDP => (Transport::Udp, 8),
            _ => return None,
        };
        (bytes.len() >= HEADER_BYTES + least).then_some(Self { bytes, transport })
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn end(&self, end: End) -> SocketAddrV4 {
        let (ip, port) = places(end);
        let byte = |at: usize| self.bytes[at];
        SocketAddrV4::new(
            Ipv4Addr::new(byte(ip), byte(ip + 1), byte(ip + 2), byte(ip + 3)),
            u16::from_be_bytes([byte(port), byte(port + 1)]),
        )
    }

    pub(super) fn set_end(&mut self, end: End, to: SocketAddrV4) {
        let from = self.end(end);
        let (ip, port) = places(end);
        self.bytes[ip..ip + 4].copy_from_slice(&to.ip().octets());
        self.bytes[port..port + 2].copy_from_slice(&to.port().to_be_bytes());
        let (before, after) = (words(from), words(to));
        // The header's covers the address, that of TCP and UDP the address and the port.
        self.mend(10, &before[..2], &after[..2]);
        match self.transport {
            Transport::Tcp => self.mend(HEADER_BYTES + 16, &before, &after),
            // Zero says that there is none.
            Transport::Udp if self.bytes[HEADER_BYTES + 6..HEADER_BYTES + 8] == [0, 0] => {}
            Transport::Udp => self.mend(HEADER_BYTES + 6, &before, &after),
        }
    }

    fn mend(&mut self, at: usize, before: &[u16], after: &[u16]) {
        let old = u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]);
        let taken = before.iter().map(|word| u32::from(!word));
        let given = after.iter().map(|word| u32::from(*word));
        let sum = u32::from(!old) + taken.sum::<u32>() + given.sum::<u32>();
        self.bytes[at..at + 2].copy_from_slice(&(!folded(sum)).to_be_bytes());
    }
}

/// Where the address and the port of an end lie.
fn places(end: End) -> (usize, usize) {
    match end {
        End::Source => (12, HEADER_BYTES),
        End::Destination => (16, HEADER_BYTES + 2),
    }
}

fn words(address: SocketAddrV4) -> [u16; 3] {
    let [a, b, c, d] = address.ip().octets();
    [
        u16::from_be_bytes([a, b]),
        u16::from_be_bytes([c, d]),
        address.port(),
    ]
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A packet with right checksums.
    pub(crate) fn made(transport: Transport, from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES + 24];
        let length = bytes.len() as u16;
        bytes[0] = 0x45;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes[9] = match transport {
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
        };
        bytes[12..16].copy_from_slice(&from.ip().octets());
        bytes[16..20].copy_from_slice(&to.ip().octets());
        bytes[20..22].copy_from_slice(&from.port().to_be_bytes());
        bytes[22..24].copy_from_slice(&to.port().to_be_bytes());
        bytes[40..44].copy_from_slice(b"data");
        let sum = summed(&bytes[..HEADER_BYTES], 0);
        bytes[10..12].copy_from_slice(&(!sum).to_be_bytes());
        let at = checksum_of(transport);
        let sum = whole(&bytes);
        bytes[at..at + 2].copy_from_slice(&(!sum).to_be_bytes());
        bytes
    }

    pub(crate) fn assert_right(bytes: &[u8]) {
        assert_eq!(summed(&bytes[..HEADER_BYTES], 0), 0xffff, "of the header");
        assert_eq!(whole(bytes), 0xffff, "of what is in it");
    }

    fn checksum_of(transport: Transport) -> usize {
        HEADER_BYTES
            + match transport {
                Transport::Tcp => 16,
                Transport::Udp => 6,
            }
    }

    /// With the pseudo header of addresses, protocol and length.
    fn whole(bytes: &[u8]) -> u16 {
        let length = (bytes.len() - HEADER_BYTES) as u32;
        let pseudo = u32::from(summed(&bytes[12..20], 0)) + u32::from(bytes[9]) + length;
        summed(&bytes[HEADER_BYTES..], pseudo)
    }

    fn summed(bytes: &[u8], start: u32) -> u16 {
        let words = bytes.chunks(2);
        let words = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        folded(start + words.sum::<u32>())
    }

    #[test]
    fn checksums_stay_right_when_an_end_changes() {
        let (a, b) = ("192.168.0.2:4747", "198.51.100.1:65535");
        let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
        for transport in [Transport::Tcp, Transport::Udp] {
            for end in [End::Source, End::Destination] {
                let mut bytes = made(transport, a, b);
                assert_right(&bytes);
                let to = "203.0.113.255:1".parse().unwrap();
                let mut packet = Packet::parse(&mut bytes).unwrap();
                packet.set_end(end, to);
                assert_eq!(packet.end(end), to);
                assert_right(&bytes);
            }
        }
    }

    #[test]
    fn what_is_no_plain_packet_is_not_taken_for_one() {
        let (a, b) = ("10.0.0.1:1", "10.0.0.2:2");
        let right = made(Transport::Tcp, a.parse().unwrap(), b.parse().unwrap());
        let changed = |at: usize, to: u8| {
            let mut bytes = right.clone();
            bytes[at] = to;
            bytes
        };
        let options = changed(0, 0x46);
        let fragment = changed(6, 0x20);
        let icmp = changed(9, 1);
        let short = right[..30].to_vec();
        for mut bytes in [options, fragment, icmp, short, Vec::new()] {
            assert!(Packet::parse(&mut bytes).is_none());
        }
    }
}
