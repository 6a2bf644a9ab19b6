//! Several at once, who are told of each other.

use std::sync::Arc;

use shoal_node::data::{Allowed, Listener, ListenerConfig, Swarm, Traffic};
use shoal_protocol::access::{Address, Ticket};
use shoal_protocol::snapshot::Snapshot;
use tokio_util::sync::CancellationToken;

use crate::harness::{Node, noise, soon};

/// Has a node honour the grant of somebody else's ticket.
fn honour(node: &Node, ticket: &Ticket, snapshot: Snapshot) -> Allowed {
    let allowed = Allowed {
        snapshot,
        revoked: CancellationToken::new(),
        traffic: Traffic::new(),
    };
    node.grants.insert(ticket.grant().id(), allowed.clone());
    allowed
}

/// Has a node tell those whom it visits where it listens.
fn say_where(node: &Node, listener: &Listener) {
    let at = listener.addresses()[0];
    let address = Address::of_ip(at.ip(), at.port()).unwrap();
    node.endpoint.set_listening(vec![address]);
}

/// Has a node get all and serve it to others, as long as what is given first is there; what it
/// has sent.
async fn stay_with_all(
    node: &Node,
    ticket: &Ticket,
    snapshot: Snapshot,
) -> ((Listener, Swarm), Arc<Traffic>) {
    let listener = node.listen().await;
    say_where(node, &listener);
    let sent = honour(node, ticket, snapshot).traffic;
    let swarm = node.swarm(ticket);
    let got = node.path("got.bin");
    soon(node.get_through(&swarm, &got)).await.unwrap();
    ((listener, swarm), sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_has_lost_comes_from_one_that_it_tells_of() {
    let (alice, bob, carol) = (Node::new(), Node::new(), Node::new());
    let bytes = noise(70, 12_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let at_alice = alice.listen().await;
    let snapshot = alice.add(&source);
    let (ticket, _) = alice.ticket(snapshot, at_alice.addresses()[0]);

    let (_there, sent_by_bob) = stay_with_all(&bob, &ticket, snapshot).await;

    std::fs::write(&source, noise(71, 12_000_000)).unwrap();
    let dest = carol.path("got.bin");
    soon(carol.get(&ticket, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
    assert_eq!(sent_by_bob.sent(), 12_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_later_is_told_of_too() {
    let (alice, bob, carol) = (Node::new(), Node::new(), Node::new());
    let bytes = noise(72, 3_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let at_alice = alice.listen().await;
    let snapshot = alice.add(&source);
    let (ticket, _) = alice.ticket(snapshot, at_alice.addresses()[0]);
    std::fs::write(&source, noise(73, 3_000_000)).unwrap();

    // Carol is there first, and finds that alice has nothing any more.
    let carols = carol.swarm(&ticket);
    let dest = carol.path("got.bin");
    let getting = async { soon(carol.get_through(&carols, &dest)).await.unwrap() };
    let helping = async {
        // Bob has it from elsewhere, and comes for no more than to be told on.
        let theirs = bob.path("data.bin");
        std::fs::write(&theirs, &bytes).unwrap();
        assert_eq!(bob.add(&theirs), snapshot);
        let at_bob = bob.listen().await;
        say_where(&bob, &at_bob);
        honour(&bob, &ticket, snapshot);
        let bobs = bob.swarm(&ticket);
        soon(bobs.snapshot()).await.unwrap();
        (at_bob, bobs)
    };
    let (_, _bob) = tokio::join!(getting, helping);
    assert!(std::fs::read(&dest).unwrap() == bytes);
}

/// Bob has the only place that Alice gives, and stays. She tells Carol of him, who gets it all
/// from him without ever being let in by her.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_no_place_at_the_source_is_told_of_one_that_has_it() {
    let (alice, bob, carol) = (Node::new(), Node::new(), Node::new());
    let bytes = noise(74, 3_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let at_alice = alice.listen_as(ListenerConfig {
        peers_max: 1,
        ..ListenerConfig::default()
    });
    let at_alice = at_alice.await;
    let snapshot = alice.add(&source);
    let (ticket, _) = alice.ticket(snapshot, at_alice.addresses()[0]);

    let (_there, sent_by_bob) = stay_with_all(&bob, &ticket, snapshot).await;

    let dest = carol.path("got.bin");
    soon(carol.get(&ticket, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
    assert_eq!(sent_by_bob.sent(), 3_000_000);
    let guests = at_alice.peers();
    assert!(
        guests
            .iter()
            .all(|guest| guest.peer == bob.identity.peer_key())
    );
}
