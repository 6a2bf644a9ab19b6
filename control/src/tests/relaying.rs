//! Members that reach each other through a third one only.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A relay, and two members that listen nowhere but there.
async fn relay_and_two(limits: RelayLimits) -> (ControlHandle, [ControlHandle; 2]) {
    let relay = Draft::new().with(|c| c.relay = limits);
    let two = [(); 2].map(|()| Draft::new().with(|c| c.listen.clear()));
    let team = Team::of(two.iter().map(Draft::peer).chain([relay.peer()]));
    let relay = relay.start(&team);
    let place = address(&relay).await;
    relay.advertise(place.clone()).await;
    let two = two.map(|draft| {
        draft
            .with(|c| c.bootstrap = vec![place.clone()])
            .start(&team)
    });
    for node in &two {
        until("it listens at the relay", || async {
            (!node.listen_addresses().await.is_empty()).then_some(())
        })
        .await;
        until("the relay has it in its table", || async {
            let known = relay.known_peers().await;
            known
                .iter()
                .any(|c| c.peer == node.local_peer())
                .then_some(())
        })
        .await;
    }
    (relay, two)
}

async fn stream(two: &[ControlHandle; 2]) -> (DataStream, DataStream) {
    let mut taken = two[1].incoming_streams().await.unwrap();
    let opened = two[0].open_stream(two[1].local_peer()).await.unwrap();
    let other = tokio::time::timeout(PATIENCE, taken.recv()).await.unwrap();
    (opened, other.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_listen_nowhere_open_a_stream_through_a_third() {
    let (_relay, two) = relay_and_two(RelayLimits::default()).await;
    let (mut here, mut there) = stream(&two).await;
    assert!(here.is_relayed() && there.is_relayed());
    here.write_all(b"through").await.unwrap();
    here.shutdown().await.unwrap();
    let mut heard = Vec::new();
    there.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"through");
    let row = connected(&two[0], two[1].local_peer()).await;
    assert_eq!(row.way, Way::Relayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_ends_at_its_bytes_and_the_relay_says_why() {
    let (relay, two) = relay_and_two(RelayLimits {
        circuit_bytes_max: 64 << 10,
        ..RelayLimits::default()
    })
    .await;
    let mut events = relay.events();
    let (mut here, mut there) = stream(&two).await;
    let reading = tokio::spawn(async move {
        let mut heard = Vec::new();
        let end = there.read_to_end(&mut heard).await;
        (heard.len(), end)
    });
    let mut written = 0;
    let error = tokio::time::timeout(PATIENCE, async {
        loop {
            match here.write_all(&[1; 4096]).await {
                Ok(()) => written += 4096,
                Err(error) => return error,
            }
        }
    });
    let error = error.await.unwrap();
    let (heard, end) = reading.await.unwrap();
    assert!(
        heard < written.min(64 << 10),
        "{heard} of {written} bytes, {error}, {end:?}"
    );
    let ended = event(&mut events, |e| {
        matches!(e, ControlEvent::CircuitEnded { .. })
    })
    .await;
    let ControlEvent::CircuitEnded {
        source,
        target,
        error,
    } = ended
    else {
        unreachable!("it was waited for");
    };
    assert_eq!((source, target), (two[0].local_peer(), two[1].local_peer()));
    assert!(error.unwrap().contains("circuit bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_relays_for_strangers() {
    let (relay, two) = relay_and_two(RelayLimits::default()).await;
    let spy = Draft::new().start(&Team::everybody());
    let target = two[1].local_peer();
    let through = address(&relay)
        .await
        .with(libp2p::multiaddr::Protocol::P2pCircuit);
    let refused = spy.dial(through.with_p2p(target).unwrap()).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_relay_is_no_relay() {
    let relay = Draft::new().with(|c| c.relay.serve = false);
    let node = Draft::new().with(|c| c.listen.clear());
    let team = Team::of([relay.peer(), node.peer()]);
    let relay = relay.start(&team);
    let place = address(&relay).await;
    relay.advertise(place.clone()).await;
    let node = node
        .with(|c| c.bootstrap = vec![place.clone()])
        .start(&team);
    until("it knows what the other is", || async {
        let peers = node.peers().await;
        peers.into_iter().find(|row| row.agent.is_some())
    })
    .await;
    let at = place.with(libp2p::multiaddr::Protocol::P2pCircuit);
    let through = at.with_p2p(PeerId::random()).unwrap();
    assert!(node.dial(through).await.is_err());
    assert!(node.listen_addresses().await.is_empty());
}
