//! Nodes that want harm: clients first, then servers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shoal_node::data::link::Link;
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::data::{FetchError, FetchEvent, ListenerConfig, SwarmOptions};
use shoal_node::identity::Identity;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::{Address, Nonce, Presentation, Ticket};
use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_protocol::paged_list::MemoryPages;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::limits::NEIGHBOURS_MAX;
use shoal_protocol::wire::{
    Admitted, Codec, Codecs, Features, Hello, Message, Neighbour, Neighbours, Outcome, PageCodec,
    PageHead, PageRequest, Pages, Present, RefusedReason, RequestId, RunData, RunEnd, RunRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Node, noise, soon, write_files};

// ---- clients --------------------------------------------------------------------------

/// A client that says what it likes.
struct Client {
    identity: Identity,
    link: Link,
    nonce: Nonce,
}

impl Client {
    async fn connect(server: PeerKey, at: SocketAddr) -> Self {
        Self::connect_as(Identity::generate(), server, at).await
    }

    async fn connect_as(identity: Identity, server: PeerKey, at: SocketAddr) -> Self {
        let tls = TlsIdentity::new(&identity).unwrap();
        let stream = TcpStream::connect(at).await.unwrap();
        let stream = TlsStream::connect(stream, tls.client(server).unwrap());
        let stream = stream.await.unwrap();
        let mut link = Link::new(stream.peer(), stream);
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
async fn sharer(length: usize) -> (Node, shoal_node::data::Listener, Ticket, Snapshot) {
    let alice = Node::new();
    let path = alice.path("data.bin");
    std::fs::write(&path, noise(9, length)).unwrap();
    let snapshot = alice.add(&path);
    let listener = alice.listen().await;
    let (ticket, _) = alice.ticket(snapshot, listener.addresses()[0]);
    (alice, listener, ticket, snapshot)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_asks_is_hung_up_on_without_a_word() {
    let (alice, listener, _, snapshot) = sharer(100_000).await;
    let mut client = Client::connect(alice.identity.peer_key(), listener.addresses()[0]).await;
    client.ask(1, snapshot.id(), 0..100_000).await;
    assert_eq!(client.hear().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presentation_that_was_overheard_is_worth_nothing() {
    let (alice, listener, ticket, _) = sharer(100_000).await;
    let (server, at) = (alice.identity.peer_key(), listener.addresses()[0]);
    let identity = Identity::generate();
    let first = Client::connect_as(identity.clone(), server, at).await;
    let presentation = first.presentation(&ticket);
    let mut second = Client::connect_as(identity, server, at).await;
    second.say(Present { presentation }).await;
    let Some(Message::Refused(refused)) = second.hear().await else {
        panic!("refused")
    };
    assert_eq!(refused.reason, RefusedReason::NotPermitted);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_grants_ends_after_a_few() {
    let (alice, listener, _, snapshot) = sharer(1_000).await;
    let at = listener.addresses()[0];
    let (unknown, _) = alice.unknown_ticket(snapshot.id(), at, None);
    let mut client = Client::connect(alice.identity.peer_key(), at).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_one_snapshot_opens_no_other() {
    let (alice, listener, ticket, snapshot) = sharer(2_000_000).await;
    let secret = alice.path("secret.bin");
    std::fs::write(&secret, noise(10, 2_000_000)).unwrap();
    let secret = alice.add(&secret);
    let mut client = Client::connect(alice.identity.peer_key(), listener.addresses()[0]).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_request_across_chunk_boundaries_gets_nothing() {
    let (alice, listener, ticket, snapshot) = sharer(2_000_000).await;
    let mut client = Client::connect(alice.identity.peer_key(), listener.addresses()[0]).await;
    client.enter(&ticket).await;
    client.ask(1, snapshot.id(), 5..6).await;
    let Some(Message::RunEnd(end)) = client.hear().await else {
        panic!("an end")
    };
    assert_eq!(end.outcome, Outcome::NotHeld);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_allowed_are_turned_down() {
    let (alice, listener, ticket, snapshot) = sharer(20_000_000).await;
    let mut client = Client::connect(alice.identity.peer_key(), listener.addresses()[0]).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_strangers_do_not_keep_an_honest_one_out() {
    let alice = Node::new();
    let path = alice.path("data.bin");
    let bytes = noise(11, 5_000_000);
    std::fs::write(&path, &bytes).unwrap();
    let snapshot = alice.add(&path);
    let listener = alice
        .listen_as(ListenerConfig {
            strangers_max: 64,
            strangers_per_address_max: 64,
            ..ListenerConfig::default()
        })
        .await;
    let at = listener.addresses()[0];
    let (ticket, _) = alice.ticket(snapshot, at);
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(TcpStream::connect(at).await.unwrap());
    }
    let bob = Node::new();
    let dest = bob.path("got.bin");
    soon(bob.get(&ticket, &dest)).await.unwrap();
    assert!(std::fs::read(&dest).unwrap() == bytes);
    // All but the youngest were hung up on.
    for stream in &mut idle[..900] {
        let ended = soon(stream.read(&mut [0; 1])).await;
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
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

// ---- servers --------------------------------------------------------------------------

/// How a server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    WrongBytes,
    WrongPage,
    OtherSnapshot,
    UnaskedData,
    DataTwice,
    OutOfStep,
    OversizeFrame,
    UnknownKind,
    Compressed,
    NoPages,
    /// It tells of neighbours that do not exist, all at this address.
    Neighbours(SocketAddr),
}

/// What a lying server serves from.
struct Liar {
    identity: Identity,
    snapshot: Snapshot,
    pages: MemoryPages,
    lie: Lie,
}

impl Liar {
    async fn listen(self) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let tls = TlsIdentity::new(&self.identity).unwrap();
        let liar = Arc::new(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let (liar, config) = (Arc::clone(&liar), tls.server());
                tokio::spawn(async move {
                    if let Ok(stream) = TlsStream::accept(stream, config).await {
                        // The client hangs up, as it should.
                        let _ = liar.serve(stream).await;
                    }
                });
            }
        });
        address
    }

    async fn serve(
        &self,
        mut stream: TlsStream<TcpStream>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let raw: &[u8] = match self.lie {
            Lie::OversizeFrame => &[0xff, 0xff, 0xff, 0xff, 0x13, 0, 8, 0],
            Lie::UnknownKind => &[0, 0, 0, 0, 0x77, 0, 0, 0],
            _ => &[],
        };
        if !raw.is_empty() {
            stream.write_all(raw).await?;
            stream.flush().await?;
            stream.read_to_end(&mut Vec::new()).await?;
            return Ok(());
        }
        let mut link = Link::new(stream.peer(), stream);
        let hello = Hello::new(Features::NONE, Nonce([2; 32]), "liar", List::empty());
        link.writer.send(hello, &[]).await?;
        link.writer.flush().await?;
        loop {
            let (message, _) = link.reader.message(|_| true).await?;
            match message {
                Message::Present(present) => {
                    let mut snapshot = self.snapshot;
                    if self.lie == Lie::OtherSnapshot {
                        snapshot.bytes += 1;
                    }
                    let admitted = Admitted {
                        grant: present.presentation.grant.id(),
                        snapshot,
                        offers_all: true,
                    };
                    link.writer.send(admitted, &[]).await?;
                    if let Lie::Neighbours(at) = self.lie {
                        for _ in 0..50 {
                            link.writer.send(self.invented(at), &[]).await?;
                        }
                    }
                }
                Message::PageRequest(asked) => self.send_pages(&mut link, &asked).await?,
                Message::RunRequest(asked) => self.send_run(&mut link, &asked).await?,
                _ => {}
            }
            link.writer.flush().await?;
        }
    }

    async fn send_pages(
        &self,
        link: &mut Link,
        asked: &PageRequest,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        for (i, page) in asked.pages.iter().enumerate() {
            let mut bytes = self.page(page);
            if self.lie == Lie::WrongPage {
                bytes[0] ^= 1;
            }
            let length = bytes.len() as u32;
            let head = PageHead {
                page: *page,
                codec: PageCodec::Raw,
                plain_length: length,
                length,
            };
            let none = self.lie == Lie::NoPages;
            let answer = Pages {
                request: asked.request,
                last: i + 1 == asked.pages.len(),
                pages: List::new(if none { vec![] } else { vec![head] })?,
            };
            link.writer
                .send(answer, if none { &[] } else { &bytes })
                .await?;
        }
        Ok(())
    }

    /// Neighbours that nobody has ever seen, all at one address.
    fn invented(&self, at: SocketAddr) -> Neighbours {
        let address = Address::of_ip(at.ip(), at.port()).unwrap();
        let invented = (0..NEIGHBOURS_MAX).map(|_| Neighbour {
            peer: Identity::generate().peer_key(),
            addresses: List::new(vec![address.clone()]).unwrap(),
        });
        Neighbours {
            snapshot: self.snapshot.id(),
            peers: List::new(invented.collect()).unwrap(),
        }
    }

    fn page(&self, page: &PageId) -> Vec<u8> {
        let (_, bytes) = self.pages.iter().find(|(id, _)| *id == page).unwrap();
        bytes.to_vec()
    }

    async fn send_run(
        &self,
        link: &mut Link,
        asked: &RunRequest,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut cursor = SnapshotCursor::new(&self.snapshot);
        let mut request = asked.request;
        while let Some(step) = cursor.next(&self.pages)? {
            let Step::Chunk {
                mut position,
                chunk,
                ..
            } = step
            else {
                continue;
            };
            let mut length = chunk.length;
            let range = position..position + u64::from(length);
            if !asked.ranges.contains_range(range) {
                continue;
            }
            let mut codec = Codec::Raw;
            match self.lie {
                Lie::UnaskedData => request = RequestId(asked.request.0 + 1000),
                Lie::OutOfStep => {
                    position += 1;
                    length -= 1;
                }
                Lie::Compressed => codec = Codec::Zstd,
                _ => {}
            }
            let data = RunData {
                request,
                position,
                codec,
                plain_length: length,
            };
            let payload = vec![0xbb; length as usize];
            let times = if self.lie == Lie::DataTwice { 2 } else { 1 };
            for _ in 0..times {
                link.writer.send(data, &payload).await?;
            }
        }
        let outcome = Outcome::Complete;
        link.writer.send(RunEnd { request, outcome }, &[]).await?;
        Ok(())
    }
}

/// Gets a folder from a server that lies; gives how that ended and what was told.
async fn get_from(lie: Lie) -> (Result<(), FetchError>, Vec<FetchEvent>, Node) {
    get_from_within(lie, Duration::from_secs(20)).await
}

/// The same, for so long without progress.
async fn get_from_within(
    lie: Lie,
    timeout: Duration,
) -> (Result<(), FetchError>, Vec<FetchEvent>, Node) {
    let alice = Node::new();
    let source = alice.path("data");
    let files = [
        ("a.bin", noise(12, 3_000_000)),
        ("b.bin", noise(13, 400_000)),
    ];
    write_files(&source, &files);
    let snapshot = alice.add(&source);
    let mut pages = MemoryPages::new();
    for row in alice.store.view().pages().unwrap() {
        let (id, ..) = row.unwrap();
        let bytes = alice.store.page(&id).unwrap().unwrap();
        pages.put(id, bytes.to_vec());
    }
    let liar = Liar {
        identity: alice.identity.clone(),
        snapshot,
        pages,
        lie,
    };
    let at = liar.listen().await;
    let (ticket, _) = alice.ticket(snapshot, at);
    let bob = Node::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let options = SwarmOptions {
        timeout: Some(timeout),
        ..SwarmOptions::default()
    };
    let swarm = bob.swarm_with(&ticket, options, move |event| {
        log.lock().unwrap().push(event)
    });
    let ended = soon(bob.get_through(&swarm, &bob.path("got"))).await;
    drop(swarm);
    let events = events.lock().unwrap().clone();
    (ended.map(|_| ()), events, bob)
}

fn holds_garbage(dir: &std::path::Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return false;
    };
    entries.map(Result::unwrap).any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => holds_garbage(&path),
            false => {
                std::fs::read(&path).unwrap().contains(&0xbb) && {
                    let bytes = std::fs::read(&path).unwrap();
                    bytes.windows(64).any(|window| window == [0xbb; 64])
                }
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_never_touch_the_disk_and_end_the_acquaintance() {
    let (ended, events, bob) = get_from(Lie::WrongBytes).await;
    assert!(
        matches!(ended, Err(FetchError::Misbehaved { .. })),
        "{ended:?}"
    );
    let bad = |event: &&FetchEvent| matches!(event, FetchEvent::BadChunk { .. });
    assert!(events.iter().filter(bad).count() >= 3);
    assert!(!holds_garbage(bob.dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_end_the_acquaintance() {
    for lie in [
        Lie::WrongPage,
        Lie::OtherSnapshot,
        Lie::UnaskedData,
        Lie::DataTwice,
        Lie::OutOfStep,
        Lie::OversizeFrame,
        Lie::UnknownKind,
        Lie::Compressed,
    ] {
        let (ended, _, bob) = get_from(lie).await;
        assert!(
            matches!(ended, Err(FetchError::Misbehaved { .. })),
            "{lie:?}: {ended:?}"
        );
        assert!(!holds_garbage(bob.dir.path()), "{lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_invents_others_has_few_dialled() {
    let victim = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = victim.local_addr().unwrap();
    let (dials, mut dialled) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        // Held open, so that none makes room for another.
        while let Ok((stream, _)) = victim.accept().await {
            if dials.send(stream).is_err() {
                return;
            }
        }
    });
    let (ended, ..) = get_from_within(Lie::Neighbours(at), Duration::from_secs(1)).await;
    assert!(ended.is_err(), "it has no bytes");
    let mut held = vec![soon(dialled.recv()).await.unwrap()];
    while let Ok(stream) = dialled.try_recv() {
        held.push(stream);
    }
    // 1,600 were named.
    assert!(held.len() < 8 * NEIGHBOURS_MAX, "{} dials", held.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_the_pages_is_told_from_a_liar() {
    let (ended, ..) = get_from(Lie::NoPages).await;
    assert!(
        matches!(ended, Err(FetchError::PageNotFound { .. })),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_at_the_address_gets_nothing_to_see() {
    let (alice, mallory, bob) = (Node::new(), Node::new(), Node::new());
    let listener = mallory.listen().await;
    let at = listener.addresses()[0];
    let (ticket, _) = alice.unknown_ticket(SnapshotId::of(b"x"), at, None);
    let options = SwarmOptions {
        timeout: Some(Duration::from_millis(500)),
        ..SwarmOptions::default()
    };
    let swarm = bob.swarm_with(&ticket, options, |_| {});
    let ended = soon(swarm.snapshot()).await;
    assert!(
        matches!(ended, Err(FetchError::TimedOut { .. })),
        "{ended:?}"
    );
    assert!(listener.peers().is_empty());
}
