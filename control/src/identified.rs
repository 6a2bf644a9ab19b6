//! Which of the addresses that a peer names are worth keeping.
//!
//! Owns: the choice. Everything here is the claim of a member that may be wrong or hostile:
//! few addresses, of known kinds, none that would make this node dial itself.

use libp2p::multiaddr::Protocol as Part;
use libp2p::{Multiaddr, PeerId};

use super::streams::is_relayed;
use super::transport::socket_address;

/// The most addresses that are kept of a peer.
const ADDRESSES_MAX: usize = 8;
/// The most of them that lead through a relay.
const RELAYED_MAX: usize = 2;
/// The most parts of an address: a relay's, with its name, and a peer's behind it.
const PARTS_MAX: usize = 8;

/// What is kept of the addresses that `peer` claims: the one that this node `dialled` it at
/// first, then its claims, in its order. Loopback only from somebody who is on this machine.
pub(super) fn kept(
    peer: PeerId,
    remote: &Multiaddr,
    dialled: bool,
    claimed: &[Multiaddr],
) -> Vec<Multiaddr> {
    let same_machine = is_loopback(remote);
    let mut kept: Vec<Multiaddr> = Vec::new();
    let proven = dialled
        .then_some(remote)
        .filter(|remote| !is_relayed(remote));
    let claimed = claimed
        .iter()
        .filter(|address| may_be_dialled(address, peer, same_machine));
    for address in proven.into_iter().chain(claimed) {
        let address = bare(address);
        let relayed = kept.iter().filter(|a| is_relayed(a)).count();
        let fits = !is_relayed(&address) || relayed < RELAYED_MAX;
        if fits && kept.len() < ADDRESSES_MAX && !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept
}

fn may_be_dialled(address: &Multiaddr, peer: PeerId, same_machine: bool) -> bool {
    let mut parts = address.iter();
    let known = match (parts.next(), parts.next(), parts.next()) {
        (Some(host), Some(Part::Tcp(port)), None | Some(Part::P2p(_))) => {
            port != 0 && is_host(&host)
        }
        (Some(host), Some(Part::Udp(port)), Some(Part::QuicV1)) => port != 0 && is_host(&host),
        _ => false,
    };
    let of_peer = match address.iter().last() {
        Some(Part::P2p(named)) => named == peer,
        _ => true,
    };
    let few = address.iter().count() <= PARTS_MAX;
    known && of_peer && few && is_reachable(address, same_machine)
}

fn is_host(part: &Part<'_>) -> bool {
    matches!(
        part,
        Part::Ip4(_) | Part::Ip6(_) | Part::Dns(_) | Part::Dns4(_) | Part::Dns6(_)
    )
}

fn is_reachable(address: &Multiaddr, same_machine: bool) -> bool {
    use std::net::IpAddr;
    let Some((socket, _)) = socket_address(address) else {
        return true;
    };
    let ip = socket.ip();
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_unspecified() && !ip.is_multicast() && !local && (same_machine || !ip.is_loopback())
}

/// Whether the connection does not leave this machine.
fn is_loopback(address: &Multiaddr) -> bool {
    !is_relayed(address)
        && socket_address(address).is_some_and(|(socket, _)| socket.ip().is_loopback())
}

/// Without the name of the peer at the end.
pub(super) fn bare(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if let Some(Part::P2p(_)) = address.iter().last() {
        address.pop();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multiaddr(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn check(remote: &str, dialled: bool, claimed: &[&str], expected: &[&str]) {
        let claimed: Vec<_> = claimed.iter().map(|text| multiaddr(text)).collect();
        let expected: Vec<_> = expected.iter().map(|text| multiaddr(text)).collect();
        let found = kept(PeerId::random(), &multiaddr(remote), dialled, &claimed);
        assert_eq!(found, expected);
    }

    const LAN: &str = "/ip4/10.0.0.5/tcp/40000";

    #[test]
    fn addresses_that_lead_nowhere_are_left_out() {
        check(
            LAN,
            false,
            &[
                "/ip4/127.0.0.1/tcp/4748",
                "/ip6/::1/udp/4748/quic-v1",
                "/ip4/0.0.0.0/tcp/4748",
                "/ip4/224.0.0.1/tcp/4748",
                "/ip6/fe80::1/tcp/4748",
                "/ip4/10.0.0.5/tcp/0",
                "/ip4/10.0.0.5/udp/4748",
                "/ip4/10.0.0.5/tcp/4748/ws",
                "/dnsaddr/example.org",
                "/memory/7",
                "/ip4/10.0.0.5/tcp/4748",
                "/ip4/10.0.0.5/udp/4748/quic-v1",
                "/dns4/node.example.org/tcp/4748",
            ],
            &[
                "/ip4/10.0.0.5/tcp/4748",
                "/ip4/10.0.0.5/udp/4748/quic-v1",
                "/dns4/node.example.org/tcp/4748",
            ],
        );
    }

    #[test]
    fn on_one_machine_loopback_is_an_address() {
        let loopback = "/ip4/127.0.0.1/tcp/4748";
        check("/ip4/127.0.0.1/tcp/40000", false, &[loopback], &[loopback]);
    }

    #[test]
    fn the_address_that_worked_comes_first() {
        let other = "/ip4/10.0.0.5/tcp/4748";
        check(LAN, true, &[other, LAN], &[LAN, other]);
    }

    #[test]
    fn another_peers_address_is_not_this_ones() {
        let foreign = format!("{LAN}/p2p/{}", PeerId::random());
        check(LAN, false, &[&foreign], &[]);
    }

    #[test]
    fn a_peer_has_few_addresses() {
        let many: Vec<_> = (1..100)
            .map(|port| format!("/ip4/10.0.0.5/tcp/{port}"))
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        check(LAN, false, &many, &many[..ADDRESSES_MAX]);
        let relays: Vec<_> = (1..9)
            .map(|port| {
                format!(
                    "/ip4/10.0.0.9/tcp/{port}/p2p/{}/p2p-circuit",
                    PeerId::random()
                )
            })
            .collect();
        let relays: Vec<_> = relays.iter().map(String::as_str).collect();
        check(LAN, false, &relays, &relays[..RELAYED_MAX]);
    }
}
