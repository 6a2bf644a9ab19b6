//! Who fetches what at the same time, so that they can be told of each other.
//!
//! Owns: the table of those who were let in, and what each hears of the others. Whoever says
//! where he listens is told on, at the address that he was seen at: nobody can send others to
//! a third party. Refuses: to vouch for anybody; who is told on proves himself when dialled.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::seq::IteratorRandom;
use shoal_protocol::access::Address;
use shoal_protocol::bounded::List;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::limits::{NEIGHBOUR_ADDRESSES_MAX, NEIGHBOURS_MAX};
use shoal_protocol::wire::{Neighbour, Neighbours};

use super::outbox::Outbox;

/// See the top of this file. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Crowd(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    by_snapshot: HashMap<SnapshotId, HashMap<u64, Member>>,
}

/// Somebody who was let in.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) peer: PeerKey,
    /// Where others find it; nowhere if it does not listen.
    pub(crate) addresses: List<Address, NEIGHBOUR_ADDRESSES_MAX>,
    /// Where it hears of others; nothing if it does not want to.
    pub(crate) outbox: Option<Outbox>,
}

/// A place in the crowd, given up when dropped.
pub(crate) struct Place {
    crowd: Crowd,
    snapshot: SnapshotId,
    number: u64,
}

impl Crowd {
    /// Takes somebody in, tells him of some who are there, and some of them of him.
    pub(crate) fn join(&self, snapshot: SnapshotId, member: Member) -> Place {
        let mut table = self.table();
        table.next += 1;
        let number = table.next;
        let members = table.by_snapshot.entry(snapshot).or_default();
        let random = &mut rand::rng();
        if let Some(outbox) = &member.outbox {
            introduce(outbox, snapshot, members, &member.peer);
        }
        if let Some(neighbour) = member.as_neighbour() {
            let hear = of_each(members, &member.peer, |other| other.outbox.as_ref());
            for outbox in hear.choose_multiple(random, NEIGHBOURS_MAX) {
                tell(outbox, snapshot, vec![neighbour.clone()]);
            }
        }
        members.insert(number, member);
        Place {
            crowd: self.clone(),
            snapshot,
            number,
        }
    }

    /// Tells somebody who was not taken in of some who are there.
    pub(crate) fn tell_of_others(&self, snapshot: SnapshotId, peer: &PeerKey, outbox: &Outbox) {
        if let Some(members) = self.table().by_snapshot.get(&snapshot) {
            introduce(outbox, snapshot, members, peer);
        }
    }

    /// Whether anybody is there for a snapshot.
    pub(crate) fn is_there(&self, snapshot: &SnapshotId) -> bool {
        self.table().by_snapshot.contains_key(snapshot)
    }

    /// How often somebody joined.
    #[cfg(test)]
    pub(crate) fn joined(&self) -> u64 {
        self.table().next
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.crowd.table();
        if let Some(members) = table.by_snapshot.get_mut(&self.snapshot) {
            members.remove(&self.number);
            if members.is_empty() {
                table.by_snapshot.remove(&self.snapshot);
            }
        }
    }
}

impl Member {
    fn as_neighbour(&self) -> Option<Neighbour> {
        (!self.addresses.is_empty()).then(|| Neighbour {
            peer: self.peer,
            addresses: self.addresses.clone(),
        })
    }
}

/// What `of` finds of each peer but `one`, once however many places it has.
fn of_each<'a, T>(
    members: &'a HashMap<u64, Member>,
    one: &PeerKey,
    of: impl Fn(&'a Member) -> Option<T>,
) -> impl Iterator<Item = T> {
    let others = members.values().filter(|member| member.peer != *one);
    let found: HashMap<_, _> = others
        .filter_map(|other| Some((other.peer, of(other)?)))
        .collect();
    found.into_values()
}

/// Tells `peer` of some of `members`, chosen by chance.
fn introduce(
    outbox: &Outbox,
    snapshot: SnapshotId,
    members: &HashMap<u64, Member>,
    peer: &PeerKey,
) {
    let found = of_each(members, peer, Member::as_neighbour);
    let chosen = found.choose_multiple(&mut rand::rng(), NEIGHBOURS_MAX);
    tell(outbox, snapshot, chosen);
}

