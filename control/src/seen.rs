//! What members see of this node's addresses, and what follows from that.
//!
//! Owns: telling a node with an address of its own on the internet from one behind a NAT.
//! Refuses: to believe it of others: a member can lie about what it sees, and what follows
//! is a relay that is not needed, or a hole that does not open.

use std::net::IpAddr;

use libp2p::Multiaddr;

use super::streams::is_relayed;
use super::transport::socket_address;

/// What one member's view of this node means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It came to an address of the internet that is this machine's own: others can.
    Reachable,
    /// A NAT stands between, and gave the socket that this node listens on the address that is
    /// seen: a hole may be punched there.
    Mapped,
    /// Nothing to go by.
    Nothing,
}

/// What it means that a member sees this node at `observed`, over a connection that this node
/// `dialled` (from the socket that it listens on) or did not. It listens at `listening`.
pub(super) fn judged<'a>(
    observed: &Multiaddr,
    dialled: bool,
    listening: impl Iterator<Item = &'a Multiaddr>,
) -> Seen {
    let direct = |address: &Multiaddr| match is_relayed(address) {
        true => None,
        false => socket_address(address),
    };
    let Some((seen, seen_udp)) = direct(observed) else {
        return Seen::Nothing;
    };
    let mut own = listening
        .filter_map(direct)
        .filter(|(_, udp)| *udp == seen_udp);
    let is_same_host = |(at, _): &(std::net::SocketAddr, bool)| at.ip() == seen.ip();
    if !dialled {
        return match own.any(|at| is_same_host(&at) && at.0.port() == seen.port()) {
            true if is_public(seen.ip()) => Seen::Reachable,
            _ => Seen::Nothing,
        };
    }
    let own: Vec<_> = own.collect();
    match own.is_empty() || own.iter().any(is_same_host) {
        true => Seen::Nothing,
        false => Seen::Mapped,
    }
}

/// Whether `ip` is one of the internet. Those of documentation are: a lab has no others.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_of_provider = a == 100 && b & 0xc0 == 64;
            let is_inside = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            let is_none = ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast();
            !is_of_provider && !is_inside && !is_none
        }
        IpAddr::V6(ip) => {
            let is_inside = ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local();
            !is_inside && !ip.is_unspecified() && !ip.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(observed: &str, dialled: bool, listening: &[&str], expected: Seen) {
        let listening: Vec<Multiaddr> = listening.iter().map(|at| at.parse().unwrap()).collect();
        let seen = judged(&observed.parse().unwrap(), dialled, listening.iter());
        assert_eq!(seen, expected, "{observed} {dialled} {listening:?}");
    }

    const HOME: &[&str] = &[
        "/ip4/127.0.0.1/tcp/4748",
        "/ip4/192.168.1.2/tcp/4748",
        "/ip4/192.168.1.2/udp/4748/quic-v1",
    ];
    const OPEN: &[&str] = &[
        "/ip4/127.0.0.1/tcp/4748",
        "/ip4/198.51.100.1/tcp/4748",
        "/ip6/2001:db8::1/udp/4748/quic-v1",
    ];

    #[test]
    fn an_address_that_is_not_its_own_is_a_nats() {
        let mapped = "/ip4/198.51.100.2/tcp/20000";
        check(mapped, true, HOME, Seen::Mapped);
        check("/ip4/198.51.100.2/udp/7/quic-v1", true, HOME, Seen::Mapped);
        // Who came in knows where it knocked; whether others could is AutoNAT's to find out.
        check(mapped, false, HOME, Seen::Nothing);
        // It listens for no such thing, so nothing can come in there.
        check(
            "/ip4/198.51.100.2/udp/7/quic-v1",
            true,
            &HOME[..2],
            Seen::Nothing,
        );
        check(mapped, true, &[], Seen::Nothing);
        let own = "/ip4/192.168.1.2/tcp/4748";
        check(own, true, HOME, Seen::Nothing);
    }

    #[test]
    fn who_is_come_to_at_its_own_address_of_the_internet_is_reachable() {
        check("/ip4/198.51.100.1/tcp/4748", false, OPEN, Seen::Reachable);
        check(
            "/ip6/2001:db8::1/udp/4748/quic-v1",
            false,
            OPEN,
            Seen::Reachable,
        );
        check("/ip4/198.51.100.1/tcp/4748", true, OPEN, Seen::Nothing);
        check("/ip4/198.51.100.1/tcp/9", false, OPEN, Seen::Nothing);
        check("/ip4/198.51.100.9/tcp/4748", false, OPEN, Seen::Nothing);
        // From the same LAN: that says nothing about the internet.
        check("/ip4/192.168.1.2/tcp/4748", false, HOME, Seen::Nothing);
        check("/ip4/127.0.0.1/tcp/4748", false, HOME, Seen::Nothing);
    }

    #[test]
    fn what_a_relay_sees_says_nothing() {
        let relay = libp2p::PeerId::random();
        let circuit = format!("/ip4/198.51.100.1/tcp/4748/p2p/{relay}/p2p-circuit");
        check(&circuit, true, HOME, Seen::Nothing);
        check(&circuit, false, OPEN, Seen::Nothing);
    }

    #[test]
    fn addresses_of_private_networks_are_not_of_the_internet() {
        for ip in [
            "10.0.0.1",
            "100.64.0.1",
            "169.254.0.1",
            "fd00::1",
            "fe80::1",
            "::",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }
}
