//! The connections that have not proved any right yet.
//!
//! Owns: how many there may be, in all and of one address, and who goes when one more
//! comes: the oldest, so that a crowd of idle connections never keeps an honest one out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::peer::PeerKey;
use tokio_util::sync::CancellationToken;

/// Where a connection comes from, as coarse as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// An address; of IPv6 its /64, since one customer of a provider has a whole one.
    Address(IpAddr),
    /// A member, over the control plane.
    Member(PeerKey),
}

impl Origin {
    /// Of a socket.
    pub(crate) fn of(address: SocketAddr) -> Self {
        const NETWORK: u128 = u128::MAX << 64;
        Self::Address(match address.ip().to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & NETWORK).into(),
            ip => ip,
        })
    }
}

/// The table. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Strangers {
    table: Arc<Mutex<Table>>,
    all_max: usize,
    address_max: usize,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// By age.
    waiting: BTreeMap<u64, (Origin, CancellationToken)>,
}

/// A place in the table, given up when it is dropped.
pub(crate) struct Place {
    number: u64,
    evicted: CancellationToken,
    strangers: Strangers,
}

impl Strangers {
    /// A table for `all_max` connections, `address_max` of one address.
    pub(crate) fn new(all_max: usize, address_max: usize) -> Self {
        Self {
            table: Arc::default(),
            all_max: all_max.max(1),
            address_max: address_max.max(1),
        }
    }

    /// A place for one more connection from `address`; the oldest has to go for it if there
    /// are too many.
    pub(crate) fn enter(&self, address: Origin) -> Place {
        let evicted = CancellationToken::new();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = |table: &Table| {
            let theirs = table.waiting.iter().filter(|(_, (ip, _))| *ip == address);
            let oldest = theirs.clone().map(|(number, _)| *number).next();
            (theirs.count(), oldest)
        };
        let (count, oldest) = of_address(&table);
        if count >= self.address_max
            && let Some(oldest) = oldest
        {
            table.evict(oldest);
        }
        if table.waiting.len() >= self.all_max
            && let Some(oldest) = table.waiting.keys().next().copied()
        {
            table.evict(oldest);
        }
        let number = table.next;
        table.next += 1;
        table.waiting.insert(number, (address, evicted.clone()));
        Place {
            number,
            evicted,
            strangers: self.clone(),
        }
    }

    /// Whether so many are waiting that those who may not be where they say are to prove it
    /// before they get a place.
    pub(crate) fn are_many(&self) -> bool {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.waiting.len() >= self.all_max.min(self.address_max) / 4
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.waiting.len()
    }
}

impl Table {
    fn evict(&mut self, number: u64) {
        if let Some((_, evicted)) = self.waiting.remove(&number) {
            evicted.cancel();
        }
    }
}

impl Place {
    /// Cancelled when the connection has to go.
    pub(crate) fn token(&self) -> CancellationToken {
        self.evicted.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self
            .strangers
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        table.waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn ip(last: u8) -> Origin {
        Origin::Address(Ipv4Addr::new(10, 0, 0, last).into())
    }

    #[test]
    fn the_oldest_goes_when_one_more_comes() {
        let strangers = Strangers::new(3, 9);
        let places: Vec<_> = (1..=4).map(|i| strangers.enter(ip(i))).collect();
        let gone: Vec<_> = places.iter().map(|p| p.evicted.is_cancelled()).collect();
        assert_eq!(gone, [true, false, false, false]);
        drop(places);
        assert_eq!(strangers.count(), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_origin() {
        let of = |text: &str| Origin::of(text.parse().expect("an address"));
        assert_eq!(of("[2001:db8:1:2::1]:1"), of("[2001:db8:1:2:ff::9]:7"));
        assert_ne!(of("[2001:db8:1:2::1]:1"), of("[2001:db8:1:3::1]:1"));
        assert_eq!(of("[::ffff:10.0.0.1]:1"), of("10.0.0.1:9"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
    }

    #[test]
    fn one_address_pushes_out_its_own() {
        let strangers = Strangers::new(100, 2);
        let honest = strangers.enter(ip(1));
        let crowd: Vec<_> = (0..50).map(|_| strangers.enter(ip(2))).collect();
        assert!(!honest.evicted.is_cancelled());
        let left = crowd.iter().filter(|p| !p.evicted.is_cancelled()).count();
        assert_eq!((left, strangers.count()), (2, 3));
    }
}
