//! How far away an address is.
//!
//! Owns: telling this machine, the networks that it is on, and all that lies beyond apart: a
//! private address proves nothing, since two sites that a slow link joins both have them.
//! What lies beyond, and behind a tunnel, is judged by how long a packet takes. On a network
//! that this machine is on by a card of its own that would only tell how full its queues are:
//! those who fetch the same fill them.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use if_addrs::IfAddr;
use shoal_protocol::fetch::Distance;

/// Beyond the networks of this machine, whoever answers within this is as good as there.
const NEAR: Duration = Duration::from_millis(2);
/// A tunnel that takes longer than this spans a distance, whatever its addresses say.
const TUNNEL: Duration = Duration::from_millis(10);
/// How interfaces of tunnels begin where the system says no more of them.
const TUNNEL_NAMES: [&str; 8] = ["tun", "tap", "utun", "feth", "wg", "zt", "ppp", "ipsec"];

/// Where an address lies, as far as it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// This machine.
    Host,
    /// A network that this machine is on.
    Network,
    /// The same, by a tunnel: it may span any distance.
    Tunnel,
    /// Anywhere else.
    Beyond,
}

/// The addresses of this machine.
pub(super) struct Surroundings(Vec<Own>);

/// One of them.
struct Own {
    ip: IpAddr,
    /// The length of its network's prefix.
    prefix: u8,
    is_tunnel: bool,
}

impl Surroundings {
    /// As the interfaces are now.
    pub(super) fn now() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let own = interfaces.iter().map(|interface| {
            let (ip, prefix) = match &interface.addr {
                IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
                IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
            };
            let is_tunnel = is_tunnel(&interface.name);
            Own {
                ip,
                prefix,
                is_tunnel,
            }
        });
        Self(own.collect())
    }

    /// Where `ip` lies.
    pub(super) fn place(&self, ip: IpAddr) -> Place {
        let ip = ip.to_canonical();
        if ip.is_loopback() || self.0.iter().any(|own| own.ip == ip) {
            return Place::Host;
        }
        let own = self.0.iter().filter(|own| !own.ip.is_loopback());
        let networks = own.filter(|own| is_same_network(own.ip, ip, own.prefix));
        match networks.map(|own| own.is_tunnel).min() {
            Some(false) => Place::Network,
            Some(true) => Place::Tunnel,
            None => Place::Beyond,
        }
    }
}

/// Whether an interface is a tunnel's end, as far as the system tells.
fn is_tunnel(name: &str) -> bool {
    // Linux, Documentation/ABI/testing/sysfs-class-net; `tun_flags` is of TUN and TAP devices.
    let about = Path::new("/sys/class/net").join(name);
    let Ok(kind) = fs::read_to_string(about.join("type")) else {
        return TUNNEL_NAMES.iter().any(|front| name.starts_with(front));
    };
    let is_overlay = |event: String| event.contains("vxlan") || event.contains("geneve");
    // Ethernet, which Wi-Fi poses as, and InfiniBand (include/uapi/linux/if_arp.h).
    !matches!(kind.trim(), "1" | "32")
        || about.join("tun_flags").exists()
        || fs::read_to_string(about.join("uevent")).is_ok_and(is_overlay)
}

/// Whether two addresses have the first `prefix` bits in common. A network that is everything
/// (a tunnel, say) is none.
fn is_same_network(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    let (a, b, bits) = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let rest = bits - u32::from(prefix).min(bits);
    prefix > 0 && (a ^ b).checked_shr(rest).unwrap_or(0) == 0
}

/// How far away it is to where a packet there and back takes `round_trip`.
pub(super) fn distance(place: Place, round_trip: Option<Duration>) -> Distance {
    let within = |most| round_trip.is_some_and(|time| time < most);
    match place {
        Place::Host => Distance::Host,
        Place::Network => Distance::Lan,
        Place::Tunnel if within(TUNNEL) || round_trip.is_none() => Distance::Lan,
        Place::Beyond if within(NEAR) => Distance::Lan,
        Place::Tunnel | Place::Beyond => Distance::Wan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings() -> Surroundings {
        let own = [
            ("127.0.0.1", 8),
            ("192.168.3.7", 24),
            ("10.9.0.2", 32),
            ("fd00::7", 64),
            ("2001:db8:1::7", 64),
            ("172.16.0.7", 12),
        ];
        let parse = |(ip, prefix): &(&str, u8)| Own {
            ip: ip.parse().expect("an ip"),
            prefix: *prefix,
            is_tunnel: ip.starts_with("172."),
        };
        Surroundings(own.iter().map(parse).collect())
    }

    #[test]
    fn an_address_tells_only_what_this_machine_is_part_of() {
        for (ip, expected) in [
            ("127.0.0.2", Place::Host),
            ("::1", Place::Host),
            ("::ffff:127.0.0.1", Place::Host),
            ("192.168.3.7", Place::Host),
            ("192.168.3.9", Place::Network),
            ("fd00::9", Place::Network),
            ("2001:db8:1::9", Place::Network),
            ("172.16.9.9", Place::Tunnel),
            ("192.168.4.9", Place::Beyond),
            ("10.9.0.3", Place::Beyond),
            ("fd00:1::9", Place::Beyond),
            ("8.8.8.8", Place::Beyond),
        ] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(surroundings().place(ip), expected, "{ip}");
        }
        assert!(!is_same_network(
            "10.0.0.1".parse().expect("an ip"),
            "11.0.0.1".parse().expect("an ip"),
            0
        ));
    }

    #[test]
    fn the_rest_is_told_by_how_long_a_packet_takes() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (place, round_trip, expected) in [
            (Place::Host, ms(50), Distance::Host),
            (Place::Network, ms(400), Distance::Lan),
            (Place::Tunnel, None, Distance::Lan),
            (Place::Tunnel, ms(5), Distance::Lan),
            (Place::Tunnel, ms(40), Distance::Wan),
            (Place::Beyond, ms(1), Distance::Lan),
            (Place::Beyond, ms(5), Distance::Wan),
            (Place::Beyond, None, Distance::Wan),
        ] {
            assert_eq!(
                distance(place, round_trip),
                expected,
                "{place:?} {round_trip:?}"
            );
        }
    }
}
