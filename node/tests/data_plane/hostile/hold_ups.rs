//! Servers that hold others up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shoal_node::identity::Identity;
use shoal_protocol::access::{Address, Ticket};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::Neighbour;

use super::servers::{Liar, Lie};
use crate::harness::{Node, StillClock, TCP, noise, soon, write_files};

/// More than there are buffers for frames.
const SLOW: usize = 12;
/// What each of them has.
const FILE_BYTES: usize = 150_000;

#[tokio::test(start_paused = true)]
async fn sources_that_stop_within_a_frame_keep_nobody_from_being_heard() {
    let alice = Node::new();
    let source = alice.path("data");
    let names: Vec<_> = (0..=SLOW).map(|i| format!("{i:02}")).collect();
    let files = (names.iter()).zip(21..);
    let files: Vec<_> = files
        .map(|(name, seed)| (name.as_str(), noise(seed, FILE_BYTES)))
        .collect();
    write_files(&source, &files);
    let snapshot = alice.add(&source);
    let clock = StillClock::hold();
    let halted = Arc::new(AtomicUsize::new(0));
    let mut sources = Vec::new();
    for start in (0..snapshot.bytes).step_by(FILE_BYTES) {
        let end = start + FILE_BYTES as u64;
        let is_honest = end == snapshot.bytes;
        let liar = Liar {
            identity: Identity::generate(),
            snapshot,
            pages: alice.pages(),
            lie: match is_honest {
                true => Lie::Offers(start, end),
                false => Lie::Halts(start, end),
            },
            truth: is_honest.then(|| alice.store.clone()),
            halted: Arc::clone(&halted),
        };
        let peer = liar.identity.peer_key();
        sources.push(neighbour(peer, liar.listen().await));
    }
    let (honest, first) = (sources.pop().unwrap(), sources.pop().unwrap());
    let (ticket, _) = alice.ticket(snapshot, ([127, 0, 0, 1], 1).into());
    let ticket = Ticket::new(ticket.grant().clone(), ticket.secret().cloned(), None)
        .with_source(first.peer, first.addresses.to_vec());
    let bob = Node::with_ways(TCP);
    let swarm = Arc::new(bob.swarm(&ticket));
    swarm.meet(sources);
    let receive = bob.receive(soon(swarm.snapshot()).await.unwrap(), &bob.path("got"));
    let fetch = {
        let (swarm, receive) = (Arc::clone(&swarm), Arc::clone(&receive));
        tokio::spawn(async move { swarm.fetch(receive).await })
    };
    let all_halted = || halted.load(Ordering::Relaxed) == SLOW;
    until(all_halted).await;
    swarm.meet(vec![honest]);
    until(|| receive.progress().bytes_held > 0).await;
    clock.assert_it_stood();
    fetch.abort();
}

/// Waits while the clock is held, which [`soon`] cannot end.
async fn until(is_so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "in vain");
        tokio::task::yield_now().await;
    }
}

fn neighbour(peer: PeerKey, at: SocketAddr) -> Neighbour {
    let address = Address::of_ip(at.ip(), at.port()).unwrap();
    Neighbour {
        peer,
        addresses: List::new(vec![address]).unwrap(),
    }
}
