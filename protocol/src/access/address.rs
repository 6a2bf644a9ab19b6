//! Where a node may be reached: `host:port` as text.
//!
//! Owns: which texts are addresses at all. Refuses: resolving and dialling them.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::error::DecodeError;
use bincode::{Decode, Encode};

use crate::bounded::Text;

/// The longest address: a host name of 253 bytes (RFC 1035), a colon, five digits.
pub const ADDRESS_BYTES_MAX: usize = 259;
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A host (name, IPv4, or IPv6 in brackets) and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct Address(Text<ADDRESS_BYTES_MAX>);

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `:port` at the end, or not a port that one can dial.
    #[error("an address ends with a port from 1 to 65535, as in `192.168.1.7:4747`")]
    Port,
    /// Neither an IP address nor a host name.
    #[error("an address begins with an IP address (IPv6 in brackets) or a host name")]
    Host,
}

impl Address {
    /// The address with this IP and port.
    pub fn of_ip(ip: IpAddr, port: u16) -> Result<Self, AddressError> {
        match ip {
            IpAddr::V4(ip) => format!("{ip}:{port}").parse(),
            IpAddr::V6(ip) => format!("[{ip}]:{port}").parse(),
        }
    }

    /// `host:port`, as the system's resolver takes it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host without the brackets of IPv6.
    pub fn host(&self) -> &str {
        let host = self.split().0;
        host.strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.split().1.parse().expect("checked when it was parsed")
    }

    /// The IP address, if the host is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    fn split(&self) -> (&str, &str) {
        self.as_str()
            .rsplit_once(':')
            .expect("checked when it was parsed")
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    }
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(inner)
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        let number: u16 = port.parse().map_err(|_| AddressError::Port)?;
        if number == 0 || number.to_string() != port {
            return Err(AddressError::Port);
        }
        if !is_host(host) {
            return Err(AddressError::Host);
        }
        Ok(Self(Text::new(text).map_err(|_| AddressError::Host)?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<C> Decode<C> for Address {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let text = Text::<ADDRESS_BYTES_MAX>::decode(decoder)?;
        (text.as_str().parse()).map_err(|e: AddressError| DecodeError::OtherString(e.to_string()))
    }
}

impl<'de, C> BorrowDecode<'de, C> for Address {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart() {
        for (text, host, port) in [
            ("192.168.1.7:4747", "192.168.1.7", 4747),
            ("[fe80::1]:1", "fe80::1", 1),
            (
                "lab-gpu_17.example.org:65535",
                "lab-gpu_17.example.org",
                65535,
            ),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), text);
        }
        let ip = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert_eq!(Address::of_ip(ip, 80).map(|a| a.ip()), Ok(Some(ip)));
    }

    #[test]
    fn what_cannot_be_dialled_is_no_address() {
        let long = format!("{}:1", "a.".repeat(130));
        for text in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:01",
            ":4747",
            "fe80::1:80",
            "[fe80::1:80",
            "[::g]:1",
            "a..b:1",
            "a b:1",
            "a/b:1",
            "a\n:1",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
