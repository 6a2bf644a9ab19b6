//! Clients that want more than they may have.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use shoal_node::data::link::Link;
use shoal_node::data::quic::{QuicOptions, QuicSocket};
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::data::{ListenerConfig, SwarmOptions, Traffic, Ways};
use shoal_node::identity::Identity;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::{Nonce, Presentation, Ticket};
use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::{
    Base, ByeReason, Codec, Codecs, Features, Hello, Message, Outcome, PageRequest, Pages, Present,
    RefusedReason, RequestId, RunEnd, RunRequest,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Node, StillClock, TCP, noise, over_tcp_and_quic, soon, write_files};

/// A client that says what it likes.
struct Client {
    identity: Identity,
    link: Link,
    nonce: Nonce,
}

impl Client {
    async fn connect(ways: Ways, server: PeerKey, at: SocketAddr) -> Self {
        Self::connect_as(ways, Identity::generate(), server, at).await
    }

    async fn connect_as(ways: Ways, identity: Identity, server: PeerKey, at: SocketAddr) -> Self {
        let tls = TlsIdentity::new(&identity).unwrap();
        let link = if ways.quic {
            let socket = QuicSocket::dialling(&tls, QuicOptions::default()).unwrap();
            let stream = socket.connect(server, at, Traffic::new()).await.unwrap();
            Link::new(stream.peer(), stream)
        } else {
            let stream = TcpStream::connect(at).await.unwrap();
            let stream = TlsStream::connect(stream, tls.client(server).unwrap());
            let stream = stream.await.unwrap();
            Link::new(stream.peer(), stream)
        };
        Self::over(link, identity).await
    }

    /// Connects by TCP from an address of its own.
    async fn connect_from(ip: Ipv4Addr, server: PeerKey, at: SocketAddr) -> Self {
        let identity = Identity::generate();
        let tls = TlsIdentity::new(&identity).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((ip, 0).into()).unwrap();
        let stream = socket.connect(at).await.unwrap();
        let stream = TlsStream::connect(stream, tls.client(server).unwrap());
        let stream = stream.await.unwrap();
        Self::over(Link::new(stream.peer(), stream), identity).await
    }

    async fn over(mut link: Link, identity: Identity) -> Self {
        let hello = Hello::new(Features::NONE, Nonce([1; 32]), "x", List::empty());
        link.writer.send(hello, &[]).await.unwrap();
        link.writer.flush().await.unwrap();
        let Ok((Message::Hello(theirs), _)) = link.reader.message(|_| true).await else {
            panic!("a hello")
        };
        Self {
            identity,
            link,
            nonce: theirs.nonce,
        }
    }

    fn presentation(&self, ticket: &Ticket) -> Presentation {
        let binding = Binding {
            client: self.identity.peer_key(),
            server: self.link.peer,
            nonce: self.nonce,
        };
        let holder = ticket.secret().unwrap().keypair();
        Presentation::new(ticket.grant().clone(), &holder, &binding)
    }

    async fn say(&mut self, message: impl Into<Message>) {
        self.link.writer.send(message, &[]).await.unwrap();
        self.link.writer.flush().await.unwrap();
    }

    /// The next message; nothing once the server has hung up.
    async fn hear(&mut self) -> Option<Message> {
        let (message, length) = soon(self.link.reader.message(|_| true)).await.ok()?;
        let mut payload = vec![0; length];
        self.link.reader.payload(&mut payload).await.ok()?;
        Some(message)
    }

    async fn enter(&mut self, ticket: &Ticket) {
        let presentation = self.presentation(ticket);
        self.say(Present { presentation }).await;
        assert!(matches!(self.hear().await, Some(Message::Admitted(_))));
    }

    async fn ask(&mut self, request: u64, snapshot: SnapshotId, range: std::ops::Range<u64>) {
        self.say(RunRequest {
            request: RequestId(request),
            snapshot,
            ranges: RangeSet::of(range),
            codecs: Codecs::RAW,
            priority: 0,
            bases: List::empty(),
        })
        .await;
    }
}

