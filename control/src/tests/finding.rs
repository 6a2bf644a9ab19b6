//! How nodes find each other.

use super::*;
use libp2p::kad::KBucketKey;

/// The true answer: who is closest to `key` of all but the asker.
fn closest(nodes: &[ControlHandle], asker: PeerId, key: &[u8]) -> Vec<PeerId> {
    let target = KBucketKey::new(key.to_vec());
    let mut peers: Vec<_> = nodes.iter().map(ControlHandle::local_peer).collect();
    peers.retain(|peer| *peer != asker);
    peers.sort_by_key(|peer| target.distance(&KBucketKey::from(*peer)));
    peers.truncate(20);
    peers
}

async fn found(node: &ControlHandle, key: &[u8]) -> Vec<PeerId> {
    let contacts = node.closest_peers(key).await;
    assert!(contacts.iter().all(|contact| !contact.addresses.is_empty()));
    contacts.into_iter().map(|contact| contact.peer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_find_each_other_and_know_what_they_are() {
    let (_, nodes) = team(2).await;
    let peer = connected(&nodes[1], nodes[0].local_peer()).await;
    assert_eq!((peer.way, peer.dialled), (Way::Tcp, true));
    let told = until("they say what they are", || async {
        let peers = nodes[0].peers().await;
        peers.into_iter().find(|row| row.agent.is_some())
    });
    let told = told.await;
    assert!(told.agent.unwrap().starts_with("shoal/"));
    assert!(!told.dialled && !told.addresses.is_empty());
    until("the lookup finds the other", || async {
        let expected = closest(&nodes, nodes[1].local_peer(), b"key");
        (found(&nodes[1], b"key").await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_of_thirty_nodes_finds_who_is_closest_to_a_key() {
    let (_, nodes) = team(30).await;
    for (number, node) in nodes.iter().enumerate() {
        let key = format!("key {number}");
        let expected = closest(&nodes, node.local_peer(), key.as_bytes());
        assert_eq!(expected.len(), 20);
        until("the lookup finds the closest", || async {
            (found(node, key.as_bytes()).await == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_is_a_way_too() {
    let quic =
        || Draft::new().with(|c| c.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()]);
    let (first, second) = (quic(), quic());
    let team = Team::of([first.peer(), second.peer()]);
    let first = first.start(&team);
    let bootstrap = address(&first).await;
    let second = second.with(|c| c.bootstrap = vec![bootstrap]).start(&team);
    assert_eq!(connected(&second, first.local_peer()).await.way, Way::Quic);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_finds_its_team_again_by_whom_it_knew() {
    let mut drafts: Vec<_> = (0..3).map(|_| Draft::new()).collect();
    let team = Team::of(drafts.iter().map(Draft::peer));
    let [first, second] = [0, 1].map(|i| drafts[i].start(&team));
    let bootstrap = vec![address(&first).await];
    second.dial(bootstrap[0].clone()).await.unwrap();
    drafts[2].config.bootstrap = bootstrap;
    let third = drafts[2].start(&team);
    let known = until("it knows both", || async {
        let known = third.known_peers().await;
        (known.len() == 2).then_some(known)
    });
    drafts[2].config.known = known.await;
    drafts[2].config.bootstrap.clear();
    third.shutdown().await;
    first.shutdown().await;

    let third = drafts[2].start(&team);
    connected(&third, second.local_peer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_waits_for_a_bootstrap_peer_that_comes_later() {
    let late = Draft::new();
    let early = Draft::new();
    let team = Team::of([late.peer(), early.peer()]);
    let first = late.start(&team);
    let place = address(&first).await;
    first.shutdown().await;

    let early = early
        .with(|c| c.bootstrap = vec![place.clone()])
        .start(&team);
    let mut there: Multiaddr = place;
    there.pop();
    let late = until("the port is free", || async {
        let late = Draft {
            keypair: late.keypair.clone(),
            config: late.config.clone(),
        };
        late.with(|c| c.listen = vec![there.clone()])
            .try_start(&team)
            .ok()
    });
    connected(&early, late.await.local_peer()).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let team = Team::default();
    for way in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let first = Draft::new()
            .with(|c| c.listen = vec![way.parse().unwrap()])
            .start(&team);
        let mut taken = address(&first).await;
        taken.pop();
        let second = Draft::new().with(|c| c.listen = vec![taken.clone()]);
        match second.try_start(&team) {
            Err(StartError::PortBusy { port, address }) => {
                assert_eq!(address, taken);
                assert!(taken.to_string().contains(&format!("/{port}")));
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{taken} was opened twice"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_teams_share_no_table() {
    // Each takes the other for a member; only the names keep them apart.
    let (one, other) = (Draft::new(), Draft::new().with(|c| c.network = [8; 32]));
    let team = Team::everybody();
    let (one, other) = (one.start(&team), other.start(&team));
    let mut events = other.events();
    other.dial(address(&one).await).await.unwrap();
    event(&mut events, |e| {
        matches!(e, ControlEvent::Disconnected { .. })
    })
    .await;
    assert!(one.closest_peers(b"key").await.is_empty());
    assert!(other.closest_peers(b"key").await.is_empty());
    assert!(one.known_peers().await.is_empty());
}
