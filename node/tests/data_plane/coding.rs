//! What travels shorter than it is.

use shoal_protocol::access::Ticket;

use crate::harness::{Node, noise, soon};

/// A node with two versions of a file: noise, and the same with a few bytes more in places.
/// Gives the node, what keeps it listening, and a ticket for either.
async fn sharer() -> (Node, shoal_node::data::Listener, [(Ticket, Vec<u8>); 2]) {
    let alice = Node::new();
    let old = noise(1, 5_000_000);
    let mut new = old.clone();
    for place in [200_000, 1_100_000, 2_900_000, 2_950_000, 4_999_999] {
        new.splice(place..place, *b"some new row\n");
    }
    let listener = alice.listen().await;
    let ticket = |name: &str, bytes: &[u8]| {
        let path = alice.path(name);
        std::fs::write(&path, bytes).unwrap();
        let (ticket, _) = alice.ticket(alice.add(&path), listener.addresses()[0]);
        ticket
    };
    let versions = [(ticket("old", &old), old), (ticket("new", &new), new)];
    (alice, listener, versions)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_version_travels_as_what_changed() {
    let (_alice, _listener, [(first, _), (second, bytes)]) = sharer().await;
    for (has_right, least, most) in [(false, 300_000, 1_500_000), (true, 1_000, 40_000)] {
        let bob = Node::new();
        let dest = bob.path("got");
        soon(bob.get(&first, &dest)).await.unwrap();
        let swarm = bob.swarm(&second);
        swarm.snapshot().await.unwrap();
        if has_right {
            swarm.present(bob.access(&first));
        }
        let (outcome, _) = soon(bob.get_through(&swarm, &dest)).await.unwrap();
        assert!(std::fs::read(&dest).unwrap() == bytes);
        let moved = outcome.wire_in + outcome.wire_out;
        assert!((least..most).contains(&moved), "{has_right}: {moved}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_the_source_lost_is_done_without() {
    let (alice, _listener, [(first, _), (second, bytes)]) = sharer().await;
    let bob = Node::new();
    let dest = bob.path("got");
    soon(bob.get(&first, &dest)).await.unwrap();
    std::fs::write(alice.path("old"), noise(3, 5_000_000)).unwrap();
    let swarm = bob.swarm(&second);
    swarm.snapshot().await.unwrap();
    swarm.present(bob.access(&first));
    soon(bob.get_through(&swarm, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_need_not_know_by_whose_leave_one_has_an_earlier_version() {
    let (_alice, _listener, [(first, _), _]) = sharer().await;
    let (_mallory, _listener, [_, (second, bytes)]) = sharer().await;
    let bob = Node::new();
    let dest = bob.path("got");
    soon(bob.get(&first, &dest)).await.unwrap();
    let swarm = bob.swarm(&second);
    swarm.snapshot().await.unwrap();
    swarm.present(bob.access(&first));
    let (outcome, _) = soon(bob.get_through(&swarm, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
    assert!(outcome.wire_in > 300_000, "whole chunks came");
}