/// A node that shares one file of noise.
async fn sharer(ways: Ways, length: usize) -> (Node, shoal_node::data::Listener, Ticket, Snapshot) {
    let alice = Node::with_ways(ways);
    let path = alice.path("data.bin");
    std::fs::write(&path, noise(9, length)).unwrap();
    let snapshot = alice.add(&path);
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(snapshot, listener.addresses()[0]);
    (alice, listener, ticket, snapshot)
}

over_tcp_and_quic! {
    a_stranger_that_asks_is_hung_up_on_without_a_word,
    a_presentation_that_was_overheard_is_worth_nothing,
    guessing_grants_ends_after_a_few,
    a_right_to_one_snapshot_opens_no_other,
    what_may_not_be_read_is_no_base_either,
    a_request_across_chunk_boundaries_gets_nothing,
    more_requests_than_allowed_are_turned_down,
}

async fn a_stranger_that_asks_is_hung_up_on_without_a_word(ways: Ways) {
    let (alice, listener, _, snapshot) = sharer(ways, 100_000).await;
    let mut client =
        Client::connect(ways, alice.identity.peer_key(), listener.addresses()[0]).await;
    client.ask(1, snapshot.id(), 0..100_000).await;
    assert_eq!(client.hear().await, None);
}

async fn a_presentation_that_was_overheard_is_worth_nothing(ways: Ways) {
    let (alice, listener, ticket, _) = sharer(ways, 100_000).await;
    let (server, at) = (alice.identity.peer_key(), listener.addresses()[0]);
    let identity = Identity::generate();
    let first = Client::connect_as(ways, identity.clone(), server, at).await;
    let presentation = first.presentation(&ticket);
    let mut second = Client::connect_as(ways, identity, server, at).await;
    second.say(Present { presentation }).await;
    let Some(Message::Refused(refused)) = second.hear().await else {
        panic!("refused")
    };
    assert_eq!(refused.reason, RefusedReason::NotPermitted);
}

async fn guessing_grants_ends_after_a_few(ways: Ways) {
    let (alice, listener, _, snapshot) = sharer(ways, 1_000).await;
    let at = listener.addresses()[0];
    let (unknown, _) = alice.unknown_ticket(snapshot.id(), at, None);
    let mut client = Client::connect(ways, alice.identity.peer_key(), at).await;
    let mut refusals = 0;
    while refusals < 10 {
        let presentation = client.presentation(&unknown);
        let sent = client.link.writer.send(Present { presentation }, &[]).await;
        if sent.is_err() || client.link.writer.flush().await.is_err() {
            break;
        }
        match client.hear().await {
            Some(Message::Refused(_)) => refusals += 1,
            _ => break,
        }
    }
    assert!(refusals <= 3, "{refusals}");
}

async fn a_right_to_one_snapshot_opens_no_other(ways: Ways) {
    let (alice, listener, ticket, snapshot) = sharer(ways, 2_000_000).await;
    let secret = alice.path("secret.bin");
    std::fs::write(&secret, noise(10, 2_000_000)).unwrap();
    let secret = alice.add(&secret);
    let mut client =
        Client::connect(ways, alice.identity.peer_key(), listener.addresses()[0]).await;
    client.enter(&ticket).await;

    client.ask(1, secret.id(), 0..secret.bytes).await;
    let held = client.hear().await;
    let not_held = |request| {
        let outcome = Outcome::NotHeld;
        let request = RequestId(request);
        Some(Message::from(RunEnd { request, outcome }))
    };
    assert_eq!(held, not_held(1));
    client.ask(2, SnapshotId::of(b"nothing"), 0..10).await;
    assert_eq!(client.hear().await, not_held(2), "the same as for nothing");

    for (request, snapshot) in [(3, snapshot.id()), (4, secret.id())] {
        let pages = List::new(vec![secret.manifest.unwrap()]).unwrap();
        let request = RequestId(request);
        client
            .say(PageRequest {
                request,
                snapshot,
                pages,
            })
            .await;
        let none = Pages {
            request,
            last: true,
            pages: List::empty(),
        };
        assert_eq!(client.hear().await, Some(none.into()));
    }
}