/// A hint: whoever has too much to read goes without.
fn tell(outbox: &Outbox, snapshot: SnapshotId, peers: Vec<Neighbour>) {
    if !peers.is_empty() {
        let peers = List::new(peers).expect("so many were chosen");
        outbox.mention(Neighbours { snapshot, peers });
    }
}

/// Where others find somebody who was seen at `seen` and says that it listens at `listen`:
/// where it was seen, at the port that it names. Only who is on this machine, and so was seen
/// where others do not get to, is believed the rest.
pub(crate) fn reachable(
    seen: IpAddr,
    listen: &[Address],
) -> List<Address, NEIGHBOUR_ADDRESSES_MAX> {
    let seen = seen.to_canonical();
    let addresses = match (listen.first(), seen.is_loopback()) {
        (None, _) => Vec::new(),
        (Some(_), true) => listen
            .iter()
            .take(NEIGHBOUR_ADDRESSES_MAX)
            .cloned()
            .collect(),
        (Some(first), false) => Address::of_ip(seen, first.port()).into_iter().collect(),
    };
    List::new(addresses).expect("so many were taken")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::link::Link;
    use shoal_protocol::wire::Message;
    use tokio::io::duplex;
    use tokio_util::sync::CancellationToken;

    fn peer(number: u8) -> PeerKey {
        let mut secret = [number; 32];
        let secret = libp2p_identity::ed25519::SecretKey::try_from_bytes(&mut secret);
        PeerKey::of(&secret.expect("32 bytes").into())
    }

    fn member(number: u8, outbox: Option<Outbox>) -> Member {
        let port = 1000 + u16::from(number);
        let address = Address::of_ip(IpAddr::from([10, 0, 0, 1]), port).expect("an address");
        Member {
            peer: peer(number),
            addresses: List::new(vec![address]).expect("one"),
            outbox,
        }
    }

    /// An outbox, and whom its peer was told of by the time that it has said goodbye.
    fn listener(number: u8) -> (Outbox, impl Future<Output = Vec<PeerKey>>) {
        let (near, far) = duplex(1 << 20);
        let writer = Link::new(peer(number), near).writer;
        let (outbox, writing) = Outbox::new(writer, CancellationToken::new());
        let heard = async move {
            // What is asked of it ends with the goodbye.
            let _ = writing.await;
            let mut reader = Link::new(peer(0), far).reader;
            let mut told = Vec::new();
            while let Ok((Message::Neighbours(neighbours), _)) = reader.message(|_| true).await {
                told.extend(neighbours.peers.iter().map(|neighbour| neighbour.peer));
            }
            told
        };
        (outbox, heard)
    }

    #[tokio::test]
    async fn a_peer_that_comes_many_times_is_told_of_once_and_keeps_nobody_from_being() {
        let (crowd, snapshot) = (Crowd::default(), SnapshotId::of(b"wanted"));
        let join =
            |number, outbox: Option<&Outbox>| crowd.join(snapshot, member(number, outbox.cloned()));
        let (many, heard_by_many) = listener(1);
        let mut places: Vec<_> = (0..1000).map(|_| join(1, Some(&many))).collect();
        places.extend([2, 3].map(|number| join(number, None)));
        let (one, heard_by_one) = listener(4);
        places.push(join(4, Some(&one)));
        for outbox in [&many, &one] {
            outbox.leave(shoal_protocol::wire::ByeReason::Done, "");
        }
        let mut told = heard_by_one.await;
        told.sort();
        let mut others = [1, 2, 3].map(peer);
        others.sort();
        assert_eq!(told, others);
        assert_eq!(heard_by_many.await, [2, 3, 4].map(peer));
        drop(places);
        assert!(!crowd.is_there(&snapshot));
    }

    #[test]
    fn nobody_can_send_others_to_a_third_party() {
        let listen: Vec<Address> = ["10.0.0.9:4747", "bank.example:443", "10.1.1.1:4747"]
            .map(|text| text.parse().expect("an address"))
            .to_vec();
        let told = |seen: &str| -> Vec<String> {
            let found = reachable(seen.parse().expect("an ip"), &listen);
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(told("10.0.0.7"), ["10.0.0.7:4747"]);
        assert_eq!(told("::ffff:10.0.0.7"), ["10.0.0.7:4747"]);
        assert_eq!(told("127.0.0.1").len(), 3);
        assert!(reachable("10.0.0.7".parse().expect("an ip"), &[]).is_empty());
    }
}
