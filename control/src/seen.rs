//! What members see of this node's addresses, and what follows from that.
//!
//! Owns: telling a node with an address of its own on the internet from one behind a NAT.
//! Refuses: to find out whether a member lies about what it sees. What follows from a lie is a
//! relay that is not needed or, on a machine with an address of the internet, none where one
//! is needed, or a hole that does not open.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;

use super::streams::is_relayed;
use super::transport::socket_address;

/// What one member's view of this node means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It came from elsewhere to an address of the internet that is this machine's own: others
    /// can.
    Reachable,
    /// A NAT stands between, and gave the socket that this node listens on the address that is
    /// seen: a hole may be punched there.
    Mapped,
    /// Nothing to go by.
    Nothing,
}

/// What it means that a member sees this node at `observed`, over a connection that came from
/// the address `from` or, if from nowhere, that this node dialled, from the socket that it
/// listens on. It listens at `listening`.
pub(super) fn judged<'a>(
    observed: &Multiaddr,
    from: Option<&Multiaddr>,
    listening: impl Iterator<Item = &'a Multiaddr>,
) -> Seen {
    let Some((seen, seen_udp)) = direct(observed) else {
        return Seen::Nothing;
    };
    let mut own = listening
        .filter_map(direct)
        .filter(|(_, udp)| *udp == seen_udp)
        .map(|(at, _)| at);
    if let Some(from) = from {
        let is_from_elsewhere =
            direct(from).is_some_and(|(from, _)| are_apart(from.ip(), seen.ip()));
        return match is_from_elsewhere && own.any(|at| at == seen) {
            true => Seen::Reachable,
            false => Seen::Nothing,
        };
    }
    let own: Vec<_> = own.collect();
    match own.is_empty() || own.iter().any(|at| at.ip() == seen.ip()) {
        true => Seen::Nothing,
        false => Seen::Mapped,
    }
}

fn direct(address: &Multiaddr) -> Option<(SocketAddr, bool)> {
    match is_relayed(address) {
        true => None,
        false => socket_address(address),
    }
}

/// Whether the internet lies between two addresses, as far as they tell. What one site has of it
/// is often behind one firewall, which keeps out all but each other.
fn are_apart(a: IpAddr, b: IpAddr) -> bool {
    let is_one_site = match (a.to_canonical(), b.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.octets()[..6] == b.octets()[..6],
        _ => false,
    };
    is_public(a) && is_public(b) && !is_one_site
}

/// Whether `ip` is one of the internet. Those of benchmarks are: a lab has no others.
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

    const DIALLED: Option<&str> = None;
    const ELSEWHERE: Option<&str> = Some("/ip4/203.0.113.7/tcp/4748");

    fn check(observed: &str, from: Option<&str>, listening: &[&str], expected: Seen) {
        let listening: Vec<Multiaddr> = listening.iter().map(|at| at.parse().unwrap()).collect();
        let came_from = from.map(|from| from.parse().unwrap());
        let observed = observed.parse().unwrap();
        let seen = judged(&observed, came_from.as_ref(), listening.iter());
        assert_eq!(seen, expected, "{observed} {from:?} {listening:?}");
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
        check(mapped, DIALLED, HOME, Seen::Mapped);
        check(
            "/ip4/198.51.100.2/udp/7/quic-v1",
            DIALLED,
            HOME,
            Seen::Mapped,
        );
        // Who came in knows where it knocked; whether others could is AutoNAT's to find out.
        check(mapped, ELSEWHERE, HOME, Seen::Nothing);
        // It listens for no such thing, so nothing can come in there.
        check(
            "/ip4/198.51.100.2/udp/7/quic-v1",
            DIALLED,
            &HOME[..2],
            Seen::Nothing,
        );
        check(mapped, DIALLED, &[], Seen::Nothing);
        let own = "/ip4/192.168.1.2/tcp/4748";
        check(own, DIALLED, HOME, Seen::Nothing);
    }

    #[test]
    fn who_is_come_to_from_elsewhere_at_its_own_address_of_the_internet_is_reachable() {
        let (v4, v6) = (
            "/ip4/198.51.100.1/tcp/4748",
            "/ip6/2001:db8::1/udp/4748/quic-v1",
        );
        let elsewhere_v6 = Some("/ip6/2001:db8:7::9/udp/4748/quic-v1");
        check(v4, ELSEWHERE, OPEN, Seen::Reachable);
        check(v6, elsewhere_v6, OPEN, Seen::Reachable);
        check(v4, DIALLED, OPEN, Seen::Nothing);
        check("/ip4/198.51.100.1/tcp/9", ELSEWHERE, OPEN, Seen::Nothing);
        check("/ip4/198.51.100.9/tcp/4748", ELSEWHERE, OPEN, Seen::Nothing);
    }

    #[test]
    fn who_comes_from_the_same_site_says_nothing_about_the_internet() {
        check("/ip4/192.168.1.2/tcp/4748", ELSEWHERE, HOME, Seen::Nothing);
        check("/ip4/127.0.0.1/tcp/4748", ELSEWHERE, HOME, Seen::Nothing);
        // A firewall may be in front of both.
        for (at, from) in [
            ("/ip4/198.51.100.1/tcp/4748", "/ip4/198.51.100.77/tcp/4748"),
            ("/ip4/198.51.100.1/tcp/4748", "/ip4/10.0.0.7/tcp/4748"),
            (
                "/ip6/2001:db8::1/udp/4748/quic-v1",
                "/ip6/2001:db8::2/udp/4748/quic-v1",
            ),
            (
                "/ip6/2001:db8::1/udp/4748/quic-v1",
                "/ip6/fd00::2/udp/4748/quic-v1",
            ),
        ] {
            check(at, Some(from), OPEN, Seen::Nothing);
        }
    }

    #[test]
    fn what_a_relay_sees_says_nothing() {
        let relay = libp2p::PeerId::random();
        let circuit = format!("/ip4/198.51.100.1/tcp/4748/p2p/{relay}/p2p-circuit");
        check(&circuit, DIALLED, HOME, Seen::Nothing);
        check(&circuit, ELSEWHERE, OPEN, Seen::Nothing);
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