/// Somebody who may read one version names parts of another as bases, to learn from how
/// short the answers are what stands in it. The same with a manifest of his own that lists what
/// he may not read: the node that got it filled the file from its disk.
async fn what_may_not_be_read_is_no_base_either(ways: Ways) {
    let (alice, listener, ticket, snapshot) = sharer(ways, 2_000_000).await;
    let secret = alice.path("secret.bin");
    let mut bytes = noise(9, 2_000_000);
    bytes.splice(1_000_000..1_000_000, *b"an insertion");
    std::fs::write(&secret, &bytes).unwrap();
    let secret = alice.add(&secret);
    let at = listener.addresses()[0];
    let (second, _) = alice.ticket(secret, at);
    let (mallory, dir) = (Node::with_ways(ways), "forged");
    let files = [("a", bytes), ("b", noise(17, 300_000))];
    write_files(&mallory.path(dir), &files);
    let forged = mallory.add(&mallory.path(dir));
    let source = mallory.listen().await;
    let (of_mallory, _) = mallory.ticket(forged, source.addresses()[0]);
    let got = soon(alice.get(&of_mallory, &alice.path(dir))).await;
    let (_, received) = got.unwrap();
    assert!(received.progress.bytes_reused > 1_900_000, "{received:?}");
    let (third, _) = alice.ticket(forged, at);
    for (what, of, presented, start, expected) in [
        ("no right to the base", secret, None, 0, false),
        ("a right to it", secret, Some(&second), 0, true),
        ("it begins within a chunk", secret, Some(&second), 5, false),
        ("it is held, not on offer", forged, Some(&third), 0, false),
    ] {
        let mut client = Client::connect(ways, alice.identity.peer_key(), at).await;
        client.enter(&ticket).await;
        if let Some(presented) = presented {
            client.enter(presented).await;
        }
        // The first chunks of all are the same, so the first one's length is a boundary.
        let end = alice.first_chunk_bytes(&secret);
        let base = Base {
            position: 0,
            snapshot: of.id(),
            start,
            end,
        };
        client
            .say(RunRequest {
                request: RequestId(1),
                snapshot: snapshot.id(),
                ranges: RangeSet::of(0..end),
                codecs: Codecs::ZSTD_WITH_BASE,
                priority: 0,
                bases: List::new(vec![base]).unwrap(),
            })
            .await;
        let Some(Message::RunData(data)) = client.hear().await else {
            panic!("{what}: data")
        };
        let used = matches!(data.codec, Codec::ZstdWithBase { .. });
        assert_eq!(used, expected, "{what}");
    }
}

async fn a_request_across_chunk_boundaries_gets_nothing(ways: Ways) {
    let (alice, listener, ticket, snapshot) = sharer(ways, 2_000_000).await;
    let mut client =
        Client::connect(ways, alice.identity.peer_key(), listener.addresses()[0]).await;
    client.enter(&ticket).await;
    client.ask(1, snapshot.id(), 5..6).await;
    let Some(Message::RunEnd(end)) = client.hear().await else {
        panic!("an end")
    };
    assert_eq!(end.outcome, Outcome::NotHeld);
}

async fn more_requests_than_allowed_are_turned_down(ways: Ways) {
    let (alice, listener, ticket, snapshot) = sharer(ways, 20_000_000).await;
    let mut client =
        Client::connect(ways, alice.identity.peer_key(), listener.addresses()[0]).await;
    client.enter(&ticket).await;
    for request in 0..200 {
        client.ask(request, snapshot.id(), 0..10_000_000).await;
    }
    let mut busy = 0;
    while busy == 0 {
        match client.hear().await {
            Some(Message::Busy(_)) => busy += 1,
            Some(_) => {}
            None => panic!("hung up"),
        }
    }
}

