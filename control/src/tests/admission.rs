//! Who gets in, and what those see who do not.

use super::*;

/// A node of the team, and one that is not a member but takes everybody for one and knows
/// all names: it opens every protocol that there is.
async fn node_and_spy(
    change: impl FnOnce(&mut ControlConfig),
) -> (Team, ControlHandle, ControlHandle) {
    let team = Team::default();
    let node = Draft::new().with(change).start(&team);
    let spy = Draft::new().start(&Team::everybody());
    (team, node, spy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_nothing_and_is_closed() {
    let (_, node, spy) = node_and_spy(|c| c.limits.stranger = Duration::from_secs(2)).await;
    let target = node.local_peer();
    let mut events = spy.events();
    spy.dial(address(&node).await).await.unwrap();
    event(&mut events, |e| {
        *e == ControlEvent::NotAdmitted { peer: target }
    })
    .await;

    assert!(spy.closest_peers(b"key").await.is_empty());
    for protocol in [Protocol::Advert, Protocol::Find, Protocol::Locate] {
        let refused = spy
            .request(target, protocol, Bytes::from_static(b"?"))
            .await;
        assert!(
            matches!(refused, Err(RequestError::NotSpoken { .. })),
            "{refused:?}"
        );
    }
    let refused = spy.open_stream(target).await.map(|_| ());
    assert!(
        matches!(refused, Err(StreamError::NotSpoken { .. })),
        "{refused:?}"
    );
    let row = connected(&spy, target).await;
    assert_eq!(
        (row.agent, row.addresses, row.rtt),
        (None, Vec::new(), None)
    );

    event(&mut events, |e| {
        *e == ControlEvent::Disconnected { peer: target }
    })
    .await;
    assert!(node.peers().await.is_empty());
    assert!(node.known_peers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_presents_a_proof_is_a_member_once_it_connects_again() {
    let (_, node, newcomer) = node_and_spy(|_| {}).await;
    let (target, place) = (node.local_peer(), address(&node).await);
    let mut events = node.events();
    let mut at_newcomer = newcomer.events();

    let without = newcomer.admit(target, vec![place.clone()], Bytes::from_static(b"?"));
    assert!(matches!(without.await, Err(RequestError::Refused { .. })));
    let answer = newcomer.admit(target, vec![place.clone()], Bytes::from_static(PROOF));
    assert_eq!(answer.await.unwrap(), b"welcome"[..]);

    let refused = ControlEvent::NotAdmitted { peer: target };
    event(&mut at_newcomer, |e| *e == refused).await;
    newcomer.reconnect(target, vec![place]).await;
    let peer = newcomer.local_peer();
    event(&mut events, |e| *e == ControlEvent::Connected { peer }).await;
    let found = newcomer.request(target, Protocol::Find, Bytes::from_static(b"where"));
    assert_eq!(found.await.unwrap(), b"where"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_both_ends_take_for_a_members_is_not_made_anew() {
    let (_, node, newcomer) = node_and_spy(|_| {}).await;
    let (target, place) = (node.local_peer(), address(&node).await);
    let mut at_newcomer = newcomer.events();
    newcomer
        .admit(target, vec![place.clone()], Bytes::from_static(PROOF))
        .await
        .unwrap();
    let refused = ControlEvent::NotAdmitted { peer: target };
    event(&mut at_newcomer, |e| *e == refused).await;
    let mut events = node.events();
    newcomer.reconnect(target, vec![place]).await;
    let peer = newcomer.local_peer();
    event(&mut events, |e| *e == ControlEvent::Connected { peer }).await;

    node.reconnect(peer, vec![address(&newcomer).await]).await;
    newcomer.reconnect(target, vec![address(&node).await]).await;
    let found = newcomer.request(target, Protocol::Find, Bytes::from_static(b"where"));
    assert_eq!(found.await.unwrap(), b"where"[..]);
    while let Ok(event) = events.try_recv() {
        assert_ne!(event, ControlEvent::Disconnected { peer });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_cut_off_at_once() {
    let (team, nodes) = team(2).await;
    let [node, member] = [0, 1].map(|i| nodes[i].clone());
    let peer = member.local_peer();
    connected(&node, peer).await;
    until("it is in the table", || async {
        (!node.known_peers().await.is_empty()).then_some(())
    })
    .await;
    let mut taken = node.incoming_streams().await.unwrap();
    let mut stream = member.open_stream(node.local_peer()).await.unwrap();
    let mut events = node.events();

    team.remove(peer);
    node.membership_changed().await;
    event(&mut events, |e| *e == ControlEvent::Disconnected { peer }).await;
    assert!(node.peers().await.is_empty());
    assert!(node.known_peers().await.is_empty());
    use tokio::io::AsyncReadExt;
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "the stream has ended");
    let mut taken = taken.recv().await.unwrap();
    let rest = tokio::time::timeout(PATIENCE, taken.read_to_end(&mut Vec::new())).await;
    assert!(rest.is_ok(), "at the other end too");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_dialled_because_somebody_says_so() {
    let (_, node, spy) = node_and_spy(|_| {}).await;
    let refused = node.open_stream(spy.local_peer()).await.map(|_| ());
    assert!(
        matches!(refused, Err(StreamError::Unreachable { .. })),
        "{refused:?}"
    );
    // An address is no invitation either, where the name was not asked for.
    let found = node
        .request(spy.local_peer(), Protocol::Find, Bytes::new())
        .await;
    assert!(
        matches!(found, Err(RequestError::Unreachable { .. })),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_stranger_goes_when_too_many_come() {
    let (_, node, first) = node_and_spy(|c| {
        c.limits.strangers_max = 2;
        c.limits.stranger = PATIENCE * 2;
    })
    .await;
    let place = address(&node).await;
    let mut events = first.events();
    first.dial(place.clone()).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..2 {
        let other = Draft::new().start(&Team::everybody());
        other.dial(place.clone()).await.unwrap();
        others.push(other);
    }
    event(&mut events, |e| {
        matches!(e, ControlEvent::Disconnected { .. })
    })
    .await;
    for other in others {
        assert_eq!(other.peers().await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_asks_for_admission_a_few_times_only() {
    let (_, node, spy) = node_and_spy(|c| c.limits.admissions_per_minute_max = 2).await;
    let place = vec![address(&node).await];
    let ask = |bytes: &'static [u8]| {
        spy.admit(node.local_peer(), place.clone(), Bytes::from_static(bytes))
    };
    for _ in 0..2 {
        assert!(ask(b"?").await.is_err());
    }
    assert!(matches!(
        ask(PROOF).await,
        Err(RequestError::Refused { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_become_a_member_while_connected_is_found_without_connecting_again() {
    let (team, node, newcomer) = node_and_spy(|c| c.limits.stranger = PATIENCE * 2).await;
    let third = Draft::new().start(&Team::everybody());
    team.add(third.local_peer());
    let (mut at_node, mut at_third) = (node.events(), third.events());
    newcomer.dial(address(&node).await).await.unwrap();
    let is = |peer| move |e: &ControlEvent| *e == ControlEvent::Identified { peer };
    for other in [&node, &newcomer] {
        third.dial(address(other).await).await.unwrap();
        event(&mut at_third, is(other.local_peer())).await;
    }
    event(&mut at_node, is(third.local_peer())).await;

    let peer = newcomer.local_peer();
    team.add(peer);
    node.membership_changed().await;
    let mut events = node.events();
    let found = node.closest_peers(b"key").await;
    assert!(found.iter().any(|contact| contact.peer == peer));
    event(&mut events, |e| *e == ControlEvent::Connected { peer }).await;
}
