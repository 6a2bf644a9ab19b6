//! Requests and streams between members.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_request_passes_and_a_larger_one_is_not_sent() {
    let (_, nodes) = team(2).await;
    let peer = nodes[0].local_peer();
    connected(&nodes[1], peer).await;
    let largest = Bytes::from(vec![7; Protocol::Find.request_bytes_max()]);
    let answer = nodes[1]
        .request(peer, Protocol::Find, largest.clone())
        .await;
    assert_eq!(answer.unwrap(), largest);
    let larger = Bytes::from(vec![7; Protocol::Find.request_bytes_max() + 1]);
    let refused = nodes[1].request(peer, Protocol::Find, larger).await;
    assert!(matches!(refused, Err(RequestError::TooLarge { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_over_the_plane_is_counted_at_both_ends() {
    let (_, nodes) = team(2).await;
    let peer = nodes[0].local_peer();
    connected(&nodes[1], peer).await;
    let (there, here) = (nodes[0].traffic(), nodes[1].traffic());
    let request = Bytes::from(vec![7; 10_000]);
    for _ in 0..3 {
        let answer = nodes[1]
            .request(peer, Protocol::Locate, request.clone())
            .await;
        assert_eq!(answer.unwrap(), request);
    }
    nodes[1].closest_peers(b"key").await;
    let (there_now, here_now) = (nodes[0].traffic(), nodes[1].traffic());
    assert_eq!(here_now.requests_out - here.requests_out, 3);
    assert_eq!(there_now.requests_in - there.requests_in, 3);
    assert!(here_now.dht_requests_out > here.dht_requests_out);
    assert!(there_now.dht_requests_in > there.dht_requests_in);
    for moved in [
        here_now.bytes_out - here.bytes_out,
        here_now.bytes_in - here.bytes_in,
        there_now.bytes_in - there.bytes_in,
        there_now.bytes_out - there.bytes_out,
    ] {
        assert!((30_000..40_000).contains(&moved), "{moved}");
    }
}

/// Listens for one connection and, once `may` says so, leads it on to `node`. Gives where, and
/// what ends with the connection.
async fn front(
    node: &ControlHandle,
    may: impl Future + Send + 'static,
) -> (Multiaddr, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = transport::socket_address(&address(node).await).unwrap().0;
    let leading = tokio::spawn(async move {
        let (mut front, _) = listener.accept().await.unwrap();
        may.await;
        let mut back = tokio::net::TcpStream::connect(behind).await.unwrap();
        // However it ends.
        let _ = tokio::io::copy_bidirectional(&mut front, &mut back).await;
    });
    let place = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    (place, leading)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_reached_although_another_answers_first_at_one_of_its_addresses() {
    let drafts = [(); 3].map(|()| Draft::new());
    let team = Team::of(drafts.iter().map(Draft::peer));
    let [wanted, other, node] = drafts.map(|draft| draft.start(&team));
    let (wrong, left) = front(&other, async {}).await;
    let (right, _) = front(&wanted, left).await;
    let proof = Bytes::from_static(PROOF);
    let answer = node.admit(wanted.local_peer(), vec![wrong, right], proof);
    assert_eq!(answer.await.unwrap(), b"welcome"[..]);
}

/// Answers more than may be.
struct Chatty;

impl Requests for Chatty {
    fn handle(
        &self,
        _: PeerId,
        protocol: Protocol,
        _: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let bytes = vec![0; protocol.answer_bytes_max() + 1];
        async move { Ok(bytes.into()) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_not_sent() {
    let (chatty, asker) = (Draft::new(), Draft::new());
    let team = Team::of([chatty.peer(), asker.peer()]);
    let peer = chatty.peer();
    let membership = Arc::new(team.clone());
    let chatty = ControlPlane::start(&chatty.keypair, chatty.config, membership, Arc::new(Chatty));
    let (chatty, asker) = (chatty.unwrap(), asker.start(&team));
    asker.dial(address(&chatty).await).await.unwrap();
    let answer = asker.request(peer, Protocol::Find, Bytes::new()).await;
    assert!(
        matches!(answer, Err(RequestError::Refused { .. })),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_announces_too_much_ends_and_the_connection_lives() {
    let (_, nodes) = team(2).await;
    let peer = nodes[0].local_peer();
    connected(&nodes[1], peer).await;
    // What a hostile member could send.
    let too_large = Bytes::from(vec![0; Protocol::Find.request_bytes_max() + 1]);
    let raw = nodes[1].exchange_unbounded(peer, Vec::new(), Protocol::Find, too_large);
    assert!(matches!(raw.await, Err(RequestError::Broken { .. })));
    let answer = nodes[1].request(peer, Protocol::Find, Bytes::from_static(b"?"));
    assert_eq!(answer.await.unwrap(), b"?"[..]);
    assert_eq!(nodes[1].peers().await.len(), 1);
}

/// Never answers before it is let.
#[derive(Clone)]
struct Slow {
    asked: Arc<AtomicUsize>,
    let_go: Arc<Semaphore>,
}

impl Requests for Slow {
    fn handle(
        &self,
        _: PeerId,
        _: Protocol,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let slow = self.clone();
        async move {
            slow.asked.fetch_add(1, Ordering::SeqCst);
            drop(slow.let_go.acquire().await.unwrap());
            Ok(request)
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_too_many_requests_is_told_to_come_back() {
    let slow = Slow {
        asked: Arc::default(),
        let_go: Arc::new(Semaphore::new(0)),
    };
    let (server, asker) = (
        Draft::new().with(|c| c.limits.requests_per_peer_max = 2),
        Draft::new(),
    );
    let team = Team::of([server.peer(), asker.peer()]);
    let peer = server.peer();
    let membership = Arc::new(team.clone());
    let server = ControlPlane::start(
        &server.keypair,
        server.config,
        membership,
        Arc::new(slow.clone()),
    );
    let server = server.unwrap();
    let asker = asker.start(&team);
    asker.dial(address(&server).await).await.unwrap();
    let ask = || {
        let asker = asker.clone();
        tokio::spawn(async move { asker.request(peer, Protocol::Find, Bytes::new()).await })
    };
    let first = [ask(), ask()];
    until("two are at work", || async {
        (slow.asked.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    let third = ask().await.unwrap();
    assert!(matches!(third, Err(RequestError::Busy { .. })), "{third:?}");
    slow.let_go.add_permits(9);
    for request in first {
        request.await.unwrap().unwrap();
    }
    ask().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_on_a_stream() {
    let (_, nodes) = team(2).await;
    let mut taken = nodes[0].incoming_streams().await.unwrap();
    assert!(nodes[0].incoming_streams().await.is_none(), "for one only");
    let peer = nodes[0].local_peer();
    connected(&nodes[1], peer).await;
    let mut stream = nodes[1].open_stream(peer).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut other = taken.recv().await.unwrap();
    assert_eq!(other.peer(), nodes[1].local_peer());
    let mut heard = Vec::new();
    other.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    other.write_all(b"answer").await.unwrap();
    other.shutdown().await.unwrap();
    heard.clear();
    stream.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_takes_are_refused() {
    let (_, nodes) = team(2).await;
    let peer = nodes[0].local_peer();
    connected(&nodes[1], peer).await;
    let queue = Limits::default().streams_waiting_max;
    let mut held = Vec::new();
    for _ in 0..queue + 1 {
        let mut stream = nodes[1].open_stream(peer).await.unwrap();
        // So that the other end takes part in agreeing on the protocol.
        stream.write_all(b"x").await.ok();
        held.push(stream);
    }
    // The first wait in the queue; those beyond its length are ended.
    let mut over = held.pop().unwrap();
    let ended = tokio::time::timeout(PATIENCE, over.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok());
    let mut taken = nodes[0].incoming_streams().await.unwrap();
    let mut waiting = 0;
    while taken.try_recv().is_ok() {
        waiting += 1;
    }
    assert_eq!(waiting, queue);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_shutdown_nothing_answers_and_the_port_is_free() {
    let draft = Draft::new();
    let team = Team::default();
    let node = draft.start(&team);
    let place = address(&node).await;
    node.shutdown().await;
    let peer = PeerId::random();
    let answer = node.request(peer, Protocol::Find, Bytes::new()).await;
    assert!(matches!(answer, Err(RequestError::Stopped)));
    assert!(matches!(
        node.open_stream(peer).await.map(|_| ()),
        Err(StreamError::Stopped)
    ));
    assert!(node.peers().await.is_empty());
    let mut there = place;
    there.pop();
    let again = draft.with(|c| c.listen = vec![there]);
    until("the port is free", || async { again.try_start(&team).ok() }).await;
}