/// The clock stands still, so nobody goes because of the five seconds that strangers have.
#[tokio::test(start_paused = true)]
async fn a_thousand_idle_strangers_do_not_keep_an_honest_one_out() {
    let alice = Node::with_ways(TCP);
    let path = alice.path("data.bin");
    std::fs::write(&path, noise(11, 1_000_000)).unwrap();
    let snapshot = alice.add(&path);
    let listener = alice
        .listen_as(ListenerConfig {
            strangers_max: 64,
            strangers_per_address_max: 64,
            ..ListenerConfig::default()
        })
        .await;
    let (server, at) = (alice.identity.peer_key(), listener.addresses()[0]);
    let (ticket, _) = alice.ticket(snapshot, at);
    let clock = StillClock::hold();
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(TcpStream::connect(at).await.unwrap());
    }
    let mut honest = Client::connect(TCP, server, at).await;
    honest.enter(&ticket).await;
    honest.ask(1, snapshot.id(), 0..snapshot.bytes).await;
    assert!(matches!(honest.hear().await, Some(Message::RunData(_))));
    // All but the youngest were hung up on, the honest one having been a stranger too.
    for stream in &mut idle[..1000 - 63] {
        let ended = stream.read(&mut [0; 1]).await;
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
    let still_waits = |stream: &TcpStream| {
        let read = stream.try_read(&mut [0; 1]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    assert!(idle[1000 - 63..].iter().all(still_waits));
    clock.assert_it_stood();
}

/// A ticket may be used by many, so whoever has it may come many times.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_again_and_again_with_a_right_keeps_nobody_else_out_who_has_one() {
    let alice = Node::with_ways(TCP);
    let path = alice.path("data.bin");
    let bytes = noise(15, 3_000_000);
    std::fs::write(&path, &bytes).unwrap();
    let snapshot = alice.add(&path);
    let listener = alice.listen_as(ListenerConfig {
        peers_max: 8,
        ..ListenerConfig::default()
    });
    let listener = listener.await;
    let (server, at) = (alice.identity.peer_key(), listener.addresses()[0]);
    let (ticket, _) = alice.ticket(snapshot, at);
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    let mut crowd = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect_from(elsewhere, server, at).await;
        client.enter(&ticket).await;
        crowd.push(client);
    }
    let mut one_more = Client::connect_from(elsewhere, server, at).await;
    let presentation = one_more.presentation(&ticket);
    one_more.say(Present { presentation }).await;
    let Some(Message::Refused(refused)) = one_more.hear().await else {
        panic!("refused")
    };
    assert!(matches!(refused.reason, RefusedReason::Full { .. }));

    let bob = Node::with_ways(TCP);
    let dest = bob.path("got.bin");
    soon(bob.get(&ticket, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
    let why = loop {
        match crowd[0].hear().await {
            Some(Message::Bye(bye)) => break bye.reason,
            Some(_) => {}
            None => panic!("the oldest is told why it goes"),
        }
    };
    assert_eq!(why, ByeReason::TooMany);
}

/// Many, under as many names, ask for all that they may, pages and bytes, and take nothing. A
/// node waits for half a minute before it hangs up on such; a getter here gives up before.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_ask_and_take_nothing_hold_nobody_up_who_comes_from_elsewhere() {
    let (alice, listener, ticket, snapshot) = sharer(TCP, 20_000_000).await;
    let (server, at) = (alice.identity.peer_key(), listener.addresses()[0]);
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    let mut crowd = Vec::new();
    for _ in 0..24 {
        let mut client = Client::connect_from(elsewhere, server, at).await;
        client.enter(&ticket).await;
        for request in 0..2 {
            client.ask(request, snapshot.id(), 0..10_000_000).await;
        }
        for request in 2..40 {
            client
                .say(PageRequest {
                    request: RequestId(request),
                    snapshot: snapshot.id(),
                    pages: List::new(vec![snapshot.manifest.unwrap(); 64]).unwrap(),
                })
                .await;
        }
        crowd.push(client);
    }
    let bob = Node::with_ways(TCP);
    let options = SwarmOptions {
        timeout: Some(Duration::from_secs(10)),
        ..SwarmOptions::default()
    };
    let swarm = bob.swarm_with(&ticket, options, |_| {});
    let dest = bob.path("got.bin");
    soon(bob.get_through(&swarm, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == noise(9, 20_000_000));
    assert_eq!(
        listener.peers().len(),
        25,
        "the crowd is there all the while"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_says_nothing_is_left_after_five_seconds() {
    let alice = Node::new();
    let listener = alice.listen().await;
    let mut stream = TcpStream::connect(listener.addresses()[0]).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut heard = Vec::new();
    // Reset or closed, with no byte said.
    let _ = stream.read_to_end(&mut heard).await;
    assert!(heard.is_empty());
    assert_eq!(began.elapsed().as_secs(), 5);
}
