//! Servers that hold others up: readers, and those who have something to send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shoal_node::data::{FetchError, Swarm, SwarmOptions};
use shoal_node::identity::Identity;
use shoal_protocol::access::{Address, Ticket};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::Neighbour;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

use super::servers::{Liar, Lie, behind_a_liar};
use crate::harness::{Node, StillClock, TCP, noise, soon, write_files};

/// More than there are buffers for frames.
const SLOW: usize = 12;
/// What each of them has.
const FILE_BYTES: usize = 150_000;

/// A lie of a server that tells of somebody else.
type LieOf = fn(PeerKey, SocketAddr) -> Lie;

async fn read(swarm: &Swarm) -> Result<Vec<u8>, FetchError> {
    let mut parts = swarm.read(1_000_000..2_000_000);
    let mut read = Vec::new();
    while let Some(part) = soon(parts.recv()).await {
        read.extend_from_slice(&part?);
    }
    Ok(read)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_passes_over_a_source_that_sends_nothing() {
    let bytes = noise(16, 3_000_000);
    for lie in [Lie::Silent, Lie::Withholds, Lie::EndsAtOnce] {
        let (_alice, _listener, ticket) = behind_a_liar(&bytes, lie).await;
        let bob = Node::new();
        assert!(read(&bob.swarm(&ticket)).await.unwrap() == bytes[1_000_000..2_000_000]);
    }
}

/// Nothing can be done before the first pages are here. Whoever sends bytes of a run may be silent
/// for two seconds.
#[tokio::test(start_paused = true)]
async fn who_reads_soon_asks_another_for_pages() {
    let bytes = noise(24, 3_000_000);
    let _clock = StillClock::hold();
    let began = Instant::now();
    let (_alice, _listener, ticket) = behind_a_liar(&bytes, Lie::Silent).await;
    let bob = Node::with_ways(TCP);
    let swarm = bob.swarm(&ticket);
    let waiting = async {
        // The silent one tells of the other once it is asked.
        until(|| swarm.offers().len() == 2).await;
        for _ in 0..2 {
            advance(Duration::from_millis(900)).await;
            // Whoever waited for this acts.
            for _ in 0..1000 {
                yield_now().await;
            }
        }
    };
    let (read, ()) = tokio::join!(read(&swarm), waiting);
    assert!(read.unwrap() == bytes[1_000_000..2_000_000]);
    assert_eq!(began.elapsed(), Duration::from_millis(1800));
}

#[tokio::test(start_paused = true)]
async fn who_reads_does_not_wait_for_a_busy_source_while_there_is_another() {
    let bytes = noise(17, 3_000_000);
    let busy: [LieOf; 2] = [
        |peer, at| Lie::Busy(peer, at, 60_000),
        |peer, at| Lie::Busy(peer, at, 0),
    ];
    let clock = StillClock::hold();
    for lie in busy {
        let (_alice, _listener, ticket) = behind_a_liar(&bytes, lie).await;
        let bob = Node::with_ways(TCP);
        assert!(read(&bob.swarm(&ticket)).await.unwrap() == bytes[1_000_000..2_000_000]);
    }
    clock.assert_it_stood();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_from_a_busy_source_alone_is_no_more_patient_than_he_says() {
    let lie = |_, _| {
        let nobody = Identity::generate().peer_key();
        Lie::Busy(nobody, ([127, 0, 0, 1], 1).into(), 60_000)
    };
    let (_alice, _listener, ticket) = behind_a_liar(&noise(18, 3_000_000), lie).await;
    let options = SwarmOptions {
        timeout: Some(Duration::from_millis(500)),
        ..SwarmOptions::default()
    };
    let bob = Node::new();
    let ended = read(&bob.swarm_with(&ticket, options, |_| {})).await;
    assert!(
        matches!(ended, Err(FetchError::TimedOut { .. })),
        "{ended:?}"
    );
}

/// The source that has everything is still dialled when the first one has failed.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_waits_for_sources_that_are_still_dialled() {
    let bytes = noise(19, 3_000_000);
    for lie in [Lie::Lacks, Lie::Garbles] {
        let (_alice, _listener, ticket) = behind_a_liar(&bytes, lie).await;
        let bob = Node::new();
        assert!(read(&bob.swarm(&ticket)).await.unwrap() == bytes[1_000_000..2_000_000]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_goes_from_one_source_to_the_next_where_each_has_a_part() {
    let alice = Node::new();
    let source = alice.path("data");
    let files = [
        ("0", noise(21, FILE_BYTES)),
        ("1", noise(22, FILE_BYTES)),
        ("2", noise(23, FILE_BYTES)),
    ];
    write_files(&source, &files);
    let snapshot = alice.add(&source);
    let (ticket, _) = alice.ticket(snapshot, ([127, 0, 0, 1], 1).into());
    let mut ticket = Ticket::new(ticket.grant().clone(), ticket.secret().cloned(), None);
    for start in (0..snapshot.bytes).step_by(FILE_BYTES) {
        let liar = Liar {
            identity: Identity::generate(),
            snapshot,
            pages: alice.pages(),
            lie: Lie::Offers(start, start + FILE_BYTES as u64),
            truth: Some(alice.store.clone()),
            halted: Arc::default(),
        };
        let peer = liar.identity.peer_key();
        let at = neighbour(peer, liar.listen().await).addresses;
        ticket = ticket.with_source(peer, at.to_vec());
    }
    let bob = Node::new();
    let swarm = bob.swarm(&ticket);
    let mut parts = swarm.read(0..snapshot.bytes);
    let mut read = Vec::new();
    while let Some(part) = soon(parts.recv()).await {
        read.extend_from_slice(&part.unwrap());
    }
    assert!(read == files.map(|(_, bytes)| bytes).concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_what_nobody_has_any_more_is_told_so() {
    let bytes = noise(20, 3_000_000);
    let lies: [(LieOf, bool); 2] = [(Lie::Lacks, true), (Lie::Garbles, false)];
    for (lie, is_gone) in lies {
        let (alice, listener, _) = behind_a_liar(&bytes, lie).await;
        drop(listener);
        let snapshot = alice.add(&alice.path("data.bin"));
        let (peer, pages) = (alice.identity.peer_key(), alice.pages());
        let liar = Liar {
            // It tells of itself alone.
            lie: lie(peer, ([127, 0, 0, 1], 1).into()),
            identity: alice.identity.clone(),
            snapshot,
            pages,
            truth: None,
            halted: Arc::default(),
        };
        let (ticket, _) = alice.ticket(snapshot, liar.listen().await);
        let bob = Node::new();
        match read(&bob.swarm(&ticket)).await {
            Err(FetchError::Gone { .. }) => assert!(is_gone),
            Err(FetchError::Misbehaved { .. }) => assert!(!is_gone),
            other => panic!("{other:?}"),
        }
    }
}

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
        yield_now().await;
    }
}

fn neighbour(peer: PeerKey, at: SocketAddr) -> Neighbour {
    let address = Address::of_ip(at.ip(), at.port()).unwrap();
    Neighbour {
        peer,
        addresses: List::new(vec![address]).unwrap(),
    }
}
