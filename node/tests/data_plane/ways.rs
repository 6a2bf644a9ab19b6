//! What carries a link, and that it makes no difference to what arrives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use shoal_node::data::link::Link;
use shoal_node::data::quic::{QuicOptions, QuicSocket};
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::{
    Detour, Detours, EndpointOptions, FetchEvent, Limits, Listener, ListenerConfig, Path, Swarm,
    SwarmOptions, Traffic, Way, Ways, Why,
};
use shoal_node::identity::Identity;
use shoal_protocol::access::{Nonce, Ticket};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::{Features, Hello, Message, Ping};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use crate::harness::{Node, QUIC, StillClock, TCP, noise, soon};

/// Gets everything, and says how every source was reached.
async fn get(node: &Node, ticket: &Ticket, dest: &std::path::Path) -> Vec<Path> {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&paths);
    let swarm = node.swarm_with(ticket, SwarmOptions::default(), move |event| {
        if let FetchEvent::Connected { path, .. } = event {
            seen.lock().unwrap().push(path);
        }
    });
    soon(node.get_through(&swarm, dest)).await.unwrap();
    let paths = paths.lock().unwrap();
    paths.clone()
}

/// A node that shares a file of noise, the file's bytes, and a ticket for it.
async fn sharer(ways: Ways, length: usize) -> (Node, Listener, Ticket, Vec<u8>) {
    let alice = Node::with_ways(ways);
    let bytes = noise(90, length);
    let path = alice.path("data.bin");
    std::fs::write(&path, &bytes).unwrap();
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(alice.add(&path), listener.addresses()[0]);
    (alice, listener, ticket, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn several_get_over_quic_at_once_and_limits_hold() {
    let (_alice, _listener, ticket, bytes) = sharer(QUIC, 4_000_000).await;
    let get = || async {
        let options = EndpointOptions {
            limits: Limits {
                down: 8_000_000,
                ..Limits::default()
            },
            ways: QUIC,
            ..EndpointOptions::default()
        };
        let bob = Node::with_options(options);
        let dest = bob.path("got.bin");
        bob.get(&ticket, &dest).await.unwrap();
        assert!(std::fs::read(&dest).unwrap() == bytes);
    };
    soon(Box::pin(async { tokio::join!(get(), get(), get()) })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_this_machine_is_reached_over_tcp() {
    let (_alice, _listener, ticket, bytes) = sharer(Ways::default(), 300_000).await;
    let bob = Node::with_ways(Ways::default());
    let dest = bob.path("got.bin");
    let paths = get(&bob, &ticket, &dest).await;
    let ways: Vec<_> = paths.iter().map(|path| (path.way, &path.why)).collect();
    assert_eq!(ways, [(Way::Tcp, &Why::SameHost)]);
    assert!(std::fs::read(&dest).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tcp_does_not_get_through_quic_does_and_says_why() {
    let (_alice, _listener, ticket, bytes) = sharer(QUIC, 300_000).await;
    let bob = Node::with_ways(Ways::default());
    let dest = bob.path("got.bin");
    let paths = get(&bob, &ticket, &dest).await;
    assert_eq!(paths[0].way, Way::Quic);
    let why = paths[0].why.to_string();
    assert!(why.starts_with("TCP does not get through: "), "{why}");
    assert!(std::fs::read(&dest).unwrap() == bytes);
}

/// What becomes of a relayed stream after as many bytes as it may carry.
#[derive(Clone, Copy, PartialEq)]
enum AtTheLimit {
    Stalls,
    Ends,
}

/// Streams to a listener that are relayed, and carry so many bytes from it, until there is a
/// direct way.
struct Relay {
    server: PeerKey,
    client: PeerKey,
    listener: Arc<Listener>,
    bytes_max: u64,
    then: AtTheLimit,
    direct: watch::Receiver<bool>,
}

impl Detours for Relay {
    fn leads_to(&self, peer: &PeerKey) -> bool {
        *peer == self.server
    }

    fn open(&self, peer: PeerKey) -> BoxFuture<'static, std::io::Result<Detour>> {
        let (ours, near) = duplex(64 << 10);
        let (far, theirs) = duplex(64 << 10);
        let ((mut near_in, mut near_out), (far_in, mut far_out)) = (split(near), split(far));
        let is_relayed = !*self.direct.borrow();
        let (then, bytes_max) = (
            self.then,
            if is_relayed { self.bytes_max } else { u64::MAX },
        );
        tokio::spawn(async move {
            let to_server = tokio::io::copy(&mut near_in, &mut far_out);
            let to_client = async {
                let _ = tokio::io::copy(&mut far_in.take(bytes_max), &mut near_out).await;
                if then == AtTheLimit::Stalls {
                    std::future::pending::<()>().await;
                }
            };
            // A stream is gone for both ends only with all its halves, which are this task's.
            tokio::select! {
                _ = to_server => {}
                () = to_client => {}
            }
        });
        self.listener.attend(Detour {
            peer: self.client,
            is_relayed,
            io: Box::new(theirs),
        });
        let detour = Detour {
            peer,
            is_relayed,
            io: Box::new(ours),
        };
        async move { Ok(detour) }.boxed()
    }

    fn until_direct(&self, _: PeerKey) -> BoxFuture<'static, ()> {
        let mut direct = self.direct.clone();
        async move {
            // Where it never becomes so, there is no such way.
            if direct.wait_for(|direct| *direct).await.is_err() {
                std::future::pending().await
            }
        }
        .boxed()
    }
}

/// Alice, who shares 20 MB at an address where nobody listens, and Bob, who has streams to her
/// that carry 5 MB each.
struct Apart {
    alice: Node,
    bob: Node,
    bytes: Vec<u8>,
    ticket: Ticket,
    at: SocketAddr,
    direct: watch::Sender<bool>,
}

impl Apart {
    async fn new(then: AtTheLimit) -> Self {
        let ways = Ways {
            stream: true,
            ..TCP
        };
        let (alice, bob) = (Node::with_ways(ways), Node::with_ways(ways));
        let bytes = noise(91, 20_000_000);
        let path = alice.path("data.bin");
        std::fs::write(&path, &bytes).unwrap();
        let door = ListenerConfig::default();
        let door = Listener::start(alice.endpoint.clone(), alice.grants.clone(), door);
        let at = vacant();
        let (ticket, _) = alice.ticket(alice.add(&path), at);
        let (direct, told) = watch::channel(false);
        bob.endpoint.set_detours(Some(Arc::new(Relay {
            server: alice.identity.peer_key(),
            client: bob.identity.peer_key(),
            listener: Arc::new(door.await.unwrap()),
            bytes_max: 5_000_000,
            then,
            direct: told,
        })));
        Self {
            alice,
            bob,
            bytes,
            ticket,
            at,
            direct,
        }
    }

    /// Bob's swarm, and the ways that it connects by.
    fn swarm(&self) -> (Swarm, UnboundedReceiver<Path>) {
        let (sender, connected) = unbounded_channel();
        let hear = move |event| {
            if let FetchEvent::Connected { path, .. } = event {
                sender.send(path).unwrap();
            }
        };
        let swarm = (self.bob).swarm_with(&self.ticket, SwarmOptions::default(), hear);
        (swarm, connected)
    }
}

/// An address of this machine where nobody listens.
fn vacant() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_gets_through_a_stream_does_and_is_left_for_a_better_way() {
    let apart = Apart::new(AtTheLimit::Stalls).await;
    let (alice, bob, at) = (&apart.alice, &apart.bob, apart.at);
    let (swarm, mut connected) = apart.swarm();
    let dest = bob.path("got.bin");
    let getting = async { soon(bob.get_through(&swarm, &dest)).await.unwrap() };
    let mending = async {
        let first = soon(connected.recv()).await.unwrap();
        assert_eq!(first.way, Way::Relayed);
        assert!(matches!(first.why, Why::NothingDirect(_)), "{}", first.why);
        // From now on there is somebody at the address.
        let config = ListenerConfig {
            addresses: vec![at],
            ..ListenerConfig::default()
        };
        let listener = Listener::start(alice.endpoint.clone(), alice.grants.clone(), config);
        let listener = listener.await.unwrap();
        let second = soon(connected.recv()).await.unwrap();
        assert_eq!(second.way, Way::Tcp);
        listener
    };
    let ((outcome, received), _listener) = tokio::join!(getting, mending);
    assert!(std::fs::read(&dest).unwrap() == apart.bytes);
    assert_eq!(received.progress.bytes_received, 20_000_000);
    // What had come through the relay was not sent again, but for what was on its way.
    assert!(outcome.wire_in < 25_000_000, "{}", outcome.wire_in);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relayed_stream_is_left_as_soon_as_the_control_plane_has_a_direct_way() {
    let apart = Apart::new(AtTheLimit::Stalls).await;
    let (swarm, mut connected) = apart.swarm();
    let dest = apart.bob.path("got.bin");
    let getting = async { soon(apart.bob.get_through(&swarm, &dest)).await.unwrap() };
    let punching = async {
        assert_eq!(soon(connected.recv()).await.unwrap().way, Way::Relayed);
        apart.direct.send(true).unwrap();
        let second = soon(connected.recv()).await.unwrap();
        assert_eq!(second.way, Way::Stream);
        assert!(
            matches!(second.why, Why::NothingDirect(_)),
            "{}",
            second.why
        );
    };
    let ((outcome, _), ()) = tokio::join!(getting, punching);
    assert!(std::fs::read(&dest).unwrap() == apart.bytes);
    assert!(outcome.wire_in < 25_000_000, "{}", outcome.wire_in);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_ends_its_streams_again_and_again_is_gone_on_with() {
    let apart = Apart::new(AtTheLimit::Ends).await;
    let (swarm, mut connected) = apart.swarm();
    let dest = apart.bob.path("got.bin");
    let (outcome, received) = soon(apart.bob.get_through(&swarm, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == apart.bytes);
    assert_eq!(received.progress.bytes_received, 20_000_000);
    drop(swarm);
    let mut streams = 0;
    while let Ok(path) = connected.try_recv() {
        assert_eq!(path.way, Way::Relayed);
        streams += 1;
    }
    assert!(streams > 4, "{streams}");
    assert!(outcome.wire_in < 30_000_000, "{}", outcome.wire_in);
}

/// A client that speaks QUIC and says what it likes.
async fn client(socket: &QuicSocket, server: PeerKey, at: SocketAddr) -> Link {
    let stream = socket.connect(server, at, Traffic::new()).await.unwrap();
    let mut link = Link::new(stream.peer(), stream);
    let hello = Hello::new(Features::NONE, Nonce([1; 32]), "x", List::empty());
    link.writer.send(hello, &[]).await.unwrap();
    link
}

/// The clock stands still, so nobody goes because of the five seconds that strangers have. The file
/// is small, since QUIC paces what is more by the same clock.
#[tokio::test(start_paused = true)]
async fn a_crowd_of_strangers_over_quic_does_not_keep_an_honest_one_out() {
    let alice = Node::with_ways(QUIC);
    let bytes = noise(92, 5_000);
    let path = alice.path("data.bin");
    std::fs::write(&path, &bytes).unwrap();
    let listener = alice.listen_as(ListenerConfig {
        strangers_max: 32,
        strangers_per_address_max: 32,
        ..ListenerConfig::default()
    });
    let listener = listener.await;
    let at = listener.addresses()[0];
    let (ticket, _) = alice.ticket(alice.add(&path), at);
    let tls = TlsIdentity::new(&Identity::generate()).unwrap();
    let socket = QuicSocket::dialling(&tls, QuicOptions::default()).unwrap();
    let clock = StillClock::hold();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(client(&socket, alice.identity.peer_key(), at).await);
    }
    let bob = Node::with_ways(QUIC);
    let dest = bob.path("got.bin");
    soon(bob.get(&ticket, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
    // All but the youngest were hung up on.
    for link in &mut idle[..60] {
        while let Ok((message, _)) = soon(link.reader.message(|_| true)).await {
            assert!(matches!(message, Message::Hello(_)));
        }
    }
    clock.assert_it_stood();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_over_quic_that_sends_much_is_kept_from_it_and_hung_up_on() {
    let (alice, listener, ..) = sharer(QUIC, 100_000).await;
    let tls = TlsIdentity::new(&Identity::generate()).unwrap();
    let socket = QuicSocket::dialling(&tls, QuicOptions::default()).unwrap();
    let connecting = socket.connect(
        alice.identity.peer_key(),
        listener.addresses()[0],
        Traffic::new(),
    );
    let mut stream = connecting.await.unwrap();
    // A frame that nobody may send before it was let in, and as much as is taken.
    let sent = async { while stream.write_all(&[0xee; 64 << 10]).await.is_ok() {} };
    soon(sent).await;
    let mut link = client(&socket, alice.identity.peer_key(), listener.addresses()[0]).await;
    link.writer.send(Ping { token: 7 }, &[]).await.unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(60), async {
        while let Ok((message, _)) = link.reader.message(|_| true).await {
            if matches!(message, Message::Pong(_)) {
                return true;
            }
        }
        false
    });
    assert!(answered.await.unwrap());
}
