//! What a ticket says about where to dial.
//!
//! Owns: the choice and order of addresses. The best come first, because a ticket holds few:
//! private and public IPv4, IPv6, link-local, and loopback last, which is for another node
//! of the same machine. Addresses of container bridges lead nowhere from elsewhere and are
//! left out.

use std::net::{IpAddr, SocketAddr};

use shoal_protocol::access::Address;
use shoal_protocol::access::ticket::TICKET_ADDRESSES_MAX;

/// The addresses to dial for a node that listens on `listening`.
pub(super) fn dialable(listening: &[SocketAddr], advertise: &[String]) -> Vec<Address> {
    let Some(port) = listening.first().map(SocketAddr::port) else {
        return Vec::new();
    };
    if !advertise.is_empty() {
        return advertised(advertise, port);
    }
    let interfaces: Vec<_> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| (interface.name.clone(), interface.ip()))
        .collect();
    of_interfaces(listening, &interfaces)
}

/// What the configuration says; a host without a port has that of the listener.
fn advertised(advertise: &[String], port: u16) -> Vec<Address> {
    let addresses = advertise.iter().filter_map(|text| {
        let whole = text.parse().ok();
        let ip = || Address::of_ip(text.parse().ok()?, port).ok();
        let host = || format!("{text}:{port}").parse().ok();
        let address = whole.or_else(ip).or_else(host);
        if address.is_none() {
            tracing::warn!("`{text}` in `advertise` is not an address");
        }
        address
    });
    addresses.take(TICKET_ADDRESSES_MAX).collect()
}

fn of_interfaces(listening: &[SocketAddr], interfaces: &[(String, IpAddr)]) -> Vec<Address> {
    let mut found: Vec<(u8, SocketAddr)> = Vec::new();
    for address in listening {
        let ips: Vec<IpAddr> = if address.ip().is_unspecified() {
            interfaces
                .iter()
                .filter(|(name, _)| !is_container_bridge(name))
                .map(|(_, ip)| *ip)
                // A socket on `::` takes IPv4 as well.
                .filter(|ip| ip.is_ipv4() || address.is_ipv6())
                .collect()
        } else {
            vec![address.ip()]
        };
        let ranked = ips.into_iter().filter_map(|ip| Some((rank(ip)?, ip)));
        found.extend(ranked.map(|(rank, ip)| (rank, SocketAddr::new(ip, address.port()))));
    }
    found.sort();
    found.dedup();
    // The last place is kept for loopback, however many interfaces there are.
    let split = found.partition_point(|(rank, _)| *rank < LOOPBACK);
    let (others, loopback) = found.split_at(split);
    let room = TICKET_ADDRESSES_MAX - loopback.len().min(1);
    let chosen = others.iter().take(room).chain(loopback);
    chosen
        .filter_map(|(_, address)| Address::of_ip(address.ip(), address.port()).ok())
        .take(TICKET_ADDRESSES_MAX)
        .collect()
}

const LOOPBACK: u8 = 3;

/// Low is dialled first; nothing for what cannot be dialled from elsewhere as it stands.
fn rank(ip: IpAddr) -> Option<u8> {
    match ip {
        _ if ip.is_unspecified() || ip.is_multicast() => None,
        _ if ip.is_loopback() => Some(LOOPBACK),
        IpAddr::V4(ip) if ip.is_link_local() => Some(2),
        IpAddr::V4(_) => Some(0),
        // Means something only together with an interface of the one who dials.
        IpAddr::V6(ip) if ip.is_unicast_link_local() => None,
        IpAddr::V6(_) => Some(1),
    }
}

fn is_container_bridge(interface: &str) -> bool {
    let prefixes = ["docker", "br-", "veth", "virbr", "cni", "flannel", "podman"];
    prefixes.iter().any(|prefix| interface.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(addresses: &[Address]) -> Vec<&str> {
        addresses.iter().map(Address::as_str).collect()
    }

    fn interfaces(list: &[(&str, &str)]) -> Vec<(String, IpAddr)> {
        let parsed = |(name, ip): &(&str, &str)| ((*name).to_owned(), ip.parse().expect("an ip"));
        list.iter().map(parsed).collect()
    }

    #[test]
    fn usable_addresses_come_first_and_bridges_not_at_all() {
        let interfaces = interfaces(&[
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("docker0", "172.17.0.1"),
            ("br-1f3a", "172.18.0.1"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::7"),
            ("eth0", "192.168.1.7"),
            ("eth1", "169.254.3.4"),
        ]);
        let everywhere = ["[::]:4747".parse().expect("an address")];
        assert_eq!(
            texts(&of_interfaces(&everywhere, &interfaces)),
            [
                "192.168.1.7:4747",
                "[2001:db8::7]:4747",
                "169.254.3.4:4747",
                "127.0.0.1:4747",
                "[::1]:4747"
            ]
        );
        let one = ["192.168.1.7:9".parse().expect("an address")];
        assert_eq!(texts(&of_interfaces(&one, &interfaces)), ["192.168.1.7:9"]);
        let v4 = ["0.0.0.0:9".parse().expect("an address")];
        assert!(
            texts(&of_interfaces(&v4, &interfaces))
                .iter()
                .all(|a| !a.starts_with('['))
        );
    }

    #[test]
    fn many_interfaces_leave_a_place_for_loopback() {
        let mut list: Vec<_> = (1..=20)
            .map(|i| {
                (
                    "eth".to_owned(),
                    format!("10.0.0.{i}").parse().expect("an ip"),
                )
            })
            .collect();
        list.push(("lo".to_owned(), "127.0.0.1".parse().expect("an ip")));
        let everywhere = ["0.0.0.0:1".parse().expect("an address")];
        let found = of_interfaces(&everywhere, &list);
        assert_eq!(found.len(), TICKET_ADDRESSES_MAX);
        assert_eq!(found.last().map(Address::as_str), Some("127.0.0.1:1"));
    }

    #[test]
    fn what_is_configured_is_said_and_nothing_else() {
        let advertise = ["node.lab", "node.lab:99", "2001:db8::1", "not an address"];
        let advertise: Vec<_> = advertise.map(str::to_owned).into();
        assert_eq!(
            texts(&advertised(&advertise, 4747)),
            ["node.lab:4747", "node.lab:99", "[2001:db8::1]:4747"]
        );
    }
}
