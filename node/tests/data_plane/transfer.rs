//! Honest nodes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shoal_node::data::{FetchError, FetchEvent, SwarmOptions, Ways};
use shoal_protocol::id::SnapshotId;
use shoal_store::index::Coverage;
use tokio_util::sync::CancellationToken;

use crate::harness::{Node, noise, now, over_tcp_and_quic, soon, write_files};

over_tcp_and_quic! {
    a_folder_arrives_as_it_was_and_what_moved_is_counted,
    several_get_the_same_at_once,
    a_stretch_is_read_without_fetching_the_rest,
    a_whole_file_is_read_in_order,
    a_reader_that_stops_holds_up_no_other,
    a_fetch_that_is_interrupted_goes_on_where_it_was,
}

async fn a_folder_arrives_as_it_was_and_what_moved_is_counted(ways: Ways) {
    let (alice, bob) = (Node::with_ways(ways), Node::with_ways(ways));
    let big = noise(1, 9_000_000);
    let files = [
        ("big.bin", big),
        ("sub/small.txt", b"hello".to_vec()),
        ("sub/empty", Vec::new()),
    ];
    let source = alice.path("data");
    write_files(&source, &files);
    let listener = alice.listen().await;
    let (ticket, allowed) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    let dest = bob.path("got");
    let (outcome, received) = soon(bob.get(&ticket, &dest)).await.unwrap();
    for (name, bytes) in &files {
        assert!(std::fs::read(dest.join(name)).unwrap() == *bytes, "{name}");
    }
    let moved = received.progress.bytes_received;
    assert_eq!(moved, 9_000_005);
    assert!(outcome.wire_in >= moved);
    // Over QUIC a busy machine may send packets twice, and these are counted too.
    assert!(!ways.tcp || outcome.wire_in < moved + moved / 10 + 100_000);
    assert_eq!(allowed.traffic.sent(), moved);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_arrives() {
    let (alice, bob) = (Node::new(), Node::new());
    let source = alice.path("data");
    std::fs::create_dir(&source).unwrap();
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    soon(bob.get(&ticket, &bob.path("got"))).await.unwrap();
    assert!(bob.path("got").is_dir());
}

async fn several_get_the_same_at_once(ways: Ways) {
    let alice = Node::with_ways(ways);
    let source = alice.path("data.bin");
    let bytes = noise(2, 6_000_000);
    std::fs::write(&source, &bytes).unwrap();
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    let get = || async {
        let bob = Node::with_ways(ways);
        let dest = bob.path("got.bin");
        bob.get(&ticket, &dest).await.unwrap();
        assert!(std::fs::read(&dest).unwrap() == bytes);
    };
    let all = async { tokio::join!(get(), get(), get(), get()) };
    soon(Box::pin(all)).await;
}

async fn a_stretch_is_read_without_fetching_the_rest(ways: Ways) {
    let (alice, bob) = (Node::with_ways(ways), Node::with_ways(ways));
    let bytes = noise(3, 40_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    let swarm = bob.swarm(&ticket);
    let (start, end) = (31_234_567, 31_334_567);
    let mut came = Vec::new();
    let mut reader = swarm.read(start..end);
    while let Some(bytes) = soon(reader.recv()).await {
        came.extend_from_slice(&bytes.unwrap());
    }
    assert!(came == bytes[start as usize..end as usize]);
    assert!(swarm.traffic().received() < 1_500_000);
}

async fn a_whole_file_is_read_in_order(ways: Ways) {
    let (alice, bob) = (Node::with_ways(ways), Node::with_ways(ways));
    let bytes = noise(4, 20_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    let swarm = bob.swarm(&ticket);
    let mut came = Vec::new();
    let mut reader = swarm.read(0..u64::MAX);
    while let Some(bytes) = soon(reader.recv()).await {
        came.extend_from_slice(&bytes.unwrap());
    }
    assert!(came == bytes);
}

async fn a_reader_that_stops_holds_up_no_other(ways: Ways) {
    let (alice, bob) = (Node::with_ways(ways), Node::with_ways(ways));
    let bytes = noise(14, 20_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    let swarm = bob.swarm(&ticket);
    let mut stopped = swarm.read(0..u64::MAX);
    soon(stopped.recv()).await.unwrap().unwrap();
    let mut came = Vec::new();
    let mut reader = swarm.read(0..u64::MAX);
    while let Some(bytes) = soon(reader.recv()).await {
        came.extend_from_slice(&bytes.unwrap());
    }
    assert!(came == bytes);
    drop(stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_has_lost_is_told_at_once_and_offered_no_more() {
    let (alice, bob) = (Node::new(), Node::new());
    let mut bytes = noise(15, 3_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let listener = alice.listen().await;
    let snapshot = alice.add(&source);
    let (ticket, _) = alice.ticket(snapshot, listener.addresses()[0]);
    bytes[1_500_000] ^= 1;
    std::fs::write(&source, &bytes).unwrap();

    let swarm = bob.swarm(&ticket);
    let mut reader = swarm.read(0..u64::MAX);
    let mut came = 0;
    let error = loop {
        match soon(reader.recv()).await.unwrap() {
            Ok(bytes) => came += bytes.len() as u64,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, FetchError::Gone { position } if position == came && came <= 1_500_000),
        "{error} after {came}"
    );
    let Coverage::Ranges(offered) = alice.row(&snapshot.id()).unwrap().offered else {
        panic!("all of it is still offered");
    };
    assert!(!offered.iter().any(|range| range.contains(&1_500_000)));
    let left: u64 = offered.iter().map(|range| range.end - range.start).sum();
    assert!(
        left >= 3_000_000 - 256 * 1024,
        "only {left} are still offered"
    );

    // Everything else can be had.
    let swarm = bob.swarm(&ticket);
    let mut behind = swarm.read(1_500_000 + 256 * 1024..u64::MAX);
    let mut rest = Vec::new();
    while let Some(piece) = soon(behind.recv()).await {
        rest.extend_from_slice(&piece.unwrap());
    }
    assert!(bytes.ends_with(&rest) && !rest.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_back_is_found_again() {
    let (alice, bob) = (Node::new(), Node::new());
    let bytes = noise(5, 3_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let snapshot = alice.add(&source);
    let first = alice.listen().await;
    let address = first.addresses()[0];
    let (ticket, _) = alice.ticket(snapshot, address);
    let lost = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&lost);
    let swarm = bob.swarm_with(&ticket, SwarmOptions::default(), move |event| {
        if matches!(event, FetchEvent::Lost { .. }) {
            told.notify_one();
        }
    });
    soon(swarm.snapshot()).await.unwrap();
    first.stop().await;
    soon(lost.notified()).await;
    let config = shoal_node::data::ListenerConfig {
        addresses: vec![address],
        ..Default::default()
    };
    let admission: Arc<dyn shoal_node::data::Admission> = alice.grants.clone();
    let again = shoal_node::data::Listener::start(alice.endpoint.clone(), admission, config);
    let _again = again.await.unwrap();
    let dest = bob.path("got.bin");
    soon(bob.get_through(&swarm, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
}

/// As when a node that was killed is there again, and has not said yet what it shares.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_share_it_yet_is_waited_for() {
    let (alice, bob) = (Node::new(), Node::new());
    let bytes = noise(5, 3_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let listener = alice.listen().await;
    let (ticket, allowed) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    let (grants, grant) = (Arc::clone(&alice.grants), ticket.grant().id());
    grants.set_aside(grant);
    let swarm = bob.swarm_with(&ticket, SwarmOptions::default(), move |event| {
        if matches!(event, FetchEvent::Lost { .. }) {
            grants.insert(grant, allowed.clone());
        }
    });
    let dest = bob.path("got.bin");
    soon(bob.get_through(&swarm, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_ends_in_time_and_says_why() {
    let (alice, bob) = (Node::new(), Node::new());
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let (ticket, _) = alice.unknown_ticket(SnapshotId::of(b"x"), nowhere, None);
    let options = SwarmOptions {
        timeout: Some(Duration::from_millis(300)),
        ..SwarmOptions::default()
    };
    let swarm = bob.swarm_with(&ticket, options, |_| {});
    match soon(swarm.snapshot()).await {
        Err(FetchError::TimedOut { why, .. }) => assert!(why.contains("127.0.0.1:1"), "{why}"),
        other => panic!("{other:?}"),
    }
}

async fn a_fetch_that_is_interrupted_goes_on_where_it_was(ways: Ways) {
    let (alice, bob) = (Node::with_ways(ways), Node::with_ways(ways));
    let bytes = noise(6, 48_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    let dest = bob.path("got.bin");
    let cancelled = CancellationToken::new();
    let options = SwarmOptions {
        cancelled: cancelled.clone(),
        ..SwarmOptions::default()
    };
    let swarm = bob.swarm_with(&ticket, options, |_| {});
    let snapshot = soon(swarm.snapshot()).await.unwrap();
    let receive = bob.receive(snapshot, &dest);
    let traffic = Arc::clone(swarm.traffic());
    let interrupt = async {
        while traffic.received() < 12_000_000 {
            tokio::task::yield_now().await;
        }
        cancelled.cancel();
    };
    let (ended, ()) =
        soon(async { tokio::join!(swarm.fetch(Arc::clone(&receive)), interrupt) }).await;
    assert!(matches!(ended, Err(FetchError::Cancelled)), "{ended:?}");
    let held = receive.progress().bytes_held;
    drop((receive, swarm));
    let (outcome, _) = soon(bob.get(&ticket, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
    assert!(
        outcome.wire_in < 48_000_000 - held + 2_000_000,
        "{outcome:?} {held}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_got_is_served_on() {
    let (alice, bob, carol) = (Node::new(), Node::new(), Node::new());
    let bytes = noise(7, 5_000_000);
    let source = alice.path("data.bin");
    std::fs::write(&source, &bytes).unwrap();
    let snapshot = alice.add(&source);
    let first = alice.listen().await;
    let (ticket, _) = alice.ticket(snapshot, first.addresses()[0]);
    soon(bob.get(&ticket, &bob.path("got.bin"))).await.unwrap();
    first.stop().await;
    let second = bob.listen().await;
    let (ticket, _) = bob.ticket(snapshot, second.addresses()[0]);
    let dest = carol.path("got.bin");
    soon(carol.get(&ticket, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_revoked_ends_the_session_on_sight() {
    let (alice, bob) = (Node::new(), Node::new());
    let source = alice.path("data.bin");
    std::fs::write(&source, noise(8, 1_000_000)).unwrap();
    let listener = alice.listen().await;
    let (ticket, allowed) = alice.ticket(alice.add(&source), listener.addresses()[0]);
    let events = Arc::new(Mutex::new(Vec::new()));
    let dropped = Arc::new(tokio::sync::Notify::new());
    let (log, told) = (Arc::clone(&events), Arc::clone(&dropped));
    let swarm = bob.swarm_with(&ticket, SwarmOptions::default(), move |event| {
        if matches!(event, FetchEvent::Dropped { .. }) {
            told.notify_one();
        }
        log.lock().unwrap().push(event);
    });
    soon(swarm.snapshot()).await.unwrap();
    assert_eq!(listener.peers().len(), 1);
    allowed.revoked.cancel();
    soon(dropped.notified()).await;
    let ended = soon(bob.get_through(&swarm, &bob.path("got"))).await;
    assert!(
        matches!(ended, Err(FetchError::NotPermitted(_))),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_unknown_or_over_is_refused() {
    let (alice, bob) = (Node::new(), Node::new());
    let source = alice.path("data.bin");
    std::fs::write(&source, b"x").unwrap();
    let snapshot = alice.add(&source);
    let listener = alice.listen().await;
    let at = listener.addresses()[0];
    let (unknown, _) = alice.unknown_ticket(snapshot.id(), at, None);
    let (over, _) = alice.unknown_ticket(snapshot.id(), at, Some(now() - 300));
    for ticket in [unknown, over] {
        let ended = soon(bob.swarm(&ticket).snapshot()).await;
        assert!(
            matches!(ended, Err(FetchError::NotPermitted(_))),
            "{ended:?}"
        );
    }
}
